"""How much the metric loses when inputs go wrong: missing, shifted, noisy. Measured on the packaged graph.

Each fault is put into the raw columns of the same rows, and both answers are compared row by row (paired).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.evidence import Evidence, Interval
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.metrics.contrast import blocked
from headrace.metrics.intervals import bound, paired
from headrace.metrics.measure import measure
from headrace.metrics.record import Metric, Predictions

KINDS = ("missing", "scale", "noise")
ROWS = 5_000
"""So many rows, drawn at random, answer each fault."""
_RESAMPLES = 200

Feeds = Mapping[str, NDArray[Any]]
Answer = Callable[[Feeds], Predictions]
"""Raw columns in the convention of `graph.build` -> what the packaged graph answers, with the truth."""


@dataclass(frozen=True)
class Fault:
    """What one fault does. metric: with the fault in place. loss: what the metric loses, as a share of its
    size without the fault (negative: gains); its interval is of the loss alone, divided by that size."""

    kind: str
    what: str
    metric: float | None
    loss: float | None
    interval: Interval | None
    why_none: str = ""


@dataclass(frozen=True)
class WorstLoss:
    """The largest loss of one kind. The interval holds the largest true loss: its high end is the highest of
    all faults' high ends (the fault that is truly worst lies below its own), its low end the highest low
    end, corrected for their number."""

    kind: str
    what: str
    loss: float | None
    interval: Interval | None
    why_none: str = ""


@dataclass(frozen=True)
class Robustness:
    """Every fault, worst first within its kind, and the worst of each kind."""

    metric: str
    base: float | None
    rows: int
    units: int
    faults: tuple[Fault, ...]
    worst: tuple[WorstLoss, ...]


@dataclass(frozen=True)
class Plan:
    """What is tried. groups: columns that go missing together (a side table that the server can't reach).
    spreads: the standard deviation of each number among the training rows."""

    types: Mapping[str, Type]
    groups: Mapping[str, Sequence[str]]
    spreads: Mapping[str, float]
    missing: bool
    scale: Sequence[float]
    noise: Sequence[float]


def robustness(
    metric: Metric,
    feeds: Feeds,
    answer: Answer,
    plan: Plan,
    *,
    seed: int,
    progress: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> Robustness:
    """Put every planned fault into `feeds` in turn, and compare the answers with those without it.

    Raises:
        HeadraceError: the graph can't answer.
    """
    base = blocked(answer(feeds), seed=seed)
    value = measure(metric, base) if base.rows else math.nan
    tried = _faults(feeds, plan, seed)
    found: list[tuple[Fault, tuple[float, float]]] = []
    for done, (kind, what, changed) in enumerate(tried, start=1):
        found.append(_compare(metric, base, value, answer({**feeds, **changed()}), kind, what, tried, seed))
        progress("robustness", done, len(tried))
    worst = [_worst(kind, [f for f in found if f[0].kind == kind]) for kind in KINDS]
    ordered = sorted(found, key=lambda f: (KINDS.index(f[0].kind), -_size(f[0].loss), f[0].what))
    units = len(np.unique(base.units))
    return Robustness(
        metric.name,
        _known(value),
        base.rows,
        units,
        tuple(f for f, _ in ordered),
        tuple(w for w in worst if w is not None),
    )


_Tried = tuple[str, str, Callable[[], dict[str, NDArray[Any]]]]


def _faults(feeds: Feeds, plan: Plan, seed: int) -> list[_Tried]:
    """Kind, name, and how to make the changed columns (made late: few are held at once)."""
    found: list[_Tried] = []
    if plan.missing:
        found += [("missing", name, partial(_blank, feeds, plan, [name])) for name in plan.types]
        for group, names in plan.groups.items():
            found.append(("missing", f"{group} (every column)", partial(_blank, feeds, plan, names)))
    numbers = [n for n, k in plan.types.items() if k == Type.NUMBER]
    for factor in plan.scale:
        found += [
            ("scale", f"{name} × {factor:g}", partial(_scaled, feeds, name, factor)) for name in numbers
        ]
    for level in plan.noise if numbers else ():
        what = f"{level:g} standard deviations on every number"
        found.append(("noise", what, partial(_noisy, feeds, plan, level, seed)))
    return found


def _blank(feeds: Feeds, plan: Plan, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    return {n: _null(plan.types[n], feeds[n]) for n in names}


def _scaled(feeds: Feeds, name: str, factor: float) -> dict[str, NDArray[Any]]:
    return {name: feeds[name] * factor}


def _noisy(feeds: Feeds, plan: Plan, level: float, seed: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng([seed, round(level * 1e6)])
    numbers = [n for n, k in plan.types.items() if k == Type.NUMBER]
    return {n: feeds[n] + rng.normal(0, level * plan.spreads[n], len(feeds[n])) for n in numbers}


def _null(kind: Type, values: NDArray[Any]) -> NDArray[Any]:
    if kind == Type.TEXT:
        return np.full(len(values), NULL_TEXT, dtype=object)
    if kind == Type.TIME:
        return np.full(len(values), NULL_TIME, dtype=np.int64)
    return np.full(len(values), np.nan)


def _compare(
    metric: Metric,
    base: Predictions,
    value: float,
    faulty: Predictions,
    kind: str,
    what: str,
    tried: Sequence[_Tried],
    seed: int,
) -> tuple[Fault, tuple[float, float]]:
    """One fault, and its ends for the worst of its kind: low (corrected) and high, NaN where unknown."""
    faulty = replace(faulty, units=base.units)
    after = measure(metric, faulty) if base.rows else math.nan
    if not math.isfinite(value) or value == 0:
        why = f"{metric.name} is {'0' if value == 0 else 'undefined'} without any fault"
        return Fault(kind, what, _known(after), None, None, why), (math.nan, math.nan)
    estimate = paired(metric, base, faulty, seed=seed, resamples=_RESAMPLES)
    if estimate.interval is None:
        loss = _known(estimate.value / abs(value))
        return Fault(kind, what, _known(after), loss, None, estimate.why_none), (math.nan, math.nan)
    interval = Interval(estimate.interval.low / abs(value), estimate.interval.high / abs(value))
    alike = sum(k == kind for k, _, _ in tried)
    low = bound(estimate, side="low", alpha=0.025 / alike) / abs(value)
    fault = Fault(kind, what, _known(after), estimate.value / abs(value), interval)
    return fault, (low, interval.high)


def _worst(kind: str, found: Sequence[tuple[Fault, tuple[float, float]]]) -> WorstLoss | None:
    if not found:
        return None
    unknown = [f for f, _ in found if f.loss is None or f.interval is None]
    known = [f for f, _ in found if f.loss is not None]
    top = max(known, key=lambda f: _size(f.loss)) if known else found[0][0]
    if unknown:
        return WorstLoss(kind, top.what, top.loss, None, f"{unknown[0].what}: {unknown[0].why_none}")
    low, high = (max(ends[i] for _, ends in found) for i in (0, 1))
    return WorstLoss(kind, top.what, top.loss, Interval(low, high))


def _size(loss: float | None) -> float:
    return -math.inf if loss is None else loss


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def robustness_evidence(found: Robustness) -> tuple[Evidence, ...]:
    """The worst loss of each kind, for the gate `robustness`."""
    return tuple(
        Evidence(
            f"robustness: {w.kind}",
            w.loss,
            unit=f"share of {found.metric} lost",
            n=found.units,
            interval=w.interval,
            where=f"worst: {w.what}, on {found.rows} rows",
            why_none=w.why_none,
        )
        for w in found.worst
    )
