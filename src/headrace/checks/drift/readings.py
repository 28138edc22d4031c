"""What thresholds say of a window's counts: a reading for every measure of every column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.budget import Thresholds, amplitudes
from headrace.checks.drift.layout import NORMAL, SHARES, STATISTICS, Layout, Measure
from headrace.checks.drift.statistic import Statistic
from headrace.checks.drift.tail import quantile, surprise
from headrace.checks.drift.wording import moved
from headrace.core.watching import Family, Reading
from headrace.summary.bins import Bins

_CHUNK = 200
_TOLD = 0.05
_NAMED: dict[str, Statistic] = {s.name: s for s in STATISTICS}


def readings(
    bins: Bins, found: Thresholds, reference: NDArray[Any], window: NDArray[Any]
) -> tuple[Reading, ...]:
    """Readings of a window: counts `[codes]` of the reference and the window, in the bins that the thresholds
    were made for (`Counts.codes`). Where nothing could be measured a reading says why.

    The threshold of a reading is the value from which on the window is an alarm, with everything else in it
    as usual. p: the chance of such a value of this one measure while nothing changes; details["any"]: that
    of as surprising a value of any measure of the window, which is what the budget is spent on;
    details["reference"]: the value of the reference itself, 0 of a distance.
    """
    layout = _layout(bins, found)
    if found.bins != bins.digest:
        raise ValueError(f"thresholds are for bins {found.bins}, not {bins.digest}")
    window, reference = np.asarray(window, np.float64), np.asarray(reference, np.float64)
    m, n = layout.rows(window), layout.rows(reference)
    values, amplitude = amplitudes(layout, window, reference)
    if found.why_none or found.tail is None:
        return tuple(
            _none(bins, layout.measures[i], m[i], found.why_none, values[i]) for i in range(len(values))
        )
    z = (amplitude / np.array(found.stretch) - np.array(found.centre)) / np.array(found.spread)
    surprised = surprise(np.where(np.isnan(z), -9.0, z))
    limit = np.array(found.centre) + np.array(found.spread) * quantile(found.surprise)
    limit = np.maximum(limit * np.array(found.stretch), 0.0) ** (1 / NORMAL)
    limits = layout.undo(limit, m, layout.expected(reference, n), n, values)
    usual = layout.values(reference, reference)
    made = []
    for i, measure in enumerate(layout.measures):
        why = found.blind.get(str(measure.column), "")
        if why or np.isnan(values[i]):
            made.append(_none(bins, measure, m[i], why or f"{m[i]:.0f} known values are too few", values[i]))
            continue
        anywhere = found.tail.beyond(float(surprised[i]))
        p = max(float(np.exp(-surprised[i])), anywhere / len(values))
        anywhere = max(anywhere, p)
        exceeds = bool(surprised[i] > found.surprise)
        column = bins.columns[measure.column]
        span = bins.span(column.name)
        made.append(
            Reading(
                family=measure.family,
                check=measure.check,
                of=column.name,
                value=float(values[i]),
                threshold=float(limits[i]),
                exceeds=exceeds,
                p=p,
                n=int(m[i]),
                unit=_unit(measure),
                where=moved(measure.check, column, reference[span], window[span])
                if exceeds or p < _TOLD
                else "",
                details={"any": anywhere, "reference": float(usual[i])} if exceeds or p < _TOLD else {},
            )
        )
    return tuple(made)


def _none(bins: Bins, measure: Measure, rows: float, why: str, value: float) -> Reading:
    return Reading(
        family=measure.family,
        check=measure.check,
        of=bins.columns[measure.column].name,
        value=None if np.isnan(value) else float(value),
        n=int(rows),
        unit=_unit(measure),
        why_none=why,
    )


def _unit(measure: Measure) -> str:
    return "share" if measure.check in SHARES else _NAMED[measure.check].unit


def _layout(bins: Bins, found: Thresholds) -> Layout:
    return Layout(bins, tuple(Family(f) for f in found.families), found.ignore)


def surprises(
    bins: Bins, found: Thresholds, reference: NDArray[Any], windows: NDArray[Any]
) -> NDArray[np.float64]:
    """The largest surprise of each of many windows `[n, codes]`; 0 where there are no thresholds."""
    if found.why_none:
        return np.zeros(len(windows))
    layout = _layout(bins, found)
    blind = np.isin(layout.columns, [int(j) for j in found.blind])
    largest = []
    for at in range(0, len(windows), _CHUNK):
        part = np.asarray(windows[at : at + _CHUNK], np.float64)
        amplitude = amplitudes(layout, part, np.asarray(reference, np.float64))[1]
        z = (amplitude / np.array(found.stretch) - np.array(found.centre)) / np.array(found.spread)
        z = np.where(np.isnan(z) | blind, -9.0, z)
        largest.append(surprise(z.max(-1, initial=-9.0)))
    return np.concatenate(largest) if largest else np.zeros(0)
