"""Performance as labels arrive: the release's metric on a window's labelled rows, with its interval.

Rows whose labels came are not always like the others; `coverage` says how many there are.
"""

from __future__ import annotations

from dataclasses import replace

from headrace.checks.live.labelled import SEED, Baseline, Labelled, metric_reading
from headrace.core.watching import Family, Reading
from headrace.metrics.intervals import interval
from headrace.metrics.record import Metric


def performance(
    metric: Metric, window: Labelled, baseline: Baseline, chance: float, *, answers: int
) -> tuple[Reading, Reading]:
    """What the release is judged by, and how many of the window's `answers` have a label.

    The interval resamples the window's units (`metrics.intervals`); the threshold is where so many windows
    of this size lie while nothing changes.
    """
    reading = metric_reading(Family.PERFORMANCE, metric, window, baseline, chance)
    if reading.value is not None:
        told = interval(metric, window.predictions, seed=SEED, resamples=400).interval
        if told is not None:
            reading = replace(reading, low=told.low, high=told.high)
    share = window.rows / answers if answers else None
    why = "" if answers else "nothing was answered"
    coverage = Reading(Family.PERFORMANCE, "coverage", value=share, n=answers, unit="labelled", why_none=why)
    return reading, coverage
