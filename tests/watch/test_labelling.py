"""Labels and live rows together: what counts, and what must not fail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headrace.core.schema import Type
from headrace.core.task import Kind, Task
from headrace.core.watching import Family, Reading
from headrace.metrics.catalog import METRICS
from headrace.release.watching import WatchPlan
from headrace.summary.bins import make_bins
from headrace.watch.judging import judge
from headrace.watch.labelling import Judge, coded
from headrace.watch.rows import LiveRows
from headrace.watch.windows import Side


def rows(n: int, shape: tuple[int, ...]) -> LiveRows:
    return LiveRows(
        tuple(str(i) for i in range(n)),
        np.arange(n),
        np.zeros((n, 2), np.uint8),
        np.zeros((n, 0), np.uint8),
        np.full(shape, 0.5),
        np.zeros(n, np.int64),
    )


@pytest.mark.parametrize("shape", [(0,), (0, 3), (4,), (4, 3)])
def test_rows_that_the_model_answered_are_told_also_of_none(shape: tuple[int, ...]) -> None:
    live = rows(shape[0], shape)
    assert live.answered.tolist() == [True] * shape[0]
    if shape[0]:
        live.score[1] = np.nan
        assert live.answered.tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("task", "labels", "truth"),
    [
        (Task(Kind.BINARY, (False, True)), [True, "1", 0.0, "maybe", None], [1, 1, 0, np.nan, np.nan]),
        (Task(Kind.MULTICLASS, (1.0, 2.0, 3.0)), [1, True, "1", 2.0, 9], [0, np.nan, 0, 1, np.nan]),
        (Task(Kind.REGRESSION), [1, True, "2.5", "n/a", 1.0, None], [1, np.nan, 2.5, np.nan, 1, np.nan]),
    ],
)
def test_labels_are_coded_as_the_task_has_them(task: Task, labels: list[Any], truth: list[float]) -> None:
    assert np.array_equal(coded(task, labels), truth, equal_nan=True)
    assert coded(task, []).shape == (0,)


def test_a_check_that_fails_by_our_fault_keeps_no_other_from_being_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(facts: Any) -> list[Reading]:
        raise ValueError("no such shape")

    def whole(facts: Any) -> list[Reading]:
        return [Reading(Family.COST, "per_1000", value=1.0)]

    facts: Any = SimpleNamespace(
        side=Side.ARRIVED,
        watched=SimpleNamespace(plan=SimpleNamespace(off=())),
        window=SimpleNamespace(name="r1/champion/0"),
    )
    checks: Any = {Side.ARRIVED: ((Family.QUALITY, broken), (Family.COST, whole))}
    failed, made = judge(facts, checks)
    assert failed.why_none == "it failed, by our fault: ValueError: no such shape" and not failed.exceeds
    assert failed.check == "quality", "the check that failed is named"
    assert made.value == 1.0 and "r1/champion/0" in caplog.text


def test_slices_that_cannot_be_watched_are_told_with_the_reason() -> None:
    bins = make_bins({"port": np.array(["a", "b"], object)}, {"port": Type.TEXT})
    plan = WatchPlan(
        "", "", slices=("port", "hour(time) > 5"), not_sliced={"age": "the release does not read it"}
    )
    world = Judge.__new__(Judge)
    vars(world).update(_plan=plan, bins=bins, metric=METRICS["f1"])
    told = {r.of: r.why_none for r in world._not_sliced()}
    assert set(told) == {"age", "hour(time) > 5"} and all(told.values())
