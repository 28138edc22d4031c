"""What expressions mean, case by case, in the graph."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto

from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.expr import compile_exprs, emit, parse, to_sql
from headrace.expr.zones import offsets, utc_of
from headrace.graph.build import GraphBuilder

COLUMNS = {"x": Type.NUMBER, "y": Type.NUMBER, "f": Type.BOOL, "s": Type.TEXT, "t": Type.TIME, "u": Type.TIME}
NAN, INF = float("nan"), float("inf")
EPOCH = datetime(1970, 1, 1)


def micros(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def run(text: str, zone: str = "UTC", **columns: list[object]) -> list[object]:
    """The expression's values, null as None."""
    expr = parse(text, COLUMNS, zone=zone)
    session = ort.InferenceSession(compile_exprs({"out": expr}), providers=["CPUExecutionProvider"])
    dtypes = {Type.TEXT: object, Type.TIME: np.int64}
    feed = {
        c: np.array([_raw(v, COLUMNS[c]) for v in columns[c]], dtype=dtypes.get(COLUMNS[c], np.float64))
        for c in expr.columns
    }
    values = session.run(None, feed)[0].tolist()
    return [None if v in (NULL_TEXT, NULL_TIME) or v != v else v for v in values]


def _raw(value: object, kind: Type) -> object:
    if value is None:
        return {Type.TEXT: NULL_TEXT, Type.TIME: NULL_TIME}.get(kind, NAN)
    return micros(str(value)) if kind is Type.TIME else value


def one(text: str, zone: str = "UTC", **columns: object) -> object:
    (value,) = run(text, zone, **{k: [v] for k, v in columns.items()})
    return value


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("x + 1", 1.5, 2.5),
        ("x + 1", INF, None),
        ("x", -INF, None),
        ("x > 5", INF, None),
        ("x is null", NAN, 1.0),
        ("x is null", INF, 1.0),
        ("1 / x", 0.0, None),
        ("x / x", 0.0, None),
        (
            "x * 1e308 * 10 / 1e308",
            10.0,
            None,
        ),  # overflow is null at once, though DuckDB's inf would stay inf
        ("7 // x", -2.0, -3.0),
        ("x % 3", -7.0, -1.0),
        ("x // 0", 1.0, None),
        ("x % 0", 1.0, None),
        ("round(x)", 2.5, 3.0),
        ("round(x)", -2.5, -3.0),
        ("round(x)", 0.49999999999999994, 0.0),
        ("round(x)", 4503599627370497.5, 4503599627370498.0),
        ("round(x, 1)", 0.25, 0.3),
        ("round(x, -1)", 25.0, 30.0),
        ("cast(x as int)", 2.5, 2.0),
        ("cast(x as int)", 3.5, 4.0),
        ("trunc(x)", -2.7, -2.0),
        ("floor(x)", -2.1, -3.0),
        ("ceil(x)", -2.1, -2.0),
        ("sign(x)", -0.5, -1.0),
        ("sqrt(x)", -1.0, None),
        ("ln(x)", 0.0, None),
        ("exp(x)", 1e4, None),
        ("power(x, 0)", NAN, None),
        ("power(1, x)", NAN, None),
        ("x ** 0.5", -4.0, None),
        ("x ** 2", 3.0, 9.0),
        ("greatest(x, 1, null)", NAN, 1.0),
        ("least(x, 1)", -3.0, -3.0),
        ("coalesce(x, 7)", INF, 7.0),
        ("nullif(x, 2)", 2.0, None),
        ("if(x > 1, 10)", 0.0, None),
        ("x in (1, 2)", 2.0, 1.0),
        ("x in (1, 2)", 3.0, 0.0),
        ("x in (1, null)", 3.0, None),
        ("x in (1, null)", 1.0, 1.0),
        ("x in (1, 2)", INF, None),
        ("x not in (1, 2)", NAN, None),
        ("x in (0, 1)", -0.0, 1.0),
        ("x between 1 and 3", 3.0, 1.0),
        ("x between 1 and null", 0.0, 0.0),
        ("x between 1 and null", 2.0, None),
        ("not (x > 50)", NAN, None),
        ("x > 50 or true", NAN, 1.0),
        ("x > 50 and false", NAN, 0.0),
        ("x > 50 and true", NAN, None),
        ("x is distinct from null", NAN, 0.0),
        ("x is not distinct from null", NAN, 1.0),
        ("(x > 1) is true", NAN, 0.0),
        ("(x > 1) is not true", NAN, 1.0),
        ("case x when 1 then 'a' else 'b' end", NAN, "b"),
        ("case when x > 1 then 'a' end", 0.0, None),
        ("cast(x as boolean)", 0.5, 1.0),
        ("cast(x > 1 as int)", 3.0, 1.0),
        ("cast(x > 1 as varchar)", 3.0, "true"),
        ("cast(x > 1 as varchar)", NAN, None),
        ("x + 0.1 = 0.3", 0.2, 0.0),  # doubles, as in DuckDB's DOUBLE columns
    ],
)
def test_numbers_and_truths(text: str, x: float, expected: object) -> None:
    assert one(text, x=x) == expected


@pytest.mark.parametrize(
    ("text", "s", "expected"),
    [
        ("s = ''", "", 1.0),
        ("s = ''", None, None),
        ("s <> 'a'", None, None),
        ("s <> 'a'", "b", 1.0),
        ("s is null", "", 0.0),
        ("s in ('a', 'b')", "b", 1.0),
        ("s in ('a', 'b')", None, None),
        ("s in ('a', 'b')", "", 0.0),
        ("s in ('a', null)", "c", None),
        ("s is distinct from 'a'", None, 1.0),
        ("lower(s)", "ÀB", "àb"),
        ("upper(s)", "straße", "STRAßE"),
        ("lower(s)", None, None),
        ("s || 'x'", None, None),
        ("s || 'x'", "", "x"),
        ("concat(s, 'x')", None, "x"),
        ("contains(s, '.')", "ab", 0.0),
        ("contains(s, '.')", "a.b", 1.0),
        ("contains(s, '')", None, None),
        ("contains(s, 'b')", "a\nb", 1.0),
        ("starts_with(s, '(a')", "(a)", 1.0),
        ("ends_with(s, 'é')", "café", 1.0),
        ("s like 'a%'", "abc", 1.0),
        ("s not like '%c'", "abc", 0.0),
        ("s like 'abc'", "abcd", 0.0),
        ("cast(s as double)", "-3.5e2", -350.0),
        ("cast(s as double)", "1,5", None),
        ("cast(s as double)", "inf", None),
        ("cast(s as int)", "2.5", 2.0),
        ("coalesce(s, 'none')", None, "none"),
    ],
)
def test_texts(text: str, s: str | None, expected: object) -> None:
    assert one(text, s=s) == expected


@pytest.mark.parametrize(
    ("text", "t", "expected"),
    [
        ("year(t)", "2024-02-29T23:59:59.999999", 2024.0),
        ("month(t)", "0001-01-01", 1.0),
        ("day(t)", "9999-12-31T23:59:59.999999", 31.0),
        ("quarter(t)", "2013-05-01", 2.0),
        ("hour(t)", "1969-12-31T23:59:59.999999", 23.0),
        ("second(t)", "1969-12-31T23:59:59.999999", 59.0),
        ("dayofweek(t)", "2013-01-06", 0.0),
        ("extract(dow from t)", "2013-01-07", 1.0),
        ("isodow(t)", "2013-01-06", 7.0),
        ("dayofyear(t)", "2024-12-31", 366.0),
        ("week(t)", "2021-01-03", 53.0),
        ("date_part('week', t)", "2018-12-31", 1.0),
        ("epoch(t)", "1969-12-31T23:59:58.5", -1.5),
        ("date_trunc('quarter', t) = '2012-01-01'", "2012-03-31", 1.0),
        ("date_trunc('week', t) = '2012-12-31'", "2013-01-06", 1.0),
        ("cast(t as date) = '2013-01-06'", "2013-01-06T23:00", 1.0),
        ("date_diff('year', t, timestamp '2014-01-01')", "2013-12-31T23:59", 1.0),
        ("date_diff('hour', t, timestamp '1970-01-01')", "1969-12-31T23:30", 1.0),
        ("timestamp '2013-01-01' - t", "2012-12-31", 86400.0),
        ("t - interval '1 day 30 minutes' = '2012-12-31 23:30'", "2013-01-02", 1.0),
        ("t + interval '1 us' is null", "9999-12-31T23:59:59.999999", 1.0),
        ("t - interval '1 us' is null", "0001-01-01", 1.0),
        ("t + interval 3 hours > t", "2013-01-01", 1.0),
        ("t in ('2013-01-01', timestamp '2014-01-01')", "2013-01-01", 1.0),
        ("t > '2013-01-01'", None, None),
        ("not t > '2013-01-01'", None, None),
        ("year(t)", None, None),
        ("t = t", None, None),
        ("greatest(t, date '2000-01-01') = '2000-01-01'", None, 1.0),
    ],
)
def test_times(text: str, t: str | None, expected: object) -> None:
    assert one(text, t=t) == expected


def test_moments_next_to_each_other_are_told_apart() -> None:
    # onnxruntime's Max and Min on int64 compare as float32
    near, later = "2013-01-01T00:00:00.000001", "2013-01-01T00:00:00.000002"
    assert one("greatest(t, u)", t=near, u=later) == micros(later)
    assert one("least(t, u)", t=later, u=near) == micros(near)


def test_the_wall_clock_of_a_zone() -> None:
    zone = "America/New_York"
    assert one("hour(t)", zone, t="2013-03-10T06:59") == 1.0
    assert one("hour(t)", zone, t="2013-03-10T07:00") == 3.0  # two o'clock is skipped
    assert one("t = timestamp '2013-07-01 00:00'", zone, t="2013-07-01T04:00") == 1.0
    assert one("t = timestamp '2013-07-01 00:00+00:00'", zone, t="2013-07-01T00:00") == 1.0
    assert one("date_trunc('day', t) = '2013-11-03'", zone, t="2013-11-03T22:00") == 1.0
    assert (
        one("epoch(date_trunc('hour', t))", zone, t="2013-11-03T06:30") == 1383458400.0
    )  # the second 1 o'clock


def test_every_clock_reading_of_a_zone_is_zoneinfos() -> None:
    zone, rng = "Europe/Amsterdam", np.random.default_rng(1)
    moments = rng.integers(micros("1971-01-01"), micros("2099-12-31"), 2000)
    info = ZoneInfo(zone)
    walls = [
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(m))).astimezone(info) for m in moments
    ]
    expr = parse("((year(t) * 100 + month(t)) * 100 + day(t)) * 100 + hour(t)", COLUMNS, zone=zone)
    session = ort.InferenceSession(compile_exprs({"out": expr}), providers=["CPUExecutionProvider"])
    assert session.run(None, {"t": moments})[0].tolist() == [float(w.strftime("%Y%m%d%H")) for w in walls]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_a_time_outside_the_years_1_to_9999_is_null_in_every_zone(zone: str) -> None:
    first, last = micros("0001-01-01T00:00"), micros("9999-12-31T23:59:59.999999")
    moments = [NULL_TIME, first - 1, first, last, last + 1, 2**63 - 1]
    session = ort.InferenceSession(
        compile_exprs({p: parse(f"{p}(t)", COLUMNS, zone=zone) for p in ("hour", "month", "epoch")}),
        providers=["CPUExecutionProvider"],
    )
    for made in session.run(None, {"t": np.array(moments)}):
        assert np.isnan(made).tolist() == [True, True, False, False, True, True]


def test_many_moments_near_the_last_are_kept() -> None:
    # onnxruntime's Clip on several int64 is wrong within 2^32 of a limit
    last = "9999-12-31T23:59:59.999999"
    assert run("date_trunc('hour', t)", "Asia/Kolkata", t=[last] * 9) == [micros("9999-12-31T23:30")] * 9
    assert run("t - interval '1 minute'", t=[last] * 9) == [micros("9999-12-31T23:58:59.999999")] * 9


def test_a_zone_beyond_its_years_keeps_its_edge_offsets() -> None:
    found = offsets("America/New_York")
    assert found.offsets[0] == -18_000 and found.offsets[-1] == -18_000
    assert one("hour(t)", "America/New_York", t="2150-07-01T12:00") == 7.0
    assert one("hour(t)", "America/New_York", t="1850-07-01T12:00") == 7.0
    assert utc_of(datetime(2150, 7, 1), "America/New_York") == datetime(2150, 7, 1, 5, tzinfo=UTC)


def test_every_day_of_four_centuries() -> None:
    days = np.arange(-135_140, 146_097 * 2 - 135_140, dtype=np.int64)  # from 1600
    dates = days.astype("datetime64[D]")
    texts = {"y": "year(t)", "m": "month(t)", "d": "day(t)", "j": "dayofyear(t)"}
    exprs = {k: parse(v, COLUMNS) for k, v in texts.items()}
    session = ort.InferenceSession(compile_exprs(exprs), providers=["CPUExecutionProvider"])
    y, m, d, j = session.run(list(texts), {"t": days * 86_400_000_000})
    years, months = dates.astype("datetime64[Y]"), dates.astype("datetime64[M]")
    assert np.array_equal(y, years.astype(int) + 1970)
    assert np.array_equal(m, months.astype(int) % 12 + 1)
    assert np.array_equal(d, (dates - months).astype(int) + 1)
    assert np.array_equal(j, (dates - years).astype(int) + 1)


@pytest.mark.parametrize(
    ("text", "decides"),
    [("x > 1 or y > 1 or f", True), ("x > 1 and y > 1 and f", False), ("not (x > 1 or y > 1 or f)", False)],
)
def test_one_side_decides_whatever_the_others_are(text: str, decides: bool) -> None:
    numbers = {None: [NAN, INF, -INF], False: [1.0, -1.0], True: [1.5, 1e300]}
    for truths in itertools.product((None, False, True), repeat=3):
        wanted = _kleene(text, truths)
        for x, y in itertools.product(numbers[truths[0]], numbers[truths[1]]):
            flag = None if truths[2] is None else float(truths[2])
            assert one(text, x=x, y=y, f=flag) == wanted, (text, x, y, flag)
    assert one(text, x=INF, y=NAN, f=float(decides != text.startswith("not"))) == float(decides)


def _kleene(text: str, truths: tuple[bool | None, ...]) -> float | None:
    decisive = " and " not in text
    found = decisive if decisive in truths else None if None in truths else not decisive
    return None if found is None else float(found != text.startswith("not"))


def test_what_may_be_unclean_is_null_or_the_same() -> None:
    g = GraphBuilder()
    expr = parse("1 / x", COLUMNS)
    for name, clean in (("clean", True), ("plain", False)):
        g.output(emit(expr, g, clean=clean).tensor, name, TensorProto.DOUBLE, [None])
    session = ort.InferenceSession(g.build(), providers=["CPUExecutionProvider"])
    clean, plain = session.run(["clean", "plain"], {"x": np.array([2.0, 0.0, NAN])})
    assert clean.tolist()[0] == plain.tolist()[0] == 0.5
    assert np.isnan(clean[1:]).all() and plain[1] == INF and np.isnan(plain[2])


@pytest.mark.parametrize(
    "text", ["x + 1", "lower(s)", "s in ('a', 'b')", "year(t)", "f and x > 1", "cast(s as double)"]
)
def test_no_rows(text: str) -> None:
    assert run(text, x=[], s=[], t=[], f=[]) == []
    assert run(text, zone="America/New_York", x=[], s=[], t=[], f=[]) == []


def test_constants_fill_every_row() -> None:
    g = GraphBuilder()
    g.input("x", Type.NUMBER)
    for i, text in enumerate(
        ["1 + 1", "lower('A')", "year(timestamp '2013-01-01')", "1 = 1", "cast('2' as double)"]
    ):
        expr = parse(text, {}, zone="America/New_York")
        value = emit(expr, g)
        g.output(value.tensor, f"out{i}", {Type.TEXT: 8}.get(value.type, 11), [None])
    session = ort.InferenceSession(g.build(), providers=["CPUExecutionProvider"])
    made = [v.tolist() for v in session.run(None, {"x": np.zeros(3)})]
    assert made == [[2.0] * 3, ["a"] * 3, [2013.0] * 3, [1.0] * 3, [2.0] * 3]
    alone = ort.InferenceSession(
        compile_exprs({"out": parse("pi()", {})}), providers=["CPUExecutionProvider"]
    )
    assert alone.run(None, {})[0].tolist() == [3.141592653589793]


def test_equal_parts_are_computed_once() -> None:
    def nodes(*texts: str) -> int:
        g = GraphBuilder()
        for text in texts:
            emit(parse(text, COLUMNS, zone="America/New_York"), g)
        return len(g._nodes)

    assert nodes("hour(t)", "hour(t) + 1") == nodes("hour(t) + 1")
    assert nodes("hour(t)", "minute(t)") < nodes("hour(t)") + nodes("minute(t)") - 5


def test_the_same_expression_makes_the_same_bytes() -> None:
    text = "case when s in ('a', 'b') and x between 1 and y then hour(t) else y end"
    first, again = (compile_exprs({"out": parse(text, COLUMNS, zone="Asia/Kolkata")}) for _ in range(2))
    assert first == again


def test_nesting_keeps_sql_small_and_true() -> None:
    text = "x"
    for _ in range(12):
        text = f"nullif(case {text} when 1 then 2 when 2 then 3 when 3 then 1 end, 7)"
    expr = parse(text, COLUMNS)
    assert len(to_sql(expr)) < 20_000
    with duckdb.connect() as connection:
        assert connection.sql(f"SELECT {to_sql(expr)} FROM (SELECT 1.0::DOUBLE AS x)").fetchall() == [(1.0,)]
    assert one(text, x=1.0) == 1.0


def test_names_are_quoted_in_sql() -> None:
    columns = {'my "col"': Type.NUMBER, "side.x": Type.NUMBER}
    expr = parse('"my ""col""" + side.x', columns)
    assert expr.columns == ('my "col"', "side.x")
    with duckdb.connect() as connection:
        row = 'SELECT 1.0::DOUBLE AS "my ""col""", 2.0::DOUBLE AS "side.x"'
        assert connection.sql(f"SELECT {to_sql(expr)} FROM ({row})").fetchall() == [(3.0,)]


@pytest.mark.parametrize(
    "text",
    ["-2.0 ** 2", "2 ** 3 ** 2", "2 * 3 ** 2", "10 - 4 - 3", "10.0 / 4 / 2", "7 % 4 * 2", "2 * 7 % 4",
     "- 3 % 2", "-7 // 2", "3 - -2", "not 1 = 2", "1 + 2 = 3 and not 2 > 3 or 1 = 2", "not true is null",
     "1 = 1 is true",
     "'a' || 'b' = 'ab'", "not 1 in (2)", "2 between 1 and 3 and true", "true or true and false",
     "2 = 2 is not distinct from true", "not 1 is distinct from 2", "2 ^ 2 * 3"],
)  # fmt: skip
def test_precedence_is_duckdbs(text: str) -> None:
    with duckdb.connect() as connection:
        ((raw, ours),) = connection.sql(f"SELECT {text}, {to_sql(parse(text, {}))}").fetchall()
    assert raw == ours
