"""What each of several changes did alone, and what they did to each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headrace.core.evidence import Interval
from headrace.metrics.intervals import MIN_UNITS, paired
from headrace.metrics.measure import prepare
from headrace.metrics.record import Metric, Predictions
from headrace.metrics.resample import effective, find_units, leave_one_out
from headrace.policy.changes import Arm


def effect(
    component: str, changed: str, run: str, metric: Metric, ours: Predictions, base: Predictions, *, seed: int
) -> Arm:
    """How much better a change made the metric, in its unit, on the same rows."""
    found = paired(metric, ours, base, seed=seed)
    return _arm(component, changed, run, found.value, found.interval, found.why_none)


def _arm(
    component: str, changed: str, run: str, value: float, interval: Interval | None, why_none: str
) -> Arm:
    ends = (interval.low, interval.high) if interval is not None else None
    known = float(value) if math.isfinite(value) else None
    return Arm(component, changed, run, known, ends, says(interval), why_none=why_none)


def says(interval: Interval | None) -> str:
    """What an interval of a gain allows to say."""
    if interval is None or interval.low <= 0 <= interval.high:
        return "not told apart"
    return "better" if interval.low > 0 else "worse"


def left_over(
    metric: Metric, terms: Sequence[tuple[float, Predictions]], *, seed: int, level: float = 0.95
) -> Arm:
    """A weighted sum of the goodness of several predictions of the same rows, with the interval of the
    delete-one-unit jackknife, all resampled together (Efron & Stein 1981, Annals of Statistics 9)."""
    units = find_units(terms[0][1].units, np.random.default_rng(seed))
    measured = [(w, prepare(metric, p, units.codes, units.count)) for w, p in terms]
    value = sum(w * float(metric.goodness(m.value)) for w, m in measured)
    why = ""
    if not math.isfinite(value):
        why = f"{metric.name} is undefined on these {terms[0][1].rows} rows"
    elif units.count < MIN_UNITS:
        why = f"{units.count} independent units; an interval needs {MIN_UNITS}"
    if why:
        return _arm("left over", "", "", value, None, why)
    out = np.concatenate(
        [
            sum((w * metric.goodness(m.evaluate(weights)) for w, m in measured), np.zeros(len(weights)))
            for weights in leave_one_out(units.count)
        ]
    )
    spread = units.count - 1
    se = math.sqrt(spread / units.count * float(np.nansum((np.nanmean(out) - out) ** 2)))
    from scipy.special import stdtrit

    held = effective(units.holding(np.ones(terms[0][1].rows, dtype=np.bool_)))
    reach = -float(stdtrit(max(held - 1, 1.0), (1 - level) / 2)) * se
    return _arm("left over", "", "", value, Interval(value - reach, value + reach, level), "")
