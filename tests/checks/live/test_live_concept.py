"""Concept drift: false alarms as stated, planted changes found; River's detectors as River has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from live_worlds import BINARY, NUMBER, THREE, TYPES, Shift, World
from numpy.typing import NDArray
from river.drift import PageHinkley
from river.drift.binary import DDM

from headrace.checks.live.concept import concept, ddm, page_hinkley
from headrace.core.schema import Type
from headrace.core.task import Task
from headrace.summary.bins import make_bins
from headrace.summary.counts import Counter

CHANCE = 0.05
TASKS = {"binary": BINARY, "three": THREE, "number": NUMBER}


def alarms(task: Task, shift: Shift, windows: int, *, references: int = 2) -> tuple[int, set[str]]:
    raised, by = 0, set()
    for seed in range(references):
        world = World(task, seed)
        baseline = world.baseline()
        for _ in range(windows // references):
            found = [
                r for r in concept(world.rows(300, shift), baseline, ["x", "where"], CHANCE) if r.exceeds
            ]
            raised += bool(found)
            by |= {f"{r.check} {r.of}".strip() for r in found}
    return raised, by


@pytest.mark.parametrize("name", TASKS)
def test_false_alarms_are_few(name: str) -> None:
    """Of 60 windows 3 are expected at most."""
    assert alarms(TASKS[name], Shift(), 60)[0] <= 10


@pytest.mark.parametrize("name", TASKS)
def test_columns_that_move_alone_are_no_concept_drift(name: str) -> None:
    raised, by = alarms(TASKS[name], Shift(covariate=0.3), 40)
    assert not any(b.startswith("relation") for b in by) or raised <= 12


@pytest.mark.deep
@pytest.mark.parametrize("name", TASKS)
def test_false_alarms_are_no_more_than_stated(name: str) -> None:
    """Of 1,200 windows 60 are expected at most."""
    assert alarms(TASKS[name], Shift(), 1200, references=12)[0] <= 90


@pytest.mark.parametrize("name", TASKS)
def test_a_truth_that_turns_is_found(name: str) -> None:
    raised, by = alarms(TASKS[name], Shift(concept=2.0), 16)
    assert raised >= 14
    assert "relation x" in by


def test_detectors_find_where_errors_begin_to_rise() -> None:
    world = World(BINARY, 3)
    baseline = world.baseline()
    calm, wrong = world.rows(500), world.rows(500, Shift(concept=3.0))
    p, q = calm.predictions, wrong.predictions
    joined = type(p)(
        BINARY,
        np.concatenate([p.y, q.y]),
        np.concatenate([p.score, q.score]),
        np.concatenate([p.units, q.units]),
        np.concatenate([p.decision, q.decision]),
    )
    both = type(calm)(joined, calm.bins, np.concatenate([calm.codes, wrong.codes]), np.zeros(1000, np.int64))
    found = {r.check: r for r in concept(both, baseline, ["x"], CHANCE)}
    for name in ("adwin", "page_hinkley", "ddm"):
        assert found[name].exceeds, name
        row = int(found[name].where.split("row ")[1].split(" of")[0])
        assert 500 < row < 700, (name, row)


def test_page_hinkley_and_ddm_are_rivers() -> None:
    """The least setting at which River's detector is silent is the statistic."""
    rng = np.random.default_rng(7)
    normal = rng.normal(0, 1, (20, 400))
    wrong = (rng.random((20, 400)) < 0.2).astype(float)
    for i in range(20):
        value = float(page_hinkley(normal[i : i + 1], 0)[0])
        for threshold, heard in ((value * 0.999, True), (value * 1.001, False)):
            detector = PageHinkley(min_instances=30, delta=0.05, threshold=threshold, alpha=1.0, mode="up")
            assert _heard(detector, normal[i]) is heard
        value = float(ddm(wrong[i : i + 1], 0)[0])
        for threshold, heard in ((value * 0.999, True), (value * 1.001, False)):
            assert _heard(DDM(warm_start=30, drift_threshold=threshold), wrong[i]) is heard


def _heard(detector: Any, stream: NDArray[np.float64]) -> bool:
    for x in stream.tolist():
        detector.update(x)
        if detector.drift_detected:
            return True
    return False


def test_a_column_without_a_value_is_told() -> None:
    class Empty(World):
        def _columns(self, n: int, shift: Shift) -> dict[str, NDArray[np.generic]]:
            return {**super()._columns(n, shift), "x": np.zeros(n), "none": np.full(n, np.nan)}

    world = Empty(BINARY, 1)
    world.bins = make_bins(world._columns(4000, Shift()), {**TYPES, "none": Type.NUMBER})
    world._counter = Counter(world.bins)
    found = concept(world.rows(300), world.baseline(), ["none", "x"], CHANCE)
    assert found[0].value is None and "that the reference knows" in found[0].why_none
    assert found[1].of == "x" and found[1].value is not None


def test_too_few_labels_are_told() -> None:
    world = World(BINARY, 1)
    (reading,) = concept(world.rows(5), world.baseline(), ["x"], CHANCE)
    assert reading.value is None and "30 are needed" in reading.why_none
