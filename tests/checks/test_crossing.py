"""Evidence that nothing crosses the split, measured on splits as made and as broken."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.checks.crossing import classes_present, split_crossing
from headrace.core.evidence import Outcome, judge, parse_rule
from headrace.core.gates import GATES
from headrace.core.schema import NULL_TIME
from headrace.core.spec.tables import SplitSpec
from headrace.core.task import Kind, Task
from headrace.data.split import split

DAY = 86_400_000_000
ZERO = parse_rule("== 0")


def parts_of(*codes):
    return np.array(codes, dtype=np.int8)


@pytest.mark.parametrize("by", ["time", "random", "stratified", "group"])
@pytest.mark.parametrize("seed", range(3))
def test_splits_that_are_made_cross_nowhere(by, seed):
    rng = np.random.default_rng(seed)
    times, groups = rng.integers(0, 90, 2000) * DAY, rng.integers(0, 60, 2000)
    spec = SplitSpec(by=by, gap="2 days" if by == "time" else None, group="g" if by == "group" else None)
    made = split(spec, 2000, seed=seed, times=times, strata=rng.integers(0, 3, 2000), groups=groups)
    evidence = split_crossing(
        made.parts,
        ids=np.arange(2000, dtype=np.uint64),
        groups=made.units if by == "group" else None,
        times=times if by == "time" else None,
        gap=2 * DAY,
    )
    assert judge(evidence, ZERO)[0] == Outcome.PASS and evidence.gate in GATES
    assert evidence.n == sum(made.counts.values()) and evidence.where == ""


def test_an_id_in_two_parts_is_counted_once_and_named():
    ids = np.array([5, 6, 5, 7, 5, 6, 6], dtype=np.uint64)
    evidence = split_crossing(parts_of(0, 0, 1, 1, 2, -1, 0), ids=ids)
    assert evidence.value == 1 and judge(evidence, ZERO)[0] == Outcome.FAIL
    assert evidence.where == "ids in two parts: 1, such as the one of row 1 (train) and row 3 (validation)"
    assert evidence.n == 6


def test_groups_in_two_parts():
    groups = np.repeat(np.arange(5), 4)
    evidence = split_crossing(np.tile(parts_of(0, 0, 1, 2), 5), groups=groups)
    assert evidence.value == 5 and evidence.details["groups in two parts"] == 5


def test_rows_out_of_the_order_of_time():
    times = np.array([0, 1, 5, 4, 9]) * DAY
    evidence = split_crossing(parts_of(0, 0, 0, 1, 2), times=times)
    assert (
        evidence.value == 1
        and evidence.where == "row 3 (train) is 86,400 s after the first row of a later part"
    )
    # rows of the same moment on both sides cross as well
    same = split_crossing(parts_of(0, 1, 2), times=np.array([0, 3, 3]) * DAY)
    assert same.value == 1 and "row 2 (validation) is 0 s after" in same.where
    # train after test is seen though validation lies well
    assert split_crossing(parts_of(1, 0, 2), times=np.array([8, 7, 6]) * DAY).value == 2


def test_rows_closer_than_the_gap():
    times = np.array([0, 3, 5, 9]) * DAY
    assert split_crossing(parts_of(0, 0, 1, 2), times=times, gap=2 * DAY).value == 0
    close = split_crossing(parts_of(0, 0, 1, 2), times=times, gap=3 * DAY)
    assert close.value == 1 and "row 2 (train) is 172,800 s before the first row" in close.where
    # a row that is left out may be anywhere
    assert split_crossing(parts_of(0, -1, 1, 2), times=times, gap=3 * DAY).value == 0


def test_null_times_and_strange_parts_cross():
    times = np.array([0, NULL_TIME, 5, 9])
    evidence = split_crossing(parts_of(0, 0, 1, 2), times=times)
    assert evidence.value == 1 and evidence.where == "row 2 is in a part and has no time"
    strange = split_crossing(parts_of(0, 3, 1, -2))
    assert strange.value == 2 and strange.where == "row 2 is in part 3" and strange.n == 2


def test_kinds_add_up():
    evidence = split_crossing(
        parts_of(0, 1, 2),
        ids=np.zeros(3, dtype=np.uint64),
        groups=np.zeros(3, int),
        times=np.array([3, 2, 1]),
    )
    assert evidence.details == {
        "rows of no known part": 0,
        "ids in two parts": 1,
        "groups in two parts": 1,
        "rows out of the order of time": 2,
    }
    assert evidence.value == 4


def test_nothing_in_any_part():
    assert split_crossing(parts_of(-1, -1), ids=np.zeros(2, dtype=np.uint64), times=np.zeros(2, int)).n == 0


def test_absent_classes_are_named():
    task = Task(Kind.MULTICLASS, ("a", "b", "c"))
    parts = parts_of(0, 0, 0, 1, 1, 2, 2, -1)
    evidence = classes_present(parts, np.array([0.0, 1.0, 2.0, 0.0, 1.0, 1.0, 1.0, np.nan]), task)
    assert evidence.gate in GATES and evidence.value == 3 and evidence.n == 7
    assert evidence.where == "no row of 'c' in validation; no row of 'a' in test; no row of 'c' in test"
    assert evidence.details["validation"] == {"a": 1, "b": 1, "c": 0}
    assert judge(evidence, ZERO)[0] == Outcome.FAIL


def test_present_classes_pass_and_regression_does_not_apply():
    binary = Task(Kind.BINARY, (False, True))
    good = classes_present(parts_of(0, 0, 1, 1, 2, 2), np.array([0, 1, 1, 0, 0, 1]), binary)
    assert judge(good, ZERO) == (Outcome.PASS, "0 == 0")
    none = classes_present(parts_of(0, 1, 2), np.array([0.5, 1.5, 2.5]), Task(Kind.REGRESSION))
    assert judge(none, ZERO) == (Outcome.NOT_APPLICABLE, "a regression has no classes")


def test_many_absent_classes_are_shortened():
    task = Task(Kind.MULTICLASS, tuple(str(k) for k in range(9)))
    evidence = classes_present(parts_of(0, 1, 2), np.array([0, 0, 0]), task)
    assert evidence.value == 24 and evidence.where.endswith("; and 19 more")
