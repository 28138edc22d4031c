"""The records of this room: predictions to be measured, and metrics that measure them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.core.errors import DataError, Problem
from headrace.core.task import Kind, Task

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What was predicted, what was true, and which rows belong together.

    y: class codes (0.0, 1.0, …) or true values, float64 [n].
    score: binary, the probability of class 1, [n]; multiclass, probabilities [n, K]; regression, the
    predicted values [n].
    units: the independent unit that each row belongs to (day block, group, or the row's own number),
    any integers, int64 [n].
    decision: the decided class code, int64 [n]; None for regression.

    Raises:
        DataError: lengths disagree, a value is not finite, a class code is out of range, or
            classes were to be decided and no decision is given. All at once.
    """

    task: Task
    y: Floats
    score: Floats
    units: Ints
    decision: Ints | None = None

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise DataError.of([Problem(text, "predictions") for text in problems])

    @property
    def rows(self) -> int:
        return len(self.y)


def _problems(p: Predictions) -> list[str]:
    found: list[str] = []
    n = len(p.y)
    classes = max(len(p.task.classes), 2)
    shape = (n, classes) if p.task.kind is Kind.MULTICLASS else (n,)
    if p.score.shape != shape:
        found.append(f"score has shape {p.score.shape}, {shape} was expected")
    if p.units.shape != (n,):
        found.append(f"units has shape {p.units.shape}, {(n,)} was expected")
    for name, values in (("y", p.y), ("score", p.score)):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            found.append(f"{bad} values of {name} are not finite")
    if p.task.kind is Kind.REGRESSION:
        return found
    if n and not found and not np.isin(p.y, np.arange(classes)).all():
        found.append(f"y holds codes outside 0 to {classes - 1}")
    if p.decision is None:
        found.append("decision is missing")
    elif p.decision.shape != (n,):
        found.append(f"decision has shape {p.decision.shape}, {(n,)} was expected")
    elif n and (p.decision.min() < 0 or p.decision.max() >= classes):
        found.append(f"decision holds codes outside 0 to {classes - 1}")
    return found


@dataclass(frozen=True)
class Sums:
    """A metric that is a function of sums over rows, so that a resample costs one product of matrices.

    columns: predictions -> [n, S], what each row adds. finish: sums [..., S] -> metric [...].
    """

    columns: Callable[[Predictions], Floats]
    finish: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Ranks:
    """A metric of the order of scores: the mean over one or more two-class problems.

    problems: predictions -> (score [n], positive [n]) for each. finish: weights of positives and of
    negatives in each group of equal scores, lowest score first, [B, G] each -> metric [B].
    """

    problems: Callable[[Predictions], list[tuple[Floats, Bools]]]
    finish: Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Middle:
    """The median of a value of each row, `values`: predictions -> [n]."""

    values: Callable[[Predictions], Floats]


Statistic = Sums | Ranks | Middle


Support = Callable[[Predictions], list[Bools]]


class Scale(StrEnum):
    """Where a metric can lie, and so the scale on which its estimate is nearly normal.

    An interval is built on that scale and mapped back; it never leaves the metric's range.
    """

    SHARE = "share"  # 0 to 1: logit
    CORRELATION = "correlation"  # -1 to 1: Fisher's z
    POSITIVE = "positive"  # 0 upwards: logarithm
    EXPLAINED = "explained"  # up to 1 (R²): logarithm of what is left
    PLAIN = "plain"  # anywhere: as it is


@dataclass(frozen=True, eq=False)
class Metric:
    """One way to say how good predictions are.

    needs: "score", "decision" or "value" (of a regression): what of the predictions it looks at.
    how: for each kind of task, how it is computed.
    support: predictions -> the sets of rows [n] that it rests on (recall: the positive rows). The set
    with the fewest units limits what an interval may claim.
    best_at_zero: zero is best, not the lowest value (bias).
    """

    name: str
    meaning: str
    higher_is_better: bool
    needs: str
    scale: Scale
    reference: str
    how: Mapping[Kind, Statistic]
    support: Support
    unit: str = ""
    best_at_zero: bool = False

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(self.how)

    def goodness(self, values: Any) -> Any:
        """`values` oriented so that more is better."""
        if self.best_at_zero:
            return -np.abs(values)
        return values if self.higher_is_better else -values


def every_row(p: Predictions) -> list[Bools]:
    """The support of a metric that rests on all rows alike."""
    return [np.ones(p.rows, bool)]
