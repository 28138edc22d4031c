"""What decisions are worth in the user's unit, per 1,000, and against what else could be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.core.evidence import Interval
from headrace.metrics.intervals import interval, paired
from headrace.metrics.record import Metric, Predictions


@dataclass(frozen=True)
class Versus:
    """How much more 1,000 decisions are worth than those of another way to decide, on the same rows."""

    gain: float
    interval: Interval | None
    rows: int
    units: int
    why_none: str = ""


@dataclass(frozen=True)
class Worth:
    """What 1,000 decisions are worth, in `unit`.

    gains: the paired gain over other ways to decide: "today" (today's rule), "nothing" (never acting),
    "always" (acting on every row).
    """

    value: float
    interval: Interval | None
    unit: str
    rows: int
    units: int
    why_none: str = ""
    gains: Mapping[str, Versus] = field(default_factory=dict)


def worth_of(
    metric: Metric,
    ours: Predictions,
    others: Mapping[str, tuple[Predictions, Predictions]],
    *,
    seed: int,
    resamples: int = 1000,
) -> Worth:
    """The value of our decisions with its interval, and the paired gain over each of `others`.

    metric: `value` (see `binary.value_metric`). others: by name, our predictions and the other's on the
    same rows, which may be some of all rows.

    Raises:
        DataError: a pair is not of the same rows.
    """
    own = interval(metric, ours, seed=seed, resamples=resamples)
    gains = {}
    for name, (mine, theirs) in others.items():
        gain = paired(metric, mine, theirs, seed=seed, resamples=resamples)
        gains[name] = Versus(gain.value, gain.interval, gain.n_rows, gain.n_units, gain.why_none)
    return Worth(own.value, own.interval, metric.unit, own.n_rows, own.n_units, own.why_none, gains)
