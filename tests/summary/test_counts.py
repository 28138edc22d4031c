"""Counts in bins: they add up, whatever columns hold; what is odd is told and never raised."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from coded import count_codes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.core.errors import Corrupt
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.summary.bins import (
    FIRST,
    LOW,
    NULL,
    UNKNOWN,
    WRONG,
    Bins,
    ColumnBins,
    column_bins,
    make_bins,
    quantile_edges,
)
from headrace.summary.counts import Counter, Counts, count, no_rows
from headrace.summary.grid import make_grid
from headrace.summary.reference import (
    Reference,
    ReferenceRows,
    SliceError,
    add_blocks,
    block_of,
    by_column,
    keep,
    read_reference,
    read_rows,
    write_reference,
    write_rows,
)

DAY = 86_400_000_000
TYPES = {"x": Type.NUMBER, "n": Type.NUMBER, "flag": Type.BOOL, "word": Type.TEXT, "at": Type.TIME}


def rows(n: int, seed: int) -> dict[str, Any]:
    """Rows in raw-column form, with nulls."""
    rng = np.random.default_rng(seed)
    word = np.empty(n, dtype=object)
    word[:] = [NULL_TEXT if i == 0 else f"w{i}" for i in rng.zipf(1.5, n).clip(0, 200)]
    return {
        "x": np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(1, 2, n)),
        "n": rng.poisson(3, n).astype(float),
        "flag": np.where(rng.random(n) < 0.2, np.nan, (rng.random(n) < 0.3).astype(float)),
        "word": word,
        "at": np.where(rng.random(n) < 0.1, NULL_TIME, 1_600_000_000_000_000 + rng.integers(0, 90 * DAY, n)),
    }


def arrow(feeds: dict[str, Any]) -> dict[str, Any]:
    """The same rows as Arrow columns."""
    return {
        "x": pa.array(feeds["x"], from_pandas=True),
        "n": pa.array(feeds["n"].astype(np.int32)),
        "flag": pa.array([None if math.isnan(v) else bool(v) for v in feeds["flag"]]),
        "word": pa.array([None if w == NULL_TEXT else w for w in feeds["word"]]),
        "at": pa.array([None if t == NULL_TIME else t for t in feeds["at"].tolist()], pa.int64()).cast(
            pa.timestamp("us")
        ),
    }


numbers = st.lists(
    st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 5).map(float)), max_size=80
)


@settings(max_examples=80, deadline=None)
@given(numbers, numbers, numbers)
def test_every_number_is_counted_where_a_search_would_put_it(
    reference: list[float], first: list[float], second: list[float]
) -> None:
    bins = make_bins({"x": np.array(reference, float)}, {"x": Type.NUMBER})
    column = bins.columns[0]
    whole = count(bins, {"x": np.array(first + second, float)}, len(first) + len(second))
    parts = count(bins, {"x": np.array(first, float)}, len(first)) + count(
        bins, {"x": np.array(second, float)}, len(second)
    )
    assert (whole.codes == parts.codes).all()
    assert np.allclose(whole.sums, parts.sums) and np.allclose(whole.squares, parts.squares)
    expected = np.zeros(column.width, int)
    for value in first + second:
        if not math.isfinite(value):
            expected[NULL] += 1
        elif not column.edges or value > column.edges[-1]:
            expected[column.high] += 1
        elif value < column.edges[0]:
            expected[LOW] += 1
        else:
            expected[FIRST + np.searchsorted(column.edges[:-1], value, "right") - 1] += 1
    assert whole.codes.tolist() == expected.tolist()
    assert column.inner <= 32
    own = count(bins, {"x": np.array(reference, float)}, len(reference))
    assert own.codes[column.high] == own.codes[LOW] == 0


@settings(max_examples=80, deadline=None)
@example([-8.98846567431158e307])
@example([1.7976931348623157e308])
@example([1e-300, 1.0000000000000002e-300])
@example([-1.7e308, 0.0, 5e-324, 1.7e308])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200, unique=True))
def test_a_grid_finds_what_a_search_finds(edges: list[float]) -> None:
    ordered = np.unique(np.array(edges) + 0.0)
    grid = make_grid(ordered)
    with np.errstate(over="ignore"):
        asked = np.concatenate(
            [ordered, np.nextafter(ordered, np.inf), np.nextafter(ordered, -np.inf), ordered / 3, -ordered]
        )
    asked = asked[np.isfinite(asked)]
    assert grid.place(asked).tolist() == np.searchsorted(ordered, asked, "right").tolist()


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).normal(size=5000),
        np.random.default_rng(2).standard_cauchy(5000),
        np.random.default_rng(3).zipf(1.3, 5000).astype(float),
        np.where(np.random.default_rng(4).random(5000) < 0.7, 0.0, np.random.default_rng(5).random(5000)),
    ],
    ids=["normal", "cauchy", "zipf", "half zero"],
)
def test_bins_are_even_but_for_values_of_much_mass(values: np.ndarray) -> None:
    ordered = np.sort(values)
    edges = quantile_edges(ordered)
    found = count(Bins((ColumnBins("x", Type.NUMBER, edges=edges),)), {"x": values}, len(values)).codes[3:-1]
    assert found.sum() == len(values) and len(found) <= 32
    for i in np.flatnonzero(found > 2 * len(values) / 32):
        inside = values[(values >= edges[i]) & (values < edges[i + 1])]
        assert len(np.unique(inside)) == 1  # a value by itself


def test_arrow_columns_and_raw_columns_are_counted_alike() -> None:
    feeds = rows(3000, 0)
    bins = make_bins(feeds, TYPES, zone="America/New_York")
    live = rows(2000, 1)
    plain, as_arrow = count(bins, live, 2000), count(bins, arrow(live), 2000)
    assert plain == as_arrow
    assert (Counter(bins).codes(live, 2000) == Counter(bins).codes(arrow(live), 2000)).all()
    assert plain.codes.sum() == 5 * 2000
    coded = arrow(live) | {"word": arrow(live)["word"].dictionary_encode()}
    assert count(bins, coded, 2000) == plain
    listed = {n: c.to_pylist() for n, c in arrow(live).items()}
    listed["at"] = [None if t is None else t.isoformat() + "Z" for t in listed["at"]]
    assert count(bins, listed, 2000) == plain


def test_replicas_add_up_to_the_whole() -> None:
    bins = make_bins(rows(1000, 0), TYPES)
    live, times = rows(999, 3), np.arange(999) * DAY
    whole = count(bins, live, 999, times)
    some = np.random.default_rng(0).integers(0, 4, 999)
    parts = no_rows(bins)
    for replica in range(4):
        mine = some == replica
        parts = parts + count(bins, {n: v[mine] for n, v in live.items()}, int(mine.sum()), times[mine])
    assert (parts.codes == whole.codes).all() and parts.rows == whole.rows
    assert (parts.first, parts.last) == (whole.first, whole.last) == (0, 998 * DAY)
    assert np.allclose(parts.sums, whole.sums)


def test_counts_in_other_bins_do_not_add_up() -> None:
    one, other = make_bins(rows(100, 0), TYPES), make_bins(rows(100, 1), TYPES)
    with pytest.raises(ValueError, match="don't add up"):
        no_rows(one) + no_rows(other)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2**40), min_size=5, max_size=5),
    st.one_of(st.none(), st.integers(-(2**62), 2**62)),
)
def test_bytes_come_back_as_they_were(codes: list[int], first: int | None) -> None:
    counts = Counts(
        "b", 7, np.array(codes), np.array([math.pi, -1e300]), np.array([0.0, 1e300]), first, first
    )
    back = Counts.from_bytes(counts.to_bytes())
    assert back == counts and back.codes.tolist() == codes and back.sums.tolist() == [math.pi, -1e300]
    assert (back.first, back.last, back.rows) == (first, first, 7)


@pytest.mark.parametrize("data", [b"", b"nonsense", Counts.to_bytes(no_rows(Bins(())))[:-3]])
def test_other_bytes_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        Counts.from_bytes(data)


def test_a_year_of_hourly_windows_is_small() -> None:
    rng = np.random.default_rng(0)
    feeds = {f"c{i}": rng.normal(size=5000) for i in range(50)}
    bins = make_bins(feeds, dict.fromkeys(feeds, Type.NUMBER))
    assert len(count(bins, feeds, 5000).to_bytes()) * 365 * 24 < 100e6


def test_types_that_changed_are_told_and_not_raised() -> None:
    bins = make_bins(rows(500, 0), TYPES)
    changed: dict[str, Any] = {
        "x": pa.array(["a", None, "b"]),
        "n": pa.array([True, False, None]),
        "flag": pa.array([1, 0, None]),
        "word": pa.array([1.5, 2.5, None]),
        "at": pa.array([1, 2, None]),
    }
    found = count(bins, changed, 3)
    for name in TYPES:
        assert found.of(bins, name)[[NULL, WRONG]].tolist() == [1, 2]
    mixed = {"x": [1.0, "a", None, True, 10**400, [1]], "word": ["w1", 2, None, "w1", "w1", {}]}
    found = count(bins, mixed, 6)
    assert found.of(bins, "x")[[NULL, WRONG]].tolist() == [
        2,
        3,
    ]  # so large a number is infinite, as in a graph
    assert found.of(bins, "word")[[NULL, WRONG]].tolist() == [1, 2]
    times = ["2020-11-01T10:00:00", "2020-11-01T10:00:00+02:00", "soon", 5]
    assert count(bins, {"at": times}, 4).of(bins, "at")[WRONG] == 2


def test_empty_tables_and_columns_without_values() -> None:
    empty = {n: v[:0] for n, v in rows(5, 0).items()}
    bins = make_bins(empty, TYPES)
    assert count(bins, empty, 0).codes.sum() == 0
    live = rows(50, 1)
    found = count(bins, live, 50)
    there = int(np.isfinite(live["x"]).sum())
    assert found.of(bins, "x").tolist() == [50 - there, 0, 0, there]
    assert found.of(bins, "word")[-1] == (live["word"] != NULL_TEXT).sum()
    nothing = {"x": pa.nulls(4), "n": np.full(4, np.inf), "word": pa.nulls(4, pa.string())}
    found = count(bins, nothing, 4)
    assert all(found.of(bins, n)[NULL] == 4 for n in TYPES)  # also of columns that were not sent


def test_a_constant_column_has_one_bin() -> None:
    bins = make_bins({"x": np.full(20, 7.0)}, {"x": Type.NUMBER})
    assert bins.width == 5
    assert count(bins, {"x": np.array([6.9, 7.0, 7.1, np.nan, np.inf])}, 5).codes.tolist() == [2, 0, 1, 1, 1]


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="3 rows, 4 were expected"):
        count(make_bins(rows(9, 0), TYPES), {"x": np.zeros(3)}, 4)


def test_new_values_are_told_from_rare_ones() -> None:
    words = np.array([f"often{i % 50}" for i in range(5000)] + [f"rare{i}" for i in range(200)], dtype=object)
    column = column_bins("word", Type.TEXT, words)
    assert column.inner == 50 and column.tells_new
    bins = Bins((column,))
    told = count(bins, {"word": pa.array([f"rare{i}" for i in range(200)])}, 200)
    assert told.codes[LOW] == 200  # a Bloom filter forgets nothing
    fresh = count(bins, {"word": pa.array([f"new{i}" for i in range(1000)])}, 1000)
    assert fresh.codes[column.high] > 950  # and takes one in a hundred for known
    many = column_bins("id", Type.TEXT, np.array([f"{i}" for i in range(3000)], dtype=object))
    assert (many.inner, many.tells_new, many.seen) == (0, False, "")


def test_long_and_personal_values_are_kept_as_digests() -> None:
    words = np.array(["a" * 500, "#tag", "short"] * 10, dtype=object)
    long, personal = column_bins("t", Type.TEXT, words), column_bins("t", Type.TEXT, words, hashed=True)
    assert "a" * 500 not in str(long) and "short" in long.categories and "short" not in str(personal)
    for column in (long, personal):
        bins = Bins((column,))
        found = count(bins, {"t": pa.array(words.tolist())}, 30)
        assert found.codes[FIRST:-1].tolist() == [10, 10, 10]
        assert found == count(bins, {"t": words}, 30)
        assert count(bins, {"t": ["b" * 500]}, 1).codes[-1] == 1


def test_times_are_hours_of_the_day_in_the_zone() -> None:
    noon = int(dt.datetime(2021, 7, 1, 12, tzinfo=dt.UTC).timestamp()) * 1_000_000
    times = np.array([noon, noon + 30 * DAY, noon + 180 * DAY])
    column = column_bins("at", Type.TIME, times, zone="Europe/Berlin")
    found = Counter(Bins((column,))).codes({"at": np.append(times, [0, 2**62, NULL_TIME])}, 6)[:, 0]
    assert found.tolist() == [FIRST + 14, FIRST + 14, FIRST + 13, LOW, column.high, NULL]
    dates = count(Bins((column,)), {"at": pa.array([dt.date(2021, 7, 1)])}, 1)
    assert dates.codes[FIRST + 2] == 1


def test_means_come_back_from_moments() -> None:
    rng = np.random.default_rng(0)
    values = 1e9 + rng.normal(size=4000)
    bins = make_bins({"x": values}, {"x": Type.NUMBER})
    n, mean, std = count(bins, {"x": pa.array(values + 0.3)}, 4000).moments(bins, "x")
    assert n == 4000 and mean == pytest.approx(values.mean() + 0.3, abs=1e-6)
    assert std == pytest.approx(values.std(), rel=1e-6)


def test_blocks_add_up_to_all_rows() -> None:
    bins = make_bins(rows(800, 0), TYPES)
    codes = np.array(Counter(bins).codes(rows(800, 0), 800))
    codes[:50, 1] = UNKNOWN
    blocks = np.zeros((7, bins.width), np.uint32)
    block = block_of(800, 7)
    for start in range(0, 800, 300):
        add_blocks(bins, blocks, codes[start : start + 300], block[start : start + 300])
    assert (blocks.sum(axis=0) == count_codes(bins, codes).codes).all()
    assert blocks[:, bins.span("x")].sum(axis=1).tolist() == np.bincount(block).tolist()


def test_rows_come_back_and_stay_small() -> None:
    n, rng = 20_000, np.random.default_rng(0)
    made = ReferenceRows(
        codes=rng.integers(0, 36, (n, 50)).astype(np.uint8),
        time=np.arange(n),
        unit=np.arange(n),
        run=np.zeros(n, np.int64),
        score=np.where(np.arange(n) < 10, np.nan, rng.random(n)),
        truth=np.zeros(n),
        decision=np.zeros(n, np.int64),
        blocks=rng.integers(0, 9, (512, 2000)).astype(np.uint32),
        starts=np.arange(512),
        sizes=np.full(512, 40),
        timed=False,
    )
    data = write_rows(made)
    back = read_rows(data)
    assert data == write_rows(back) and len(data) < 3e6
    assert (back.codes == made.codes).all() and back.timed is False and back.answered.sum() == n - 10
    with pytest.raises(Corrupt):
        read_rows(data[:100])


def test_kept_rows_are_runs_over_the_whole() -> None:
    kept, run = keep(1_000_000)
    assert len(kept) == 20_000 and (np.diff(kept) > 0).all() and kept[-1] == 999_999
    assert (np.bincount(run) == 500).all() and (np.diff(kept)[np.diff(run) == 0] == 1).all()


@pytest.mark.parametrize("kind", ["numbers", "short words", "long words", "rare words"])
def test_fifty_columns_take_less_than_100_kb(kind: str) -> None:
    rng, n = np.random.default_rng(0), 20_000
    feeds: dict[str, Any] = {}
    for i in range(50):
        if kind == "numbers":
            feeds[f"column_{i}"] = rng.lognormal(0, 5, n)
            continue
        length, many = {"short words": (6, 500), "long words": (39, 60), "rare words": (30, 350)}[kind]
        words = np.array([f"{w:x}é".rjust(length, '"') for w in rng.integers(0, 1 << 30, many)], dtype=object)
        feeds[f"column_{i}"] = words[rng.zipf(1.2, n).clip(1, many) - 1]
    bins = make_bins(feeds, dict.fromkeys(feeds, Type.NUMBER if kind == "numbers" else Type.TEXT))
    whole = count(bins, feeds, n)
    reference = Reference(
        bins=bins,
        rows=n,
        counts=by_column(bins, whole),
        sums=tuple(whole.sums.tolist()),
        squares=tuple(whole.squares.tolist()),
        first=None,
        last=None,
        parts={"validation": n},
        outputs=(),
        metric="roc_auc",
        slices=tuple(SliceError(f"column_{i} = north", 400, 0.123456789012345, 0.1, 0.2) for i in range(50)),
    )
    data = write_reference(reference)
    assert 20_000 < len(data) < 100_000
    back = read_reference(data)
    assert back == reference and back.made() == whole and back.bins.digest == bins.digest
    with pytest.raises(Corrupt):
        read_reference(data[:-9])
