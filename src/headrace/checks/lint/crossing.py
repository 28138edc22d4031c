"""Rows and groups that stand on both sides of the split, more than chance lets them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from headrace.checks.lint.alone import Alone
from headrace.checks.lint.record import Bools, Column, Dataset, Finding, Ints, Severity
from headrace.core.schema import Type

ROWS, GROUPS = "crossing-rows", "group-overlap"

SHARE = 0.005
"""Share of validation rows with a twin in train from which it is told, if they are three at least."""

EXCESS = 3.0
"""How many times more pairs than chance explains."""


def find_rows(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """Validation rows that are training rows too: in features and target, or (a warning) in features."""
    del alone
    keys = [_codes(c) for c in data.features if c.name not in data.learned]
    keys = [k for k in keys if k.max(initial=0) > 0]
    if not keys or data.train.all() or not data.train.any():
        return
    y = np.unique(data.y, return_inverse=True)[1]
    for columns, what, severity in (
        ([*keys, y], "in every feature and in the target", Severity.BLOCKS),
        (keys, "in every feature", Severity.WARNS),
    ):
        twins, pairs = _twins(columns, data.train)
        count, validation = int(twins.sum()), int((~data.train).sum())
        if count < max(3, SHARE * validation):
            continue
        chance = _chance(columns, data.train)
        if pairs <= EXCESS * chance + 4 * np.sqrt(chance) + 2:
            continue
        rows = np.flatnonzero(twins)[:3]
        yield Finding(
            ROWS,
            "",
            severity,
            f"{count:,} of {validation:,} validation rows are training rows too, equal {what}; {chance:.1f} "
            "equal pairs would be chance",
            "drop duplicates before the split (clean.rows.duplicates), or split by what they have in common",
            {"validation rows with a twin": count, "pairs": pairs, "pairs by chance": chance},
            tuple(f"row: {', '.join(c.shown(int(r)) for c in data.features[:6])}" for r in rows),
        )
        return


def _codes(column: Column) -> Ints:
    values = np.where(column.null, 0, column.values) if column.type is not Type.TEXT else column.values
    codes = np.unique(values, return_inverse=True)[1].astype(np.int64) + 1
    return np.where(column.null, 0, codes)


def _key(columns: Sequence[Ints]) -> Ints:
    """One number for each distinct combination."""
    key: Ints = np.zeros(len(columns[0]), np.int64)
    for values in columns:
        key = np.unique(key * (int(values.max()) + 1) + values, return_inverse=True)[1].astype(np.int64)
    return key


def _twins(columns: Sequence[Ints], train: Bools) -> tuple[Bools, float]:
    """Validation rows that are in train, and the number of pairs across."""
    key = _key(columns)
    count = int(key.max()) + 1
    inside = np.bincount(key[train], minlength=count)
    across = np.bincount(key[~train], minlength=count)
    return ~train & (inside[key] > 0), float(inside @ across)


def _pairs(columns: Sequence[Ints], train: Bools) -> float:
    """Pairs of a training and a validation row that agree in all columns."""
    return _twins(columns, train)[1] if columns else float(train.sum()) * float((~train).sum())


def _chance(columns: Sequence[Ints], train: Bools) -> float:
    """How many pairs would agree in everything if the finest column were as often equal, among pairs that
    agree in all others, as it is among pairs that agree in all others but one.

    Copies agree in every column, so that they are among both; pairs that are merely alike agree in most.
    """
    sizes = [int(c.max()) + 1 for c in columns]
    order = np.argsort([-s for s in sizes], kind="stable")
    all_equal = _pairs(columns, train)
    finest = int(order[0])
    rest = [c for i, c in enumerate(columns) if i != finest]
    without = _pairs(rest, train)
    codes = columns[finest]
    share = np.bincount(codes) / len(codes)
    base = float((share**2).sum())
    expected = without * base
    for other in order[1:4].tolist():
        less = [c for i, c in enumerate(columns) if i != other]
        both = [c for i, c in enumerate(columns) if i not in (finest, other)]
        agree = _pairs(less, train) - all_equal
        alike = _pairs(both, train) - without
        expected = max(expected, without * (agree + base) / (alike + 1))
    return min(expected, without)


def find_groups(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """Entities of a split by group that are in train and in validation, also under another spelling."""
    del alone
    if data.group is None or data.train.all():
        return
    group = data.group
    codes = np.where(
        group.null, -1, group.values.astype(np.int64) if group.type is Type.TEXT else _codes(group)
    )
    spelled = codes
    if group.type is Type.TEXT:
        places: dict[str, int] = {}
        one = np.array([places.setdefault(_plain(v), len(places)) for v in group.levels], dtype=np.int64)
        spelled = np.where(codes < 0, -1, one[np.maximum(codes, 0)] if len(one) else codes)
    for keys, how in ((codes, ""), (spelled, ", but for spelling")):
        shared = np.intersect1d(keys[data.train & (keys >= 0)], keys[~data.train & (keys >= 0)])
        if not shared.size:
            continue
        rows = ~data.train & np.isin(keys, shared)
        named = sorted({group.shown(int(r)) for r in np.flatnonzero(rows)[:50]})[:3]
        yield Finding(
            GROUPS,
            "",
            Severity.BLOCKS,
            f"{shared.size:,} values of {group.name} are in train and in validation{how}: "
            f"{int(rows.sum()):,} validation rows",
            "split by whole groups (split: {by: group, group: …}), and write each group one way",
            {"groups": int(shared.size), "validation rows": int(rows.sum())},
            tuple(named),
        )
        return


def _plain(text: str) -> str:
    """A name without case, space, punctuation and leading zeros."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]+", "", text.casefold())) or text
