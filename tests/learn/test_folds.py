from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import UserError
from headrace.learn.folds import FoldKind, FoldPlan, folds


def check_partition(made: list, n: int) -> None:
    """Every row is scored exactly once, and never by a model that was fitted on it."""
    assert np.array_equal(np.sort(np.concatenate([test for _, test in made])), np.arange(n))
    for train, test in made:
        assert np.array_equal(np.sort(np.r_[train, test]), np.arange(n))


@given(st.integers(2, 200), st.integers(2, 8), st.integers(0, 5))
def test_random_folds_part_the_rows(n: int, k: int, seed: int) -> None:
    if n < k:
        with pytest.raises(UserError, match="too few for"):
            folds(FoldPlan(FoldKind.RANDOM, k), n, seed=seed)
        return
    made = folds(FoldPlan(FoldKind.RANDOM, k), n, seed=seed)
    check_partition(made, n)
    sizes = [len(test) for _, test in made]
    assert max(sizes) - min(sizes) <= 1


def test_a_seed_gives_the_same_folds_and_another_seed_others() -> None:
    plan = FoldPlan(FoldKind.RANDOM, 4)
    first, again, other = (folds(plan, 50, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_stratified_folds_keep_the_shares() -> None:
    strata = np.repeat([0, 1, 2], [70, 25, 5])
    made = folds(FoldPlan(FoldKind.STRATIFIED, 5, strata=strata), 100, seed=0)
    check_partition(made, 100)
    for _, test in made:
        assert np.bincount(strata[test]).tolist() == [14, 5, 1]


def test_groups_are_never_parted() -> None:
    groups = np.random.default_rng(0).integers(0, 30, 500)
    made = folds(FoldPlan(FoldKind.GROUP, 5, groups=groups), 500, seed=0)
    check_partition(made, 500)
    for train, test in made:
        assert not set(groups[train]) & set(groups[test])
        assert 80 <= len(test) <= 120


def test_fewer_groups_than_folds_is_the_users_mistake() -> None:
    with pytest.raises(UserError) as caught:
        folds(FoldPlan(FoldKind.GROUP, 5, groups=np.array([1, 1, 2, 2, 3, 3])), 6, seed=0)
    assert "3 groups are too few for 5 folds" in str(caught.value)
    assert "take at most 3 folds" in str(caught.value)


def test_walking_forward_trains_on_the_past_only_whatever_the_order_of_rows() -> None:
    times = np.random.default_rng(1).permutation(600)
    made = folds(FoldPlan(FoldKind.WALK, 5, times=times), 600, seed=0)
    assert len(made) == 5
    for train, test in made:
        assert times[train].max() < times[test].min()
    tested = np.concatenate([test for _, test in made])
    assert np.array_equal(np.sort(times[tested]), np.arange(100, 600))


def test_walking_forward_never_parts_a_block() -> None:
    rng = np.random.default_rng(2)
    times = np.sort(rng.integers(0, 1000, 800))
    days = times // 24
    for train, test in folds(FoldPlan(FoldKind.WALK, 4, times=times, blocks=days), 800, seed=0):
        assert days[train].max() < days[test].min()


def test_the_gap_is_left_out_before_each_fold() -> None:
    times = np.arange(100) * 10
    for train, test in folds(FoldPlan(FoldKind.WALK, 3, times=times, gap=55), 100, seed=0):
        assert times[test].min() - times[train].max() == 60


def test_a_gap_longer_than_the_past_and_too_few_blocks_are_named() -> None:
    with pytest.raises(UserError, match="the gap leaves no row"):
        folds(FoldPlan(FoldKind.WALK, 3, times=np.arange(100), gap=90), 100, seed=0)
    with pytest.raises(UserError, match=r"100 training rows in 2 blocks of time are too few for 3 folds"):
        folds(FoldPlan(FoldKind.WALK, 3, times=np.arange(100), blocks=np.arange(100) // 50), 100, seed=0)
