"""Cleaning of columns: every constant against pandas, every cleaned value against plain Python, texts and
times against Python's strptime and DuckDB's trim."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import DataError
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.spec.tables import Clean, ColumnCleaning
from headrace.expr.parse import parse
from headrace.features.clean import (
    CleanedColumn,
    clean_plan,
    cleaned_nodes,
    cleaned_types,
    flag_features,
    prepares_of,
)
from headrace.features.compile import feature_graph
from headrace.features.fit import fit_features
from headrace.features.fit_clean import CellCounter, columns_to_fit, fit_clean
from headrace.features.plan import plan_features
from headrace.features.statistics import Values
from headrace.graph.encode import encode_batch, encode_rows
from headrace.graph.run import Runner
from headrace.graph.texts import DIRECTIVES, SPACE, Prepare, format_pattern

EPOCH = datetime(1970, 1, 1)
RAW = {"x": Type.NUMBER, "b": Type.BOOL, "t": Type.TEXT, "booked": Type.TEXT, "at": Type.TIME}
ARROW = pa.schema(
    {"x": pa.float64(), "b": pa.bool_(), "t": pa.string(), "booked": pa.string(), "at": pa.timestamp("us")}
)
FORMATS = (
    *("%d/%m/%Y", "%Y-%m-%d", "%d%m%Y", "%Y%m%d%H%M%S", "%y.%m.%d", "%b-%d-%Y", "%d%B%y", "%Y-%m"),
    *("%d/%m/%Y %H:%M", "%m/%d/%y %I:%M:%S %p", "%A,%d.%m.%Y", "%a %d %b %Y %H:%M:%S.%f", "%Y", "%%%Y%%%m"),
)


def texts(values: list[str | None]) -> np.ndarray:
    made = np.empty(len(values), dtype=object)
    made[:] = [NULL_TEXT if v is None else v for v in values]
    return made


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def strptime(text: str, form: str) -> int:
    try:
        return micros(datetime.strptime(text, form))
    except ValueError:
        return NULL_TIME


@pytest.mark.parametrize("form", FORMATS)
def test_times_are_read_as_python_reads_them(form: str) -> None:
    draw = random.Random(form)
    spelled = []
    for _ in range(400):
        moment = datetime(draw.randint(1000, 9999), 1, 1) + timedelta(
            days=draw.randint(0, 364), microseconds=draw.randint(0, 86_399_999_999)
        )
        text = moment.strftime(form)
        for _ in range(draw.choice([0, 0, 1, 1, 2, 5])):
            place = draw.randrange(len(text) + 1)
            letter = draw.choice(["", *"0123456789/-.:%aApPmMx"])
            text = text[:place] + letter + text[place + draw.choice([0, 1]) :]
        spelled.append(draw.choice([text, text.upper(), text.lower()]))
    found = Prepare(parse=form).apply(texts(spelled)).tolist()
    assert found == [strptime(t, form) for t in spelled]
    assert sum(f != NULL_TIME for f in found) > 20


def test_offsets_and_wall_clocks() -> None:
    zoned = Prepare(parse="%d/%m/%Y %H:%M %z", zone="America/New_York")
    local = Prepare(parse="%d/%m/%Y %H:%M", zone="America/New_York")
    spelled = [
        "10/03/2024 01:30",
        "10/03/2024 02:30",
        "03/11/2024 01:30",
        "01/07/2024 00:00",
        "31/06/2024 1:00",
    ]
    utc = [(3, 10, 6, 30), (3, 10, 7, 0), (11, 3, 5, 30), (7, 1, 4, 0)]
    assert local.apply(texts(spelled)).tolist() == [*(micros(datetime(2024, *u)) for u in utc), NULL_TIME]
    with_offset = [
        "01/07/2024 00:00 +0530",
        "01/07/2024 00:00 -05:30",
        "01/07/2024 00:00 z",
        "01/07/2024 00:00 5",
    ]
    there = [datetime(2024, 6, 30, 18, 30), datetime(2024, 7, 1, 5, 30), datetime(2024, 7, 1)]
    assert zoned.apply(texts(with_offset)).tolist() == [*map(micros, there), NULL_TIME]


def test_only_ascii_digits_and_years_that_exist() -> None:
    spelled = [
        "٠١/٠١/٢٠٢٤",
        "01/01/0000",
        "01/01/0001",
        "31/12/9999",
        " 01/01/2024",
        "01/01/2024\n",
        "",
        None,
    ]
    read = Prepare(parse="%d/%m/%Y").apply(texts(spelled)).tolist()
    assert [r != NULL_TIME for r in read] == [False, False, True, True, False, False, False, False]
    read = Prepare(trim=True, parse="%d/%m/%Y").apply(texts(spelled)).tolist()
    assert [r != NULL_TIME for r in read] == [False, False, True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("%Q", "%Q is no part"),
        ("%", "% is no part"),
        ("%d/%m", "no year"),
        ("%Y-%d", "a day and no month"),
        ("%Y %M", "no hour"),
        ("%Y %I", "%I and %p together"),
        ("%Y %H %p", "%I and %p together"),
        ("%Y %H %S", "leaves out the minutes"),
        ("%Y %Y", "%Y twice"),
        ("%Y %y", "both %Y and %y"),
        ("", "no year"),
    ],
)
def test_formats_that_mean_nothing_are_refused(form: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        format_pattern(form)


SPACED = st.text(st.sampled_from([*SPACE, "a", "B", "\u200b", "\ufeff", "é", "\x1f"]), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(SPACED, min_size=1, max_size=12))
def test_trimming_is_duckdbs_trim_of_the_same_characters(values: list[str]) -> None:
    cut = duckdb.execute("select trim(unnest(?), ?)", [values, SPACE]).fetchall()
    assert Prepare(trim=True).apply(texts(values)).tolist() == [row[0] or NULL_TEXT for row in cut]


def test_what_is_trimmed_is_unicodes_white_space() -> None:
    """Python's isspace has four information separators more, which Unicode doesn't count."""
    white = {chr(c) for c in range(0x110000) if chr(c).isspace()} - set("\x1c\x1d\x1e\x1f")
    assert set(SPACE) == white


def test_what_a_graph_says_of_its_texts_is_read_again() -> None:
    for form in FORMATS:
        prepare = Prepare(trim=True, parse=form, zone="Europe/Berlin")
        assert Prepare.of(prepare.plain) == prepare
    assert {d for f in FORMATS for d in DIRECTIVES if f"%{d}" in f} >= set(DIRECTIVES) - {"z"}


NUMBERS = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, -3.5, 1e300, -1e300, 1.7e308, -1.7e308])),
    min_size=1,
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(values=NUMBERS, q=st.floats(0, 1), cut=st.integers(0, 60))
def test_statistics_are_exact(values: list[float], q: float, cut: int, tmp_path_factory: Any) -> None:
    store = Values(tmp_path_factory.mktemp("values") / "v", np.float64)
    array = np.array(values) + 0.0
    store.add(array[:cut])
    store.add(array[cut:])
    assert len(store) == len(values)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = float(np.quantile(array, q))
    if math.isfinite(expected):
        assert store.quantile(q) == pytest.approx(expected, rel=1e-12, abs=1e-300)
    assert math.isfinite(store.quantile(q))
    assert store.mode() == pd.Series(array).mode()[0]
    assert store.middle() == sorted(values)[(len(values) - 1) // 2]
    exact = sum(map(pd_fraction, values)) / len(values)
    assert store.mean(None, None) == pytest.approx(float(exact), rel=1e-12, abs=1e-300)
    assert store.mean(-2.0, 2.0) == pytest.approx(float(np.clip(array, -2, 2).mean()), abs=1e-12)
    assert store.quantile(q, -2.0, 2.0) == pytest.approx(
        float(np.quantile(np.clip(array, -2, 2), q)), abs=1e-12
    )


def pd_fraction(value: float) -> Any:
    from fractions import Fraction

    return Fraction(value)


def test_a_run_of_equal_values_may_cross_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.features.statistics._CHUNK", 3)
    store = Values(tmp_path / "v", np.float64)
    store.add(np.array([5.0, 5, 1, 1, 1, 1, 2, 2, 2, 5, 5, 5]))
    assert store.mode() == 5.0
    assert store.mode(None, 2.0) == 2.0


def fit(clean: Clean, table: pa.Table, tmp_path: Path, batch: int = 7) -> tuple[CleanedColumn, ...]:
    wanted = columns_to_fit(clean)
    batches = table.select(wanted).to_batches(max_chunksize=batch) if wanted else []
    types = cleaned_types(clean, RAW)
    folder = tmp_path / f"fit-{random.random()}"
    folder.mkdir()
    return fit_clean(clean, types, batches, zone="UTC", folder=folder)


def a_table(seed: int = 0, rows: int = 501) -> pa.Table:
    draw = random.Random(seed)
    data: dict[str, list[Any]] = {
        "x": [None if draw.random() < 0.1 else round(draw.gauss(0, 10), 1) for _ in range(rows)],
        "b": [draw.choice([True, True, False, None]) for _ in range(rows)],
        "t": [draw.choice([None, "A", " a", "b ", "B", "b", "  ", "", "cC"]) for _ in range(rows)],
        "booked": [draw.choice([None, "1/2/2024", " 01/02/2024 ", "3/3/2023", "2024-02-01", "30/2/2024"])
                 for _ in range(rows)],
        "at": [None if draw.random() < 0.1 else EPOCH + timedelta(minutes=draw.randint(-99, 9999))
               for _ in range(rows)],
    }  # fmt: skip
    return pa.table(data, schema=ARROW)


CLIPS: list[Any] = [None, "iqr", (0.05, 0.9), (0.5, 1.0)]


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("fill", ["median", "mean", "mode", 3.25, None])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_constants_of_numbers_are_those_of_pandas(
    clip: Any, fill: Any, seed: int, tmp_path: Path
) -> None:
    table = a_table(seed, rows=500 + seed)
    clean = Clean(columns={"x": ColumnCleaning(clip=clip, fill=fill, flag=True)})
    (fitted,) = fit(clean, table, tmp_path)
    series = table["x"].to_pandas()
    low = high = None
    if clip == "iqr":
        q1, q3 = series.quantile(0.25), series.quantile(0.75)
        low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    elif clip is not None:
        low, high = (series.quantile(q) for q in clip)
    assert (fitted.low, fitted.high) == (
        pytest.approx(low) if low is not None else None,
        pytest.approx(high) if high is not None else None,
    )
    inside = series.clip(fitted.low, fitted.high)
    expected = {"median": inside.median(), "mean": inside.mean(), "mode": inside.mode()[0]}.get(fill, fill)
    assert fitted.fill == (pytest.approx(expected) if expected is not None else None)


def test_the_constants_of_texts_bools_and_times(tmp_path: Path) -> None:
    table = a_table(3)
    clean = Clean(
        columns={
            "t": ColumnCleaning(trim=True, case="lower", fill="mode"),
            "b": ColumnCleaning(fill="mode"),
            "booked": ColumnCleaning(trim=True, parse="%d/%m/%Y", fill="mode"),
            "at": ColumnCleaning(fill="median"),
        }
    )
    at, b, when, t = fit(clean, table, tmp_path)
    words = Counter(v.strip().lower() for v in table["t"].to_pylist() if v and v.strip())
    assert t.fill == min(words, key=lambda w: (-words[w], w))
    assert b.fill is True
    moments = [strptime((v or "").strip(), "%d/%m/%Y") for v in table["booked"].to_pylist()]
    counts = Counter(m for m in moments if m != NULL_TIME)
    assert when.fill == min(counts, key=lambda m: (-counts[m], m))
    known = sorted(micros(v) for v in table["at"].to_pylist() if v is not None)
    assert at.fill == known[(len(known) - 1) // 2]


def test_the_order_of_rows_and_batches_changes_no_constant(tmp_path: Path) -> None:
    clean = Clean(columns={"x": ColumnCleaning(clip="iqr", fill="mean"), "t": ColumnCleaning(fill="mode")})
    table = a_table(4)
    order = np.random.default_rng(0).permutation(table.num_rows)
    assert fit(clean, table, tmp_path) == fit(clean, table.take(pa.array(order)), tmp_path, batch=100)


def test_nothing_to_fit_on_is_told_for_every_column_at_once(tmp_path: Path) -> None:
    rows = [{"x": None, "b": None, "t": "  ", "booked": "nonsense", "at": None}] * 3
    clean = Clean(
        columns={
            "x": ColumnCleaning(clip="iqr", fill="median"),
            "t": ColumnCleaning(trim=True, fill="mode"),
            "booked": ColumnCleaning(parse="%d/%m/%Y", fill="median"),
            "b": ColumnCleaning(fill=True),
        }
    )
    with pytest.raises(DataError) as caught:
        fit(clean, pa.Table.from_pylist(rows, schema=ARROW), tmp_path)
    assert [p.where for p in caught.value.problems] == [
        "clean.columns.booked",
        "clean.columns.t",
        "clean.columns.x",
    ]
    assert "clip: iqr and fill: median" in caught.value.problems[-1].what


def test_bounds_that_would_leave_one_value_are_not_applied(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{"x": 0.0}] * 90 + [{"x": float(i)} for i in range(10)], schema=ARROW)
    (fitted,) = fit(Clean(columns={"x": ColumnCleaning(clip="iqr", fill="median")}), table, tmp_path)
    assert (fitted.low, fitted.high, fitted.fill) == (None, None, 0.0)
    assert "not clipped" in fitted.note


CLEAN = Clean(
    columns={
        "x": ColumnCleaning(cap=12.0, clip=(0.1, 0.9), flag=True, fill="mean"),
        "b": ColumnCleaning(flag=True, fill=False),
        "t": ColumnCleaning(trim=True, case="upper", flag=True, fill="none given"),
        "booked": ColumnCleaning(trim=True, parse="%d/%m/%Y", flag=True, fill="2020-05-06"),
        "at": ColumnCleaning(fill="median"),
    }
)
FEATURES = {
    "x": "x",
    "twice": "x + x",
    "b": "b",
    "t": "t",
    "month": "month(booked)",
    "days": "date_diff('day', booked, at)",
    "late": "at > booked",
}


def built(table: pa.Table, tmp_path: Path) -> tuple[Runner, tuple[CleanedColumn, ...], Any]:
    """The feature graph over cleaned columns, as the features stage builds it."""
    fitted = fit(CLEAN, table, tmp_path)
    types = cleaned_types(CLEAN, RAW)
    flags = flag_features(CLEAN, types, "UTC")
    exprs = {n: parse(e, types) for n, e in FEATURES.items()} | flags
    plan = clean_plan(plan_features(exprs), cleaned_nodes(CLEAN, fitted, types), flags)
    doors = prepares_of(CLEAN, "UTC")
    matrix = fit_features(plan, table.to_batches(), min_count=1, prepares=doors)
    return Runner(feature_graph(matrix, doors)), fitted, matrix


def expected_row(
    row: dict[str, Any], fitted: dict[str, CleanedColumn], words: tuple[str, ...]
) -> list[float]:
    """One row of the matrix, cleaned by hand."""

    def flag(value: Any) -> float:
        return math.nan if value is None else float(value)

    x = fitted["x"]
    raw = row["x"]
    capped, inside = None, x.fill
    if raw is not None:
        capped, inside = raw >= 12, min(max(raw, x.low), x.high)
    t = (row["t"] or "").strip(SPACE).upper() or None
    when = strptime((row["booked"] or "").strip(SPACE), "%d/%m/%Y")
    moment = fitted["booked"].fill if when == NULL_TIME else when
    at = fitted["at"].fill if row["at"] is None else micros(row["at"])
    day = 86_400_000_000
    code = 3 + words.index(t or "none given")
    month = (EPOCH + timedelta(microseconds=moment)).month
    return [
        *(inside, 2 * inside, flag(bool(row["b"])), code, month, at // day - moment // day, at > moment),
        *(row["b"] is None, when == NULL_TIME, t is None, flag(capped), raw is None),
    ]


def test_every_cleaned_value_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    table = a_table(5)
    runner, fitted, matrix = built(table, tmp_path)
    names = [f.name for f in matrix.features]
    assert names[len(FEATURES) :] == ["b_missing", "booked_missing", "t_missing", "x_capped", "x_missing"]
    words = matrix.features[names.index("t")].vocabulary
    by_name = {c.column: c for c in fitted}
    expected = np.array([expected_row(r, by_name, words) for r in table.to_pylist()], np.float32)
    X = runner.run(encode_batch(table, runner.inputs), table.num_rows)["features"]
    np.testing.assert_array_equal(X, expected)
    assert runner.inputs == RAW  # callers send what the source holds: `booked` is text


def test_a_single_request_gives_the_row_of_the_matrix(tmp_path: Path) -> None:
    table = a_table(6, rows=120)
    runner, _, _ = built(table, tmp_path)
    X = runner.run(encode_batch(table, runner.inputs), table.num_rows)["features"]
    for i, row in enumerate(table.to_pylist()):
        feeds = encode_rows([row], runner.inputs, zone="UTC")
        np.testing.assert_array_equal(runner.run(feeds, 1)["features"], X[i : i + 1])


def test_cells_are_counted_by_step_and_part(tmp_path: Path) -> None:
    train, validation = a_table(7), a_table(8, rows=99)
    fitted = fit(CLEAN, train, tmp_path)
    counter = CellCounter(CLEAN, fitted, cleaned_types(CLEAN, RAW), zone="UTC")
    for part, table in (("train", train), ("validation", validation)):
        for batch in table.to_batches(max_chunksize=50):
            counter.add(part, encode_batch(batch, RAW), batch.num_rows)
    found = {(c.column, c.step): (c.train, c.validation) for c in counter.cells()}
    x = next(c for c in fitted if c.column == "x")

    def count(column: str, test: Any) -> tuple[int, int]:
        return tuple(sum(map(test, t[column].to_pylist())) for t in (train, validation))

    def known(test: Any) -> Any:
        return lambda v: v is not None and test(v)

    assert found["x", "cap"] == count("x", known(lambda v: v >= 12))
    assert found["x", "clip low"] == count("x", known(lambda v: v < x.low))
    assert found["x", "clip high"] == count("x", known(lambda v: v > x.high))
    assert found["x", "missing"] == found["x", "fill"] == count("x", lambda v: v is None)
    assert found["t", "trim"] == count("t", known(lambda v: v != v.strip() or not v))
    assert found["t", "case"] == count("t", known(lambda v: v.strip() != v.strip().upper()))
    assert found["t", "fill"] == count("t", lambda v: not (v or "").strip())
    good = known(lambda v: strptime(v.strip(), "%d/%m/%Y") != NULL_TIME)
    assert found["booked", "parse"] == count("booked", good)
    assert found["booked", "unparseable"] == count("booked", known(lambda v: not good(v)))
    assert ("b", "case") not in found
    assert list(dict.fromkeys(c.column for c in counter.cells())) == sorted(CLEAN.columns)


def test_zone_of_a_fill_is_the_projects(tmp_path: Path) -> None:
    clean = Clean(columns={"at": ColumnCleaning(fill="2024-07-01")})
    (fitted,) = fit_clean(clean, RAW, [], zone="America/New_York", folder=tmp_path)
    assert fitted.fill == micros(datetime(2024, 7, 1, 4, tzinfo=UTC).replace(tzinfo=None))
