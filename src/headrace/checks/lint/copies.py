"""Does one column give the target away: a copy of it, scaled, bent, renamed, or a little noisy?

A column that was written down with the outcome, or after it, looks wonderful in every test and is not there
when a prediction is needed (Kaufman et al. 2012, "Leakage in Data Mining", TKDD 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from headrace.checks.lint.alone import Alone, auc, binned, ranks
from headrace.checks.lint.record import Bools, Column, Dataset, Finding, Floats, Ints, Severity
from headrace.core.schema import Type
from headrace.core.task import Kind, Task

KIND = "target-copy"

NEAR = 0.99
"""Correlation (plain or of ranks) with a quantity, from which a column is a near-copy of it."""

NEAR_AREA = 0.998
"""ROC AUC of a number alone, from which it is a near-copy of a class."""

NEAR_KAPPA = 0.85
"""Cohen's kappa from which a column with hardly more values than there are classes is a copy of them: of
two classes equally frequent, 92.5% of the rows agree."""

FIXED = 0.99
"""Share of variance (eta squared) that few values explain, or of errors (Goodman and Kruskal's lambda) that
they avoid, from which they fix the target."""

FEWEST = 20
REMEDY = "leave the feature out, or show that its value is on record before the moment of prediction"


@dataclass(frozen=True)
class Copy:
    """Why a column is a near-copy, and the number that says so."""

    reason: str
    evidence: Mapping[str, float]


def find(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """Features that are a near-copy of the target on the training rows."""
    for feature in alone.data.features:
        copy = near_copy(feature, alone.data.y, data.task)
        if copy is None and data.classes > 2 and alone.scores[feature.name].value >= NEAR_AREA:
            area = alone.scores[feature.name].value
            copy = Copy(f"it alone has ROC AUC {area:.5f} across folds, on average of the classes",
                        {"auc": area})  # fmt: skip
        if copy is not None:
            yield Finding(
                KIND,
                feature.name,
                Severity.BLOCKS,
                f"near-copy of the target: {copy.reason}",
                REMEDY,
                {**copy.evidence, "rows": alone.data.rows},
                _examples(feature, alone.data.y, data.task),
            )


def near_copy(column: Column, y: Floats, task: Task) -> Copy | None:
    """Why the column is a near-copy of the target `y` [n] (class codes or values); None where it is none."""
    if column.numeric:
        known = ~column.null
        x, target = column.values[known], y[known]
        found = None
        if x.size >= FEWEST and task.kind is Kind.REGRESSION:
            found = _correlated(x, target)
        elif x.size >= FEWEST and task.kind is Kind.BINARY:
            found = _separates(x, target == 1)
        if found is not None:
            return found
    if column.null.any() and not column.null.all():
        found = _fixes(column.null.astype(np.int64), 2, y, task, "whether it is null fixes")
        if found is not None:
            return found
    if column.type is Type.TIME:
        return None  # moments never come again
    codes, count = _values(column)
    found = _fixes(codes, count, y, task, "its values fix")
    if found is None and task.kind is not Kind.REGRESSION:
        return _agrees(codes, count, y, len(task.classes))
    return found


def _correlated(x: Floats, y: Floats) -> Copy | None:
    plain = abs(pearson(x, y))
    if plain >= NEAR:
        return Copy(f"correlation {plain:.5f} over {x.size:,} training rows", {"correlation": plain})
    ranked = abs(pearson(ranks(x), ranks(y)))
    if ranked >= NEAR:
        said = f"rank correlation {ranked:.5f} over {x.size:,} training rows"
        return Copy(said, {"rank correlation": ranked})
    return None


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's correlation, 0 where one of the two is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt(np.dot(x, x) * np.dot(y, y)))
    return float(np.dot(x, y)) / scale if scale else 0.0


def _separates(x: Floats, positive: Bools) -> Copy | None:
    area = auc(x, positive)
    area = max(area, 1 - area)
    few = min(int(positive.sum()), int((~positive).sum()))
    if few < 3 or not area >= NEAR_AREA:
        return None
    return Copy(f"a threshold on it alone has ROC AUC {area:.5f}", {"auc": area})


def _values(column: Column) -> tuple[Ints, int]:
    """Each distinct value as a code, null too."""
    if column.numeric:
        codes, count = binned(column, most=max(2, len(column.values) // 10))
        return codes, count
    return column.values.astype(np.int64) + 1, len(column.levels) + 1


def _fixes(codes: Ints, count: int, y: Floats, task: Task, says: str) -> Copy | None:
    """Whether few values fix the target."""
    n = len(y)
    sizes = np.bincount(codes, minlength=count)
    if n < FEWEST or not 2 <= np.count_nonzero(sizes) <= n / 10:
        return None
    if task.kind is Kind.REGRESSION:
        total = float(((y - y.mean()) ** 2).sum())
        sums = np.bincount(codes, y, minlength=count)
        between = float((sums**2 / np.maximum(sizes, 1)).sum()) - n * float(y.mean()) ** 2
        share = between / total if total else 0.0
        return Copy(f"{says} {share:.2%} of its variance", {"eta squared": share}) if share >= FIXED else None
    table = _table(codes, count, y, len(task.classes))
    wrong = n - int(table.max(axis=1).sum())
    blind = n - int(table.sum(axis=0).max())
    share = 1 - wrong / blind if blind else 0.0
    if share < FIXED:
        return None
    return Copy(f"{says} the class of {1 - wrong / n:.2%} of the training rows", {"lambda": share})


def _table(codes: Ints, count: int, y: Floats, classes: int) -> Ints:
    cell = codes * classes + y.astype(np.int64)
    return np.bincount(cell, minlength=count * classes).reshape(count, classes).astype(np.int64)


def _agrees(codes: Ints, count: int, y: Floats, classes: int) -> Copy | None:
    """Whether the column is the classes by other names, with some rows wrong: hardly more values than
    classes, every class the answer to one, and an agreement that no cause of the target has."""
    n = len(y)
    if n < FEWEST or count > 10 * classes:
        return None
    table = _table(codes, count, y, classes)
    table = table[table.sum(axis=1) >= max(1, n / 200)]
    answer = table.argmax(axis=1) if len(table) else np.zeros(0, np.int64)
    if not classes <= len(table) <= classes + 2 or len(np.unique(answer)) < classes:
        return None
    right = float(table.max(axis=1).sum()) / n
    said = np.bincount(answer, table.sum(axis=1), minlength=classes) / n
    chance = float(said @ (table.sum(axis=0) / n))
    kappa = (right - chance) / (1 - chance) if chance < 1 else 0.0
    if kappa < NEAR_KAPPA:
        return None
    said_so = f"its {len(table)} values are the classes by other names in {right:.2%} of the training rows"
    return Copy(said_so, {"agreement": right, "kappa": kappa})


def _examples(column: Column, y: Floats, task: Task, most: int = 4) -> tuple[str, ...]:
    rows = np.unique(np.linspace(0, len(y) - 1, most).astype(np.int64))
    names = [str(c) for c in task.classes]
    return tuple(
        f"{column.name} {column.shown(int(r))}: target {names[int(y[r])] if names else f'{y[r]:.12g}'}"
        for r in rows
    )
