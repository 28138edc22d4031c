"""Where the model errs: the worst rows, and errors by score, by time, by what is missing, by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.groups import codes_of_units
from headrace.checks.slices import Slice, measured
from headrace.core.schema import NULL_TIME
from headrace.core.task import Kind
from headrace.metrics.contrast import influence, take
from headrace.metrics.measure import measure
from headrace.metrics.multiple import holm
from headrace.metrics.record import Bools, Floats, Ints, Metric, Predictions

WORST = 20
STRETCHES = 12
_QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_BARS = 40


@dataclass(frozen=True)
class WorstRow:
    """A row that the model was most wrong about. row: its number in the events table, from 1. actual and
    predicted: class or value. loss: -ln of the true class's probability, or the absolute error. cells: raw
    columns as the model read them; personal ones are never among them."""

    row: int
    id: str
    actual: str
    predicted: str
    score: float | None
    loss: float
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Band:
    """A tenth of the rows by score (or prediction), lowest first. actual: share of positives, of right
    decisions among several classes, or the mean truth. error: mean loss, as in `WorstRow`."""

    low: float
    high: float
    rows: int
    predicted: float
    actual: float
    error: float
    metric: float | None


@dataclass(frozen=True)
class Stretch:
    """A stretch of time with about equally many rows."""

    start: str
    end: str
    rows: int
    units: int
    predicted: float
    actual: float
    error: float
    metric: float | None


@dataclass(frozen=True)
class Confusion:
    """counts[i][j]: rows of class i that were decided as class j, in the order of `classes`."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Residuals:
    """Prediction minus truth. levels and quantiles belong together; edges hold one more than counts."""

    mean: float
    std: float
    skew: float | None
    levels: tuple[float, ...]
    quantiles: tuple[float, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Errors:
    """Everything above, of the validation rows. hidden: columns left out of `worst` as personal data.
    by_missing: the metric on rows where a column is null against the rows where it is known."""

    kind: str
    metric: str
    worst: tuple[WorstRow, ...]
    hidden: tuple[str, ...]
    by_score: tuple[Band, ...]
    by_time: tuple[Stretch, ...]
    by_missing: tuple[Slice, ...]
    confusion: Confusion | None
    residuals: Residuals | None


def losses(p: Predictions) -> Floats:
    """How wrong each row is: -ln of the true class's probability, or the absolute error, float64 [rows]."""
    if p.task.kind is Kind.REGRESSION:
        return np.abs(p.score - p.y)
    if p.task.kind is Kind.BINARY:
        chosen = np.where(p.y == 1, p.score, 1 - p.score)
    else:
        chosen = p.score[np.arange(p.rows), p.y.astype(np.int64)]
    eps = float(np.finfo(np.float64).eps)
    lost: Floats = -np.log(np.clip(chosen, eps, 1.0))
    return lost


def worst_rows(p: Predictions, most: int = WORST) -> Ints:
    """Numbers of the rows with the largest losses, largest first; equal ones in the order of rows."""
    found: Ints = np.argsort(-losses(p), kind="stable")[:most]
    return found


def errors(
    predictions: Predictions,
    metric: Metric,
    *,
    times: NDArray[np.int64] | None,
    missing: Mapping[str, Bools],
    min_rows: int,
    seed: int,
) -> Errors:
    """All but the worst rows, which whoever reads the tables adds (see `described`).

    times: UTC microseconds [rows], where the events have times. missing: for each raw column where it is
    null, bool [rows].
    """
    p = predictions
    return Errors(
        p.task.kind.value,
        metric.name,
        (),
        (),
        _bands(p, metric),
        () if times is None else _stretches(p, metric, times),
        _by_missing(p, metric, missing, min_rows, seed),
        _confusion(p) if p.task.kind is not Kind.REGRESSION else None,
        _residuals(p) if p.task.kind is Kind.REGRESSION and p.rows else None,
    )


def described(
    predictions: Predictions,
    picked: Ints,
    rows: Ints,
    cells: Mapping[str, Sequence[Any]],
    *,
    ids: Sequence[Any] | None,
    hidden: Sequence[str],
) -> tuple[WorstRow, ...]:
    """The picked rows for people.

    picked: numbers among the predictions. rows: their numbers in the events table, from 0. cells: their raw
    values by column, in the order of `picked`; columns named in `hidden` are left out. ids: their ids.
    """
    p, lost = predictions, losses(predictions)
    found = []
    for at, i in enumerate(picked):
        found.append(
            WorstRow(
                row=int(rows[at]) + 1,
                id="" if ids is None else _text(ids[at]),
                actual=_answer(p, p.y[i]),
                predicted=_answer(p, p.score[i] if p.decision is None else p.decision[i]),
                score=_score(p, int(i)),
                loss=float(lost[i]),
                cells={n: _text(values[at]) for n, values in cells.items() if n not in hidden},
            )
        )
    return tuple(found)


def _answer(p: Predictions, value: float) -> str:
    return f"{value:.6g}" if p.task.kind is Kind.REGRESSION else str(p.task.classes[int(value)])


def _score(p: Predictions, row: int) -> float | None:
    """The probability of what was decided on: the positive class, or the class decided."""
    if p.task.kind is Kind.REGRESSION or p.decision is None:
        return None
    return float(p.score[row] if p.task.kind is Kind.BINARY else p.score[row, p.decision[row]])


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _axis(p: Predictions) -> Floats:
    """What rows are ordered by: the score, the prediction, or the probability of the decided class."""
    if p.task.kind is Kind.MULTICLASS:
        return np.asarray(p.score.max(axis=1), np.float64)
    return p.score


def _truth(p: Predictions) -> Floats:
    """What the axis should agree with: the truth, or (several classes) whether the decision is right."""
    if p.task.kind is not Kind.MULTICLASS:
        return p.y
    return np.asarray(np.equal(np.asarray(p.decision), p.y), np.float64)


def _bands(p: Predictions, metric: Metric) -> tuple[Band, ...]:
    axis, truth, lost = _axis(p), _truth(p), losses(p)
    order = np.argsort(axis, kind="stable")
    return tuple(
        Band(
            float(axis[part[0]]),
            float(axis[part[-1]]),
            len(part),
            float(axis[part].mean()),
            float(truth[part].mean()),
            float(lost[part].mean()),
            _known(measure(metric, take(p, part))),
        )
        for part in np.array_split(order, 10)
        if len(part)
    )


def _stretches(p: Predictions, metric: Metric, times: NDArray[np.int64]) -> tuple[Stretch, ...]:
    axis, truth, lost = _axis(p), _truth(p), losses(p)
    known = np.flatnonzero(times != NULL_TIME)
    order = known[np.argsort(times[known], kind="stable")]
    return tuple(
        Stretch(
            _moment(int(times[part[0]])),
            _moment(int(times[part[-1]])),
            len(part),
            len(np.unique(p.units[part])),
            float(axis[part].mean()),
            float(truth[part].mean()),
            float(lost[part].mean()),
            _known(measure(metric, take(p, part))),
        )
        for part in np.array_split(order, STRETCHES)
        if len(part)
    )


def _moment(micros: int) -> str:
    return f"{np.datetime_as_string(np.datetime64(micros, 'us'), unit='s')}Z"


def _by_missing(
    p: Predictions, metric: Metric, missing: Mapping[str, Bools], min_rows: int, seed: int
) -> tuple[Slice, ...]:
    """Columns that are null in the same rows (those of a lookup, say) are one line."""
    together: dict[bytes, list[str]] = {}
    for name, rows in missing.items():
        if rows.any() and not rows.all():
            together.setdefault(np.packbits(rows).tobytes(), []).append(name)
    slopes, units = influence(metric, p), codes_of_units(p.units)
    found = []
    for names in together.values():
        label = f"{', '.join(names)} {'are' if len(names) > 1 else 'is'} null"
        rows = missing[names[0]]
        found.append(measured(metric, p, label, rows, slopes, units, min_rows=min_rows, seed=seed))
    adjusted = holm([math.nan if s.p is None else s.p for s in found])
    return tuple(replace(s, p_corrected=_known(a)) for s, a in zip(found, adjusted, strict=True))


def _confusion(p: Predictions) -> Confusion:
    k = len(p.task.classes)
    cells = p.y.astype(np.int64) * k + np.asarray(p.decision)
    counts = np.bincount(cells, minlength=k * k).reshape(k, k)
    return Confusion(
        tuple(str(c) for c in p.task.classes), tuple(tuple(int(c) for c in row) for row in counts)
    )


def _residuals(p: Predictions) -> Residuals:
    error = p.score - p.y
    mean, std = float(error.mean()), float(error.std())
    skew = float(np.mean(((error - mean) / std) ** 3)) if std > 0 else None
    inside = np.quantile(error, [0.005, 0.995])
    low, high = (float(inside[0]), float(inside[1])) if inside[0] < inside[1] else (mean - 1, mean + 1)
    counts, edges = np.histogram(np.clip(error, low, high), bins=_BARS, range=(low, high))
    return Residuals(
        mean,
        std,
        skew,
        _QUANTILES,
        tuple(float(q) for q in np.quantile(error, _QUANTILES)),
        tuple(float(e) for e in edges),
        tuple(int(c) for c in counts),
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
