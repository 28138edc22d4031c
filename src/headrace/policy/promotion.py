"""Whether a challenger may take the champion's place: paired gains, overall, by slice, and against every
champion before.

Overall the burden of proof lies with the challenger: it has to show that it loses no more than a margin
(non-inferiority: Piaggio et al. 2012, JAMA 308). In a slice there are too few rows to ask that of every one
of them, so there a loss has to be shown: it counts where it is beyond noise after Holm's correction for the
slices looked at (Holm 1979, Scandinavian Journal of Statistics 6).

Being no worse than the best champion so far is being no worse than any of them, whichever is truly the best:
each is compared at the full level, and the lowest safe end counts (an intersection-union test, which needs no
correction: Berger 1982, Technometrics 24). The upper end, which picks the best-looking one, is corrected for
having picked it (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace.core.evidence import Evidence, Interval
from headrace.core.views import Reign
from headrace.metrics.contrast import blocked, take
from headrace.metrics.intervals import Estimate, bound, paired
from headrace.metrics.measure import measure
from headrace.metrics.multiple import holm
from headrace.metrics.record import Bools, Metric, Predictions

ALPHA = 0.05
"""The chance of any false alarm among the slices."""
SLICE_RESAMPLES = 400

Says = Literal["better", "worse", "not told apart"]
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Gain:
    """How much better one is than another on the same rows, as a share of the other's metric: above zero is
    better, whichever way the metric runs.

    value: None where the metric is undefined; interval: None where there is none, as `why_none` says.
    ours, theirs: the metric of both. p_worse, p_better: one-sided chances of such a difference by accident.
    estimate: as measured, in the metric's unit; scale: what it was divided by.
    """

    value: float | None
    interval: Interval | None
    ours: float | None
    theirs: float | None
    rows: int
    units: int
    p_worse: float | None
    p_better: float | None
    scale: float
    estimate: Estimate
    why_none: str = ""

    @property
    def says(self) -> Says:
        """What the interval allows to say."""
        if self.interval is None or self.interval.low <= 0 <= self.interval.high:
            return "not told apart"
        return "better" if self.interval.low > 0 else "worse"

    def end(self, side: Literal["low", "high"], alpha: float) -> float:
        """A one-sided end at any level, as a share; NaN where there is no interval."""
        return bound(self.estimate, side=side, alpha=alpha) / self.scale


def gain(metric: Metric, ours: Predictions, theirs: Predictions, *, seed: int, resamples: int = 1000) -> Gain:
    """Compare two sets of predictions of the same rows; whole units are resampled, both together.

    Where the other's metric is 0, the difference is taken as it is.

    Raises:
        DataError: they are not of the same rows.
    """
    estimate = paired(metric, ours, theirs, seed=seed, resamples=resamples)
    one, other = measure(metric, ours), measure(metric, theirs)
    scale = abs(other) if math.isfinite(other) and other else 1.0
    found = estimate.interval
    known = found is not None
    return Gain(
        _known(estimate.value / scale),
        Interval(found.low / scale, found.high / scale, found.level) if found is not None else None,
        _known(one),
        _known(other),
        estimate.n_rows,
        estimate.n_units,
        _p_value(estimate, "high") if known else None,
        _p_value(estimate, "low") if known else None,
        scale,
        estimate,
        estimate.why_none,
    )


def _p_value(estimate: Estimate, side: Literal["low", "high"]) -> float:
    """The smallest level at which the one-sided end on `side` leaves zero behind: the p-value of "no worse"
    (high) or "no better" (low), by inverting the interval."""

    def beyond(alpha: float) -> bool:
        end = bound(estimate, side=side, alpha=alpha)
        return end < 0 if side == "high" else end > 0

    low, high = 1e-18, 0.5
    if not beyond(high):
        return 1.0  # beyond a half, nobody asks how far
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class SliceGain:
    """A declared slice. p_corrected: p_worse by Holm for all slices. lost: the gain where it is a loss beyond
    noise at 5%, 0 where none was shown; None where it can't be judged, for the reason in `why_none`."""

    name: str
    gain: Gain | None
    p_corrected: float | None
    lost: float | None
    why_none: str = ""


def slice_gains(
    metric: Metric,
    ours: Predictions,
    theirs: Predictions,
    slices: Mapping[str, Bools],
    *,
    min_rows: int,
    seed: int,
    resamples: int = SLICE_RESAMPLES,
    progress: Tell = lambda text, done, total: None,
) -> tuple[SliceGain, ...]:
    """The gain in every slice, by masks over the rows. A slice with fewer than `min_rows` rows is not judged.

    Each slice has all its units, merged at random into at most 200 blocks.
    """
    found: list[SliceGain] = []
    for name, rows in slices.items():
        held = int(np.count_nonzero(rows))
        if held < min_rows:
            why = f"{held} rows that neither was trained on; evaluate.min_rows asks for {min_rows}"
            found.append(SliceGain(name, None, None, None, why))
        else:
            parts = [blocked(take(p, rows), seed=seed) for p in (ours, theirs)]
            one = gain(metric, parts[0], parts[1], seed=seed, resamples=resamples)
            found.append(SliceGain(name, one, None, None, one.why_none))
        progress("comparing slices", len(found), len(slices))
    ps = [math.nan if s.gain is None or s.gain.p_worse is None else s.gain.p_worse for s in found]
    return tuple(_judgeable(s, p) for s, p in zip(found, holm(ps), strict=True))


def _judgeable(s: SliceGain, corrected: float) -> SliceGain:
    if s.gain is None or s.gain.value is None or math.isnan(corrected):
        return s
    lost = s.gain.value if corrected <= ALPHA and s.gain.value < 0 else 0.0
    return SliceGain(s.name, s.gain, corrected, lost, s.why_none)


def slice_evidence(found: Sequence[SliceGain], metric: Metric, against: str) -> tuple[Evidence, ...]:
    """One piece of evidence a slice, for the gate `champion-slice`: the share lost beyond noise."""
    return tuple(
        Evidence(
            f"champion-slice: {s.name}",
            s.lost,
            unit=f"share of the champion's {metric.name}, beyond noise",
            n=s.gain.units if s.gain else 0,
            interval=s.gain.interval if s.gain else None,
            where=_slice_where(s, against, len(found)),
            why_none=s.why_none,
            details={"gain": s.gain.value if s.gain else None, "p_corrected": s.p_corrected},
        )
        for s in found
    )


def _slice_where(s: SliceGain, against: str, count: int) -> str:
    if s.gain is None or s.gain.value is None or s.p_corrected is None:
        return f"against {against}"
    among = f" among {count} slices" if count > 1 else ""
    return f"{s.gain.value:+.1%} against {against} on {s.gain.rows} rows, p = {s.p_corrected:.2g}{among}"


def gain_evidence(gate: str, found: Gain, metric: Metric, against: str, note: str = "") -> Evidence:
    """What a comparison over all rows measured. `details.says` is what may be said of it: better, worse, or
    not told apart."""
    return Evidence(
        gate,
        found.value,
        unit=f"share of the champion's {metric.name}",
        n=found.units,
        interval=found.interval,
        where=f"against {against} on {found.rows} rows" + (f"; {note}" if note else ""),
        why_none=found.why_none,
        details={"says": found.says, "against": against, "ours": found.ours, "theirs": found.theirs},
    )


def best_evidence(found: Mapping[str, Gain], metric: Metric, left_out: Sequence[str] = ()) -> Evidence:
    """The challenger against the best of the former champions (gains by release, at least one).

    The value is the gain on the one that looks best; the low end is the lowest of all, valid whichever is
    best; the high end is corrected for having picked.
    """
    known = {n: g for n, g in found.items() if g.value is not None}
    if not known:
        name, one = next(iter(found.items()))
        return gain_evidence("best-so-far", one, metric, name)
    best = min(known, key=lambda n: (known[n].value or 0.0, n))
    chosen = known[best]
    missing = [n for n, g in found.items() if g.interval is None]
    interval = None
    if not missing:
        tail = ALPHA / 2
        low = min(g.end("low", tail) for g in known.values())
        high = min(g.end("high", tail / len(known)) for g in known.values())
        interval = Interval(low, max(high, chosen.value or low))
    of = f"the best-looking of {len(found)} former champions" if len(found) > 1 else "the former champion"
    where = f"against {best}, {of}, on {chosen.rows} rows"
    return Evidence(
        "best-so-far",
        chosen.value,
        unit=f"share of its {metric.name}",
        n=min(g.units for g in known.values()),
        interval=interval,
        where="; ".join([where, *left_out]),
        why_none=found[missing[0]].why_none if missing else "",
        details={"against": best, "gains": {n: g.value for n, g in found.items()}},
    )


def standing_line(reigns: Iterable[Reign]) -> tuple[str, ...]:
    """The champions whose place was taken by a better or equal one, oldest first, and the present one last.
    What a rollback took down is no bar for others."""
    line: list[str] = []
    for reign in reigns:
        if reign.how == "rollback":
            while line and line[-1] != reign.release:
                line.pop()
        if not line or line[-1] != reign.release:
            line.append(reign.release)
    return tuple(dict.fromkeys(line))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
