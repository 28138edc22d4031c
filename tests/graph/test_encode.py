"""Arrow to feeds: every Arrow type, every null, every mistake; JSON rows give the same feeds."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import DataError
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.graph.encode import encode_batch, encode_chunks, encode_rows
from headrace.graph.rows import RowEncoder

ZONE = "America/New_York"


def one(column: Any, kind: Type) -> list[Any]:
    table = pa.table({"x": column})
    whole = encode_batch(table, {"x": kind})["x"]
    if table.num_rows:
        parts = [encode_batch(b, {"x": kind})["x"] for b in table.to_batches()]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        assert parts[0].dtype == whole.dtype
    return whole.tolist()


@pytest.mark.parametrize(
    "kind",
    [
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.uint8(),
        pa.uint16(),
        pa.uint32(),
        pa.uint64(),
        pa.float16(),
        pa.float32(),
        pa.float64(),
        pa.decimal128(20, 3),
        pa.decimal256(50, 3),
    ],
)
def test_numbers_of_every_width(kind: pa.DataType) -> None:
    values = one(pa.array([1, None, 5], pa.int8()).cast(pa.int32()).cast(kind), Type.NUMBER)
    assert values[0] == 1.0 and np.isnan(values[1]) and values[2] == 5.0


def test_dictionary_encoded_numbers() -> None:
    assert one(pa.array([7, 5, 7]).dictionary_encode(), Type.NUMBER) == [7.0, 5.0, 7.0]


def test_infinity_is_null() -> None:
    assert np.isnan(one([np.inf, -np.inf, np.nan], Type.NUMBER)).all()


def test_infinity_does_not_change_the_arrow_buffer() -> None:
    column = pa.array([np.inf, 1.0])
    encode_batch(pa.table({"x": column}), {"x": Type.NUMBER})
    assert column.to_pylist() == [np.inf, 1.0]


def test_integers_beyond_double_round_to_nearest() -> None:
    value = 2**53 + 1
    assert one(pa.array([value], pa.int64()), Type.NUMBER) == [float(value)]


@given(st.lists(st.decimals(min_value=-(10**12), max_value=10**12, places=7), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_decimals_are_read_as_json_reads_them(values: list[Decimal]) -> None:
    assert one(pa.array(values, pa.decimal128(20, 7)), Type.NUMBER) == [float(str(v)) for v in values]


def test_bools() -> None:
    values = one([True, False, None], Type.BOOL)
    assert values[:2] == [1.0, 0.0] and np.isnan(values[2])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_texts(kind: pa.DataType) -> None:
    assert one(pa.array(["a", None, "", "é", "a"], kind), Type.TEXT) == ["a", NULL_TEXT, "", "é", "a"]


def test_dictionary_texts_with_nulls_in_codes_and_in_the_dictionary() -> None:
    codes = pa.array([0, None, 1, 2], pa.int8())
    words = pa.array(["a", None, ""])
    column = pa.DictionaryArray.from_arrays(codes, words)
    assert one(column, Type.TEXT) == ["a", NULL_TEXT, NULL_TEXT, ""]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("tz", [None, "UTC", ZONE])
def test_timestamps_of_every_unit(unit: str, tz: str | None) -> None:
    column = pa.array([1, None, -1], pa.int64()).cast(pa.timestamp(unit, tz))
    micro = {"s": [10**6, -(10**6)], "ms": [1000, -1000], "us": [1, -1], "ns": [0, -1]}[unit]
    assert one(column, Type.TIME) == [micro[0], NULL_TIME, micro[1]]


def test_dates_are_midnight() -> None:
    day = dt.date(1969, 12, 31)
    for kind in (pa.date32(), pa.date64()):
        assert one(pa.array([day, None], kind), Type.TIME) == [-86_400_000_000, NULL_TIME]


@pytest.mark.parametrize("kind", list(Type))
def test_null_typed_and_empty_columns(kind: Type) -> None:
    null = {Type.TEXT: NULL_TEXT, Type.TIME: NULL_TIME}.get(kind)
    values = one(pa.nulls(2), kind)
    assert values == [null, null] if null is not None else np.isnan(values).all()
    arrow = {
        Type.NUMBER: pa.float32(),
        Type.BOOL: pa.bool_(),
        Type.TEXT: pa.string(),
        Type.TIME: pa.timestamp("s"),
    }[kind]
    empty = encode_batch(pa.table({"x": pa.chunked_array([], type=arrow)}), {"x": kind})["x"]
    assert len(empty) == 0
    assert empty.dtype == {Type.TEXT: object, Type.TIME: np.int64}.get(kind, np.float64)


def test_chunked_columns_keep_their_order() -> None:
    column = pa.chunked_array([["a", "b"], [], ["b", None, "c"]])
    assert one(column, Type.TEXT) == ["a", "b", "b", NULL_TEXT, "c"]


def test_every_problem_of_a_batch_at_once() -> None:
    table = pa.table(
        {
            "dep_time": ["x"],
            "text": ["a\x00b"],
            "when": pa.array([2**62], pa.int64()).cast(pa.timestamp("s")),
            "flag": [1],
        }
    )
    types = {"dep_tme": Type.TIME, "text": Type.TEXT, "when": Type.TIME, "flag": Type.BOOL}
    with pytest.raises(DataError) as caught:
        encode_batch(table, types)
    by_place = {p.where: p for p in caught.value.problems}
    assert list(by_place) == ["dep_tme", "text", "when", "flag"]
    assert by_place["dep_tme"].what == "the column is missing"
    assert by_place["dep_tme"].fix == "did you mean 'dep_time'?"
    assert "U+0000" in by_place["text"].what
    assert by_place["when"].what.startswith("a time is out of range")
    assert by_place["flag"].what == "expected bool, found a column of type int64"


def test_chunks_cover_the_batch_in_order() -> None:
    table = pa.table({"x": np.arange(10.0)})
    types = {"x": Type.NUMBER}
    for batch in (table, encode_batch(table, types)):
        parts = list(encode_chunks(batch, types, rows=4))
        assert [n for _, n in parts] == [4, 4, 2]
        assert np.concatenate([f["x"] for f, _ in parts]).tolist() == list(range(10))
    assert [n for _, n in encode_chunks(table, {}, rows=4)] == [4, 4, 2]
    with pytest.raises(ValueError, match="one length"):
        list(encode_chunks({"a": np.zeros(2), "b": np.zeros(3)}, types))


TYPES = {"n": Type.NUMBER, "b": Type.BOOL, "t": Type.TEXT, "w": Type.TIME}
LOCAL = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
NUMBERS = st.floats(width=64) | st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.none() | NUMBERS,
            "b": st.none() | st.booleans(),
            "t": st.none() | TEXTS,
            "w": st.none() | LOCAL,
        }
    ),
    max_size=4,
)


def as_arrow(rows: list[dict[str, Any]]) -> pa.Table:
    """The rows as ingest leaves them: local times made UTC by pyarrow."""
    local = pa.array([r["w"] for r in rows], pa.timestamp("us"))
    return pa.table(
        {
            "n": pa.array([None if r["n"] is None else float(r["n"]) for r in rows], pa.float64()),
            "b": pa.array([r["b"] for r in rows], pa.bool_()),
            "t": pa.array([r["t"] for r in rows], pa.string()),
            "w": pc.assume_timezone(local, ZONE, ambiguous="earliest", nonexistent="latest"),
        }
    )


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype, name
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_json_rows_give_the_feeds_of_arrow_rows(rows: list[dict[str, Any]]) -> None:
    arrow = encode_batch(as_arrow(rows), TYPES)
    sent = [{**r, "w": None if r["w"] is None else r["w"].isoformat()} for r in rows]
    assert_same(encode_rows(sent, TYPES, zone=ZONE), arrow)
    encoder = RowEncoder(TYPES, zone=ZONE)
    for i, row in enumerate(sent):
        assert_same(encoder.encode([row]), {n: v[i : i + 1] for n, v in arrow.items()})


@pytest.mark.parametrize("zone", [ZONE, "Europe/Dublin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
def test_the_fast_path_converts_every_local_hour_as_arrow_does(zone: str) -> None:
    step = 1_800_000_000 * 37  # a half hour of the day in turn, on changing days
    local = np.arange(-(10**15), 4_150_000_000_000_000, step, dtype=np.int64)
    expected = _arrow_utc(local, zone).tolist()
    texts = pa.array(local, pa.timestamp("us")).cast(pa.string()).to_pylist()
    types = {"w": Type.TIME, "n": Type.NUMBER}
    encoder = RowEncoder(types, zone=zone)
    keep = range(0, len(texts), 5)
    found = [int(encoder.encode([{"w": texts[i], "n": 1}])["w"][0]) for i in keep]
    assert found == [expected[i] for i in keep]
    whole = encode_rows([{"w": t} for t in texts], types, zone=zone)["w"]
    assert whole.tolist() == expected


@pytest.mark.parametrize("zone", [ZONE, "Europe/Dublin", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_the_fast_path_converts_days_of_change_as_arrow_does(zone: str) -> None:
    minute = 60_000_000
    local = np.arange(0, 4_102_444_800_000_000, 1440 * minute, dtype=np.int64)
    shift = _arrow_utc(local, zone) - local
    changing = local[:-1][shift[1:] != shift[:-1]][::9]
    assert len(changing)
    times = (changing[:, None] + np.arange(0, 1440, 15) * minute).ravel()
    encoder = RowEncoder({"w": Type.TIME, "n": Type.NUMBER}, zone=zone)
    texts = pa.array(times, pa.timestamp("us")).cast(pa.string()).to_pylist()
    found = [int(encoder.encode([{"w": t, "n": 1}])["w"][0]) for t in texts]
    assert found == _arrow_utc(times, zone).tolist()


def _arrow_utc(local: np.ndarray, zone: str) -> np.ndarray:
    times = pa.array(local, pa.timestamp("us"))
    moments = pc.assume_timezone(times, zone, ambiguous="earliest", nonexistent="latest")
    return moments.cast(pa.int64()).to_numpy()


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2013-06-01T05:15:00-04:00", "2013-06-01T09:15:00"),
        ("2013-06-01T05:15:00Z", "2013-06-01T05:15:00"),
        ("2013-06-01t05:15:00.25z", "2013-06-01T05:15:00.250000"),
        ("2013-06-01 05:15", "2013-06-01T09:15:00"),
        ("2013-06-01", "2013-06-01T04:00:00"),
        ("2013-11-03T01:30:00", "2013-11-03T05:30:00"),  # twice: the earlier
        ("2013-03-10T02:30:00", "2013-03-10T07:00:00"),  # never: the end of the gap
        ("2013-06-01T05:15:00.1234567Z", "2013-06-01T05:15:00.123456"),
    ],
)
def test_times(text: str, utc: str) -> None:
    expected = np.datetime64(utc, "us").astype(np.int64)
    types = {"w": Type.TIME, "n": Type.NUMBER}
    assert encode_rows([{"w": text}], types, zone=ZONE)["w"].tolist() == [expected]
    assert RowEncoder(types, zone=ZONE).encode([{"w": text, "n": 1}])["w"].tolist() == [expected]


BAD = [
    ("n", True, "expected number, found True"),
    ("n", "1", "expected number, found '1'"),
    ("n", [1], "expected number, found [1]"),
    ("n", 10**400, "the number is larger than a double holds"),
    ("b", 1, "expected bool, found 1"),
    ("b", "true", "expected bool, found 'true'"),
    ("t", 5, "expected text, found 5"),
    ("t", "a\x00", "the text holds the character U+0000"),
    ("w", 1370000000, "expected time, found 1370000000"),
    ("w", "yesterday", "expected time, found 'yesterday'"),
    ("w", "20130601T051500", "expected time, found '20130601T051500'"),
    ("w", "2013-02-30", "expected time, found '2013-02-30'"),
    ("w", "2013-06-01X05:15:00", "expected time, found '2013-06-01X05:15:00'"),
    ("w", "", "expected time, found ''"),
]


@pytest.mark.parametrize(("field", "value", "what"), BAD)
def test_a_wrong_value_is_named(field: str, value: Any, what: str) -> None:
    good = {"n": 1.5, "b": True, "t": "x", "w": "2013-06-01T05:15:00Z"}
    for row in ({**good, field: value}, {field: value}):
        with pytest.raises(DataError) as caught:
            encode_rows([row], TYPES, zone=ZONE)
        assert [(p.where, p.what) for p in caught.value.problems] == [(field, what)]
        assert caught.value.problems[0].fix.startswith("send")


def test_all_mistakes_of_all_rows_at_once_in_row_order() -> None:
    rows: list[Any] = [
        {"n": 1},
        {"n": "1", "destt": "x", "t": "y"},
        {"t": None, "w": "never"},
        7,
    ]
    with pytest.raises(DataError) as caught:
        encode_rows(rows, TYPES, zone=ZONE, required=["t"], where="body")
    assert [(p.where, p.what) for p in caught.value.problems] == [
        ("body.rows[0].t", "the field is missing"),
        ("body.rows[1].destt", "unknown field"),
        ("body.rows[1].n", "expected number, found '1'"),
        ("body.rows[2].w", "expected time, found 'never'"),
        ("body.rows[3]", "a row has to be an object, not a number"),
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (5551234, "a number"),
        (True, "true or false"),
        (["ann@example.org"], "a list"),
        ({"ann": 1}, "an object"),
        (dt.date(2001, 2, 3), "a time"),
    ],
)
def test_messages_about_hidden_columns_show_no_values(value: Any, told: str) -> None:
    encoder = RowEncoder({"mail": Type.TEXT, "t": Type.TEXT}, zone=ZONE, hidden=["mail"])
    with pytest.raises(DataError) as caught:
        encoder.encode([{"mail": value, "t": 7}])
    assert [p.what for p in caught.value.problems] == [
        f"expected text, found {told}",
        "expected text, found 7",
    ]
    born = RowEncoder({"born": Type.TIME}, zone=ZONE, hidden={"born"})
    with pytest.raises(DataError) as caught:
        born.encode([{"born": "the 3rd of May"}, {"born": "the 4th of May"}])
    assert {p.what for p in caught.value.problems} == {"expected time, found text"}


def test_an_unknown_field_gets_a_hint() -> None:
    with pytest.raises(DataError, match="did you mean 'sched_dep'"):
        encode_rows([{"sched_dpe": 1}], {"sched_dep": Type.NUMBER, "x": Type.TEXT}, zone=ZONE)


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(DataError, match="unknown time zone 'Mars/Olympus'"):
        RowEncoder(TYPES, zone="Mars/Olympus")


def test_no_rows_no_columns_and_one_column() -> None:
    empty = encode_rows([], TYPES, zone=ZONE)
    assert {n: (len(v), v.dtype) for n, v in empty.items()} == {
        "n": (0, np.float64),
        "b": (0, np.float64),
        "t": (0, object),
        "w": (0, np.int64),
    }
    assert encode_rows([{}], {}, zone=ZONE) == {}
    assert encode_rows([{"t": "a"}], {"t": Type.TEXT}, zone=ZONE)["t"].tolist() == ["a"]
    assert RowEncoder({"w": Type.TIME, "v": Type.TIME}, zone=ZONE).encode([{"w": None, "v": None}])[
        "w"
    ].tolist() == [NULL_TIME]
