"""Cross-validation folds that match the split: random, stratified, by group, walking forward in time.

Every function returns sorted row numbers and draws from its own seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import UserError

Rows = NDArray[np.int64]
Fold = tuple[Rows, Rows]
"""Row numbers to fit on, and row numbers to score."""


class FoldKind(StrEnum):
    """How folds are drawn."""

    RANDOM = "random"
    STRATIFIED = "stratified"
    GROUP = "group"
    WALK = "walk"


@dataclass(frozen=True)
class FoldPlan:
    """What the folds are made from.

    groups: whole groups stay together (GROUP). strata: shares of each are kept (STRATIFIED).
    times: the order of rows (WALK), any integers; `gap` is in their unit. blocks: rows of one block are
    not parted (WALK), such as days; by default rows of one time.
    """

    kind: FoldKind
    k: int = 5
    groups: NDArray[np.int64] | None = None
    strata: NDArray[np.int64] | None = None
    times: NDArray[np.int64] | None = None
    blocks: NDArray[np.int64] | None = None
    gap: int = 0


def folds(plan: FoldPlan, n: int, *, seed: int) -> list[Fold]:
    """The folds over `n` rows.

    WALK leaves the first block of rows untested: nothing came before it.

    Raises:
        UserError: fewer rows, groups or blocks than the folds need.
        ValueError: the plan lacks what its kind is drawn from.
    """
    rng = np.random.default_rng(seed)
    if plan.kind is FoldKind.WALK:
        return _walk(plan, n)
    if plan.kind is FoldKind.GROUP:
        labels = _by_group(_given(plan.groups, "groups"), plan.k, rng)
    elif plan.kind is FoldKind.STRATIFIED:
        labels = _dealt(_given(plan.strata, "strata"), plan.k, rng)
    else:
        labels = _dealt(np.zeros(n, np.int64), plan.k, rng)
    parts = [(np.flatnonzero(labels != i), np.flatnonzero(labels == i)) for i in range(plan.k)]
    if any(not len(train) or not len(test) for train, test in parts):
        raise UserError(
            f"{n} training rows are too few for {plan.k} folds",
            where="cv.folds",
            fix="take fewer folds, or more rows",
        )
    return parts


def _given(column: NDArray[np.int64] | None, name: str) -> NDArray[np.int64]:
    if column is None:
        raise ValueError(f"this kind of folds needs {name}")
    return column


def _dealt(strata: NDArray[np.int64], k: int, rng: np.random.Generator) -> Rows:
    """Shuffle, then deal each stratum's rows like cards, going on where the stratum before stopped: every
    fold gets its share of every stratum, and sizes differ by one row at most."""
    shuffled = rng.permutation(len(strata))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    labels = np.empty(len(strata), np.int64)
    labels[order] = np.arange(len(strata)) % k
    return labels


def _by_group(groups: NDArray[np.int64], k: int, rng: np.random.Generator) -> Rows:
    """The largest group goes to the smallest fold, and so on down; equal sizes are drawn."""
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < k:
        raise UserError(
            f"{len(names)} groups are too few for {k} folds",
            where="cv.folds",
            why="rows of one group must not be parted",
            fix=f"take at most {len(names)} folds" if len(names) > 1 else "split by something else",
        )
    shuffled = rng.permutation(len(names))
    filled, fold = np.zeros(k, np.int64), np.empty(len(names), np.int64)
    for name in shuffled[np.argsort(-counts[shuffled], kind="stable")]:
        fold[name] = np.argmin(filled)
        filled[fold[name]] += counts[name]
    labels: Rows = fold[inverse]
    return labels


def _walk(plan: FoldPlan, n: int) -> list[Fold]:
    """k + 1 stretches of about equal size, in the order of time; each but the first is scored by what was
    fitted on everything before it, less the gap."""
    times = _given(plan.times, "times")
    order = np.argsort(times, kind="stable").astype(np.int64)
    blocks = times if plan.blocks is None else plan.blocks
    starts = np.flatnonzero(np.r_[True, np.diff(blocks[order]) != 0])
    wanted = np.linspace(0, n, plan.k + 2)[1:-1]
    cuts = [int(starts[np.argmin(np.abs(starts - w))]) for w in wanted] if n else []
    edges = [0, *cuts, n]
    if any(later <= earlier for earlier, later in pairwise(edges)):
        raise UserError(
            f"{n} training rows in {len(starts)} blocks of time are too few for {plan.k} folds",
            where="cv.folds",
            why="each fold is scored by what was fitted on the blocks before it",
            fix="take fewer folds, smaller blocks (split.block), or more rows",
        )
    made = []
    for start, end in zip(cuts, edges[2:], strict=True):
        before = order[:start]
        train = before[times[before] <= times[order[start]] - plan.gap] if plan.gap else before
        if not len(train):
            raise UserError(
                "the gap leaves no row before the first fold",
                where="split.gap",
                fix="take a shorter gap or fewer folds",
            )
        made.append((np.sort(train), np.sort(order[start:end])))
    return made
