"""Slices against chance and against planted ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.checks.groups import Grouping, one_group
from headrace.checks.slices import Search, declared_slices, search_slices, slice_evidence
from headrace.core.codec import from_json, to_json
from headrace.core.evidence import Outcome, Rule, judge
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS
from headrace.metrics.contrast import take
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions

BINARY, REGRESSION = Task(Kind.BINARY, ("no", "yes")), Task(Kind.REGRESSION)


def world(rng: np.random.Generator, *, days: int, size: int, kind: Kind) -> Predictions:
    """Rows of a day share its luck."""
    units = np.repeat(np.arange(days), size)
    day = rng.normal(size=days)[units] * 0.4
    x = rng.normal(size=len(units))
    if kind is Kind.REGRESSION:
        return Predictions(REGRESSION, x + day + rng.normal(size=len(x)), x, units)
    y = (rng.random(len(x)) < 1 / (1 + np.exp(1 - 1.5 * x - day))).astype(np.float64)
    score = 1 / (1 + np.exp(1 - 1.5 * x))
    return Predictions(BINARY, y, score, units, (score >= 0.4).astype(np.int64))


def columns(rng: np.random.Generator, p: Predictions, count: int = 8) -> list[Grouping]:
    """Columns that mean nothing, of four values in uneven shares; the last two are the same all day."""
    found = []
    for i in range(count):
        drawn = rng.choice(4, p.rows, p=[0.55, 0.25, 0.15, 0.05])
        codes = rng.choice(4, int(p.units.max()) + 1)[p.units] if i >= count - 2 else drawn
        labels = tuple(f"c{i} = {v}" for v in range(4))
        found.append(Grouping(f"c{i}", labels, codes.astype(np.int32), (True,) * 4))
    return found


def worsen(rng: np.random.Generator, p: Predictions, rows: np.ndarray) -> Predictions:
    """On these rows three of four scores are drawn anew, or errors are three fifths larger."""
    if p.task.kind is Kind.REGRESSION:
        return replace(p, y=np.where(rows, p.score + 1.6 * (p.y - p.score), p.y))
    hit = np.flatnonzero(rows & (rng.random(p.rows) < 0.75))
    score = p.score.copy()
    score[hit] = rng.permutation(score[hit])
    return replace(p, score=score, decision=(score >= 0.4).astype(np.int64))


def alarms_and_catches(metric: str, kind: Kind, days: int, size: int, runs: int) -> tuple[int, int]:
    alarms = catches = 0
    for seed in range(runs):
        rng = np.random.default_rng([3, seed])
        p = world(rng, days=days, size=size, kind=kind)
        groupings = columns(rng, p)
        alarms += search_slices(METRICS[metric], p, groupings, min_rows=50, seed=seed).found > 0
        bad = worsen(rng, p, groupings[2].codes == 2)
        found = search_slices(METRICS[metric], bad, groupings, min_rows=50, seed=seed)
        catches += any("c2 = 2" in s.name for s in found.tested[: found.found])
    return alarms, catches


def most_alarms(runs: int) -> float:
    """What 5% gives in so many runs, and two and a third standard deviations of luck."""
    return 0.05 * runs + 2.33 * np.sqrt(runs * 0.05 * 0.95)


CASES = [
    ("f1", Kind.BINARY, 80, 50, 0.95),
    ("f1", Kind.BINARY, 4000, 1, 0.95),
    ("roc_auc", Kind.BINARY, 80, 50, 0.95),
    ("rmse", Kind.REGRESSION, 80, 50, 0.95),
]


@pytest.mark.parametrize(("metric", "kind", "days", "size", "power"), CASES)
def test_noise_is_not_named_and_a_bad_slice_is(
    metric: str, kind: Kind, days: int, size: int, power: float
) -> None:
    """4,000 rows, 8 columns, some 220 slices; a slice of 15% of the rows is made worse."""
    runs = 30
    alarms, catches = alarms_and_catches(metric, kind, days, size, runs)
    assert alarms <= most_alarms(runs)
    assert catches >= (power - 0.1) * runs


@pytest.mark.deep
@pytest.mark.parametrize(("metric", "kind", "days", "size", "power"), CASES)
def test_noise_is_not_named_and_a_bad_slice_is_in_a_thousand_runs(
    metric: str, kind: Kind, days: int, size: int, power: float
) -> None:
    runs = 1000
    alarms, catches = alarms_and_catches(metric, kind, days, size, runs)
    assert alarms <= most_alarms(runs)
    assert catches >= (power - 0.02) * runs


def test_a_pair_of_columns_is_found_where_neither_alone_is_bad() -> None:
    rng = np.random.default_rng(5)
    p = world(rng, days=100, size=60, kind=Kind.REGRESSION)
    a, b = (rng.integers(0, 2, p.rows) for _ in range(2))
    groupings = [
        Grouping(n, (f"{n} = 0", f"{n} = 1"), c.astype(np.int32), (True, True))
        for n, c in (("a", a), ("b", b))
    ]
    error = (p.y - p.score) * np.where((a == 1) & (b == 1), 2.0, 1.0)
    found = search_slices(METRICS["rmse"], replace(p, y=p.score + error), groupings, min_rows=50, seed=1)
    assert found.tested[0].name == "a = 1 and b = 1"
    assert found.looked_at == 8


def test_what_is_shown_of_a_found_slice_was_not_part_of_the_search() -> None:
    rng = np.random.default_rng(6)
    p = world(rng, days=100, size=40, kind=Kind.REGRESSION)
    groupings = columns(rng, p)
    found = search_slices(
        METRICS["rmse"], worsen(rng, p, groupings[0].codes == 1), groupings, min_rows=50, seed=1
    )
    top = found.tested[0]
    assert top.rows < 0.7 * int((groupings[0].codes == 1).sum())
    assert top.units <= 50


def test_too_little_to_search_is_said() -> None:
    p = world(np.random.default_rng(0), days=10, size=50, kind=Kind.BINARY)
    found = search_slices(METRICS["f1"], p, columns(np.random.default_rng(0), p), min_rows=50, seed=0)
    assert found == Search(0, (), 0, "500 rows in 10 units; a search needs 200 rows in 20 units")
    empty = take(p, np.zeros(0, np.int64))
    assert search_slices(METRICS["f1"], empty, [], min_rows=50, seed=0).why_none


def test_declared_slices_are_the_metric_of_their_rows() -> None:
    rng = np.random.default_rng(7)
    p = world(rng, days=60, size=30, kind=Kind.BINARY)
    codes = rng.integers(0, 3, p.rows).astype(np.int32)
    grouping = Grouping("g", ("g = a", "g = b", "g: other values"), codes, (True, True, False))
    rare = one_group("rare", (np.arange(p.rows) < 20).astype(np.float64))
    found = declared_slices(METRICS["f1"], p, [grouping, rare], min_rows=50, seed=0)
    assert [s.name for s in found] == ["g = a", "g = b", "g: other values", "rare"]
    for code, s in enumerate(found[:3]):
        assert s.value == pytest.approx(measure(METRICS["f1"], take(p, codes == code)))
        assert s.rest == pytest.approx(measure(METRICS["f1"], take(p, codes != code)))
        assert s.interval is not None
        assert s.interval.low < s.value < s.interval.high
    assert found[3].value is None
    assert "20 rows" in found[3].why_none
    assert from_json(to_json(found), list[dict])[3]["p"] is None
    evidence = slice_evidence(found, METRICS["f1"])
    outcomes = [judge(e, Rule(">=", 0.05, safe_end=True))[0] for e in evidence]
    assert outcomes == [Outcome.PASS, Outcome.PASS, Outcome.PASS, Outcome.UNKNOWN]
    assert judge(evidence[0], Rule(">=", found[0].value, safe_end=True))[0] == Outcome.FAIL  # the safe end


def test_a_metric_that_a_slice_cannot_have_is_unknown() -> None:
    p = world(np.random.default_rng(1), days=60, size=20, kind=Kind.BINARY)
    negative = one_group("negative", (p.y == 0).astype(np.float64))
    (found,) = declared_slices(METRICS["roc_auc"], p, [negative], min_rows=50, seed=0)
    assert found.value is None
    assert "undefined" in found.why_none


def test_many_rows_are_searched_in_whole_units_and_it_is_said() -> None:
    rng = np.random.default_rng(0)
    p = world(rng, days=4_000, size=60, kind=Kind.BINARY)
    groupings = columns(rng, p)
    bad = worsen(rng, p, groupings[2].codes == 2)
    found = search_slices(METRICS["roc_auc"], bad, groupings, min_rows=50, seed=0)
    assert found.sampled == "about 200,000 of 240,000 rows, in whole units drawn at random"
    assert any("c2 = 2" in s.name for s in found.tested[: found.found])
    judged = sum(s.rows for s in found.tested if s.name == "c2 = 2")
    assert 0 < judged < 0.6 * np.count_nonzero(groupings[2].codes == 2)
    few = search_slices(METRICS["roc_auc"], *some(bad, groupings, 200_000), min_rows=50, seed=0)
    assert few.sampled == ""


def some(p: Predictions, groupings: list[Grouping], rows: int) -> tuple[Predictions, list[Grouping]]:
    return take(p, np.arange(rows)), [replace(g, codes=g.codes[:rows]) for g in groupings]
