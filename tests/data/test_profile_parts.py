"""The accumulators of a profile: exact where they say so, within their bounds elsewhere."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from headrace.core.schema import Column, Type
from headrace.data.profile.columns import SeenTexts
from headrace.data.profile.copies import Copies
from headrace.data.profile.coverage import coverage_of
from headrace.data.profile.days import DAY, Days
from headrace.data.profile.distinct import Distinct
from headrace.data.profile.frequent import Frequent
from headrace.data.profile.hashing import hash_texts, mix, take_rows
from headrace.data.profile.histogram import at_levels, bars
from headrace.data.profile.moments import Ends, Moments
from headrace.data.profile.quantiles import Quantiles
from headrace.data.profile.spelling import Spelling, variants
from headrace.data.profile.together import Together


def test_names_of_texts_tell_texts_apart() -> None:
    """Prefixes, lengths around whole words, bytes beyond ASCII, slices of a buffer: all differ, once."""
    words = [
        "",
        "a",
        "b",
        "aa",
        "a" * 7,
        "a" * 8,
        "a" * 9,
        "a" * 16,
        "a" * 255,
        "a" * 256,
        "a" * 257,
        "a" * 3000,
    ]
    words += ["b" + "a" * 8, "a" * 8 + "b", "ä", "ae", "é", "日本", "日本語", "a ", " a", "\t"]
    names = hash_texts(pa.array(words))
    assert len(set(names.tolist())) == len(words)
    assert (hash_texts(pa.array(["x", *words])[1:]) == names).all(), "an offset into a buffer changes nothing"
    one_by_one = [int(hash_texts(pa.array([w]))[0]) for w in words]
    assert names.tolist() == one_by_one


def test_names_are_spread_evenly() -> None:
    names = hash_texts(pa.array([f"user-{i}" for i in range(200_000)]))
    assert len(np.unique(names)) == 200_000
    counts = np.bincount((names >> np.uint64(58)).astype(np.int64), minlength=64)
    chi = float(((counts - 3125) ** 2 / 3125).sum())
    assert chi < 63 + 5 * math.sqrt(2 * 63), "chi-squared with 63 degrees of freedom"


def test_distinct_is_exact_up_to_its_bound_and_near_beyond() -> None:
    counted = Distinct(kept=1000)
    for start in range(0, 1000, 100):
        counted.add(mix(np.arange(start, start + 100, dtype=np.uint64)))
        counted.add(mix(np.arange(0, 50, dtype=np.uint64)))
    assert (counted.count, counted.exact, counted.error) == (1000, True, 0.0)


def test_estimates_of_distinct_are_as_far_off_as_they_say() -> None:
    """200 sketches of 20,000 values: unbiased, with the standard error that is told."""
    off = []
    for seed in range(200):
        counted = Distinct(kept=512)
        counted.add(mix(np.arange(seed * 20_000, (seed + 1) * 20_000, dtype=np.uint64)))
        assert not counted.exact
        off.append(counted.count / 20_000 - 1)
    assert abs(np.mean(off)) < 4 * counted.error / math.sqrt(200)
    assert 0.8 < np.std(off) / counted.error < 1.2


def test_distinct_does_not_depend_on_order_or_batches() -> None:
    names = mix(np.arange(50_000, dtype=np.uint64) % np.uint64(30_000))
    whole, cut = Distinct(), Distinct()
    whole.add(names)
    for part in np.array_split(names[::-1], 37):
        cut.add(part)
    assert whole.count == cut.count
    assert not whole.exact


def test_frequent_values_are_exact_up_to_the_bound() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 50, 10_000)
    seen = Frequent(np.int64, kept=64)
    for part in np.array_split(values, 7):
        seen.add(*np.unique(part, return_counts=True))
    truth = sorted(((int(v), int(n)) for v, n in zip(*np.unique(values, return_counts=True), strict=True)))
    assert seen.error == 0
    assert seen.most(50) == sorted(truth, key=lambda v: (-v[1], v[0]))


def test_frequent_values_are_never_more_off_than_told() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([np.full(4_000, -7), np.full(2_500, -3), rng.integers(0, 20_000, 40_000)])
    rng.shuffle(values)
    seen = Frequent(np.int64, kept=100)
    for part in np.array_split(values, 9):
        seen.add(*np.unique(part, return_counts=True))
    truth = dict(zip(*np.unique(values, return_counts=True), strict=True))
    assert [v for v, _ in seen.most(2)] == [-7, -3]
    assert 0 < seen.error < 2_000
    for value, count in seen.most(100):
        assert truth[value] - seen.error <= count <= truth[value]


def test_frequent_texts_keep_their_spelling() -> None:
    seen = Frequent(np.uint64, kept=4)
    for words in (["b", "a", "c"], ["a", "ä", "d", "e", "f"], ["a", "b"]):
        array = pa.array(words)
        seen.add(hash_texts(array), np.full(len(words), 5), partial(take_rows, array))
    assert seen.most(1)[0][0] == "a"
    assert {w for w, _ in seen.most(9)} <= set("abcdefä")


@pytest.mark.parametrize("order", ["random", "ascending", "descending", "repeats"])
def test_quantiles_are_within_the_bound(order: str) -> None:
    rng = np.random.default_rng(2)
    values = rng.lognormal(0, 2, 300_000)
    if order == "ascending":
        values.sort()
    elif order == "descending":
        values = np.sort(values)[::-1]
    elif order == "repeats":
        values = np.round(values)
    sketch = Quantiles(block=512)
    for part in np.array_split(values, 23):
        sketch.add(np.sort(part))
    ordered = np.sort(values)
    assert 0 < sketch.error < 0.02
    assert sketch.weighted()[1].sum() == values.size
    for level in (0.01, 0.25, 0.5, 0.9, 0.99):
        (found,) = at_levels(sketch, (level,))
        low = np.searchsorted(ordered, found, side="left") / values.size
        high = np.searchsorted(ordered, found, side="right") / values.size
        assert low - sketch.error - 1e-5 <= level <= high + sketch.error + 1e-5


def test_few_values_have_exact_quantiles() -> None:
    sketch = Quantiles()
    values = np.random.default_rng(3).normal(size=20_001)
    sketch.add(np.sort(values))
    assert sketch.error == 0
    assert at_levels(sketch, (0.5,)) == (float(np.median(values)),)


def test_bars_hold_every_row() -> None:
    rng = np.random.default_rng(4)
    values = np.sort(np.concatenate([rng.normal(size=5_000), [1e6, 2e6, -1e6]]))
    sketch = Quantiles()
    sketch.add(values)
    edges, counts, below, above = bars(sketch, values[0], values[-1], whole=False)
    assert sum(counts) + below + above == values.size
    assert edges[0] > -5 and edges[-1] < 5, "far values don't squeeze the rest into one bar"
    assert above >= 2 and below >= 1
    assert list(counts) == np.histogram(values, edges)[0].tolist()


def test_whole_numbers_have_a_bar_each() -> None:
    sketch = Quantiles()
    sketch.add(np.sort(np.repeat(np.arange(7), [3, 1, 4, 1, 5, 9, 2])))
    edges, counts, _, _ = bars(sketch, 0.0, 6.0, whole=True)
    assert counts == (3, 1, 4, 1, 5, 9, 2)
    assert edges[0] == -0.5


def test_moments_of_a_large_mean_keep_their_digits() -> None:
    values = 1e9 + np.random.default_rng(5).normal(size=10_000)
    seen = Moments()
    for part in np.array_split(values, 13):
        seen.add(part)
    assert seen.mean == pytest.approx(values.mean(), rel=1e-15)
    assert seen.std == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert Moments().mean is None and Moments().std is None


def test_ends_count_every_row_of_theirs() -> None:
    values = np.random.default_rng(6).integers(0, 40, 5_000)
    seen = Ends(kept=3)
    for part in np.array_split(values, 11):
        seen.add(*np.unique(part, return_counts=True))
    counts = np.bincount(values)
    assert seen.low == [(i, counts[i]) for i in (0, 1, 2)]
    assert seen.high == [(i, counts[i]) for i in (39, 38, 37)]


def test_copies_are_counted_exactly_and_then_estimated() -> None:
    names = mix(np.arange(9_000, dtype=np.uint64))
    some = Copies(kept=20_000)
    some.add(names)
    some.add(names[:400])
    some.add(names[:100])
    assert (some.count(), some.share) == (500, 1.0)
    many = Copies(kept=2_000)
    for part in np.array_split(np.concatenate([names, names[:3000], names[:3000]]), 12):
        many.add(part)
    assert many.share < 1
    assert many.count() == pytest.approx(6000, rel=0.25), "some 500 names are left: a fifth is five errors"


def test_correlations_are_those_of_pairs_that_are_known() -> None:
    rng = np.random.default_rng(7)
    rows = 9_000
    base = rng.normal(size=rows)
    columns = [base, 1e6 + 5 * base + rng.normal(size=rows), rng.normal(size=rows), np.full(rows, 3.0), -base]
    masks = [None, rng.random(rows) < 0.3, rng.random(rows) < 0.2, None, rng.random(rows) < 0.5]
    seen = Together(5)
    for a, b in ((0, 1000), (1000, 1003), (1003, 9000)):
        seen.add([(c[a:b], None if m is None else m[a:b]) for c, m in zip(columns, masks, strict=True)])
    r = seen.correlations()
    for i, left in enumerate(columns):
        for j, right in enumerate(columns):
            both = np.ones(rows, bool)
            for m in (masks[i], masks[j]):
                both &= ~m if m is not None else True
            assert seen.rows()[i][j] == both.sum()
            if 3 in (i, j):
                assert r[i][j] is None, "a constant goes with nothing"
            else:
                assert r[i][j] == pytest.approx(np.corrcoef(left[both], right[both])[0, 1], abs=2e-4)


def test_what_lies_under_a_null_does_not_count() -> None:
    values, null = np.array([1.0, 2.0, np.nan, 4.0, np.inf]), np.array([0, 0, 1, 0, 1], bool)
    seen = Together(2)
    seen.add([(values, null), (np.array([2.0, 4.0, 9.0, 8.0, 1.0]), None)])
    assert seen.correlations()[0][1] == 1.0


def test_wide_tables_take_a_share_of_the_rows() -> None:
    seen = Together(130)
    assert seen.every == 5
    rng = np.random.default_rng(8)
    base = rng.normal(size=20_000)
    seen.add([(base + rng.normal(size=20_000), None) for _ in range(130)])
    assert seen.rows()[0][1] == pytest.approx(4_000, rel=0.1)
    assert seen.correlations()[0][1] == pytest.approx(0.5, abs=0.06)


def test_the_correlation_ratio_is_that_of_the_classes() -> None:
    rng = np.random.default_rng(9)
    truth = rng.integers(0, 3, 6_000).astype(float)
    truth[:50] = np.nan
    x = np.array([0.0, 5.0, 1.0])[np.nan_to_num(truth).astype(int)] + rng.normal(size=6_000)
    seen = Together(2, classes=3)
    seen.add([(x, None), (rng.normal(size=6_000), None)], truth)
    known = ~np.isnan(truth)
    groups = [x[known & (truth == c)] for c in range(3)]
    between = sum(g.size * (g.mean() - x[known].mean()) ** 2 for g in groups)
    eta = math.sqrt(between / ((x[known] - x[known].mean()) ** 2).sum())
    found = seen.ratios()
    assert found[0] == pytest.approx(eta, abs=2e-4)
    assert found[1] is not None and found[1] < 0.05


def test_texts_are_told_by_their_looks() -> None:
    words = [
        "12",
        "-3.5",
        "1,234",
        "1e5",
        "12%",
        " 7 ",
        "2013-01-31",
        "31/01/2013 05:00",
        "12 km",
        "x",
        "",
        "a ",
        "1.2.3",
    ]
    look = Spelling()
    look.add(pa.array(words), np.full(len(words), 2))
    assert (look.rows, look.numbers, look.dates) == (26, 12, 4)
    assert (look.empty, look.spaced, look.shortest, look.longest) == (2, 4, 0, 16)


def test_variants_differ_by_case_and_space_alone() -> None:
    found = variants([("New  York", 3), ("new york", 9), ("NY", 1), ("Zürich", 2), ("ZÜRICH", 2)])
    assert found == [(("new york", 9), ("New  York", 3)), (("ZÜRICH", 2), ("Zürich", 2))]


def test_days_are_those_of_the_wall_clock() -> None:
    """01:30 in Berlin is the day before in UTC, summer and winter."""
    berlin = Days("Europe/Berlin")
    moments = np.array(["2024-01-01T23:30", "2024-07-01T22:30", "2024-07-01T21:30"], "datetime64[us]")
    berlin.add(np.sort(moments.astype(np.int64)), np.array([1, 2, 4]))
    found = coverage_of("at", "Europe/Berlin", berlin)
    assert found is not None
    assert sum(found.rows) == 7
    days, _ = berlin.items()
    assert np.array(days, "datetime64[D]").astype(str).tolist() == ["2024-01-02", "2024-07-01", "2024-07-02"]


def test_gaps_are_longer_than_usual() -> None:
    days = np.array([d for d in range(200) if d % 7 not in (5, 6) and not 60 <= d < 75])
    seen = Days("UTC")
    seen.add(days * DAY + 1, np.ones(days.size, np.int64))
    found = coverage_of("at", "UTC", seen)
    assert found is not None
    assert (found.step, found.gap_count) == (1, 1), "weekends are no gaps"
    assert (found.gaps[0].first, found.gaps[0].last) == ("1970-03-02", "1970-03-18")


def test_centuries_are_counted_in_coarser_spans() -> None:
    seen = Days("UTC")
    days = np.arange(-50_000, 50_000)
    seen.add(days * DAY, np.ones(days.size, np.int64))
    found = coverage_of("at", "UTC", seen)
    assert seen.width == 4
    assert found is not None and sum(found.rows) == 100_000 and len(found.rows) <= 402


@pytest.mark.parametrize("nulls", [0.0, 0.3])
def test_texts_are_counted_alike_one_by_one_and_by_their_codes(nulls: float) -> None:
    """Most texts differ or few do: two ways of counting, one answer."""
    rng = np.random.default_rng(4)
    numbers = np.where(rng.random(20_000) < 0.1, 7, rng.integers(0, 30_000, 20_000))
    words = [" é 12" if n == 7 else f"w{n}" if n % 3 else f"{n}-01-01" for n in numbers.tolist()]
    values = pa.array(words, mask=rng.random(20_000) < nulls)
    found = []
    for different in (False, True):
        seen = SeenTexts(Column("t", Type.TEXT, "string"))
        names = []
        for at in (0, 11_003):
            seen._mostly_different = different
            names.append(seen.add(values.slice(at, 11_003)))
        found.append((seen.finish(None), np.concatenate(names).tolist()))
    assert found[0] == found[1]
    assert found[0][0].texts is not None and found[0][0].texts.spaced == words_at(values, " é 12")
    assert found[0][0].top[0].value == " é 12"


def words_at(values: pa.Array, word: str) -> int:
    return sum(v == word for v in values.to_pylist())
