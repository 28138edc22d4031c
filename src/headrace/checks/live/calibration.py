"""Calibration drift: whether probabilities still mean what they say, as far as they did on the reference.

`gap` is the mean probability less the share that came true (calibration in the large, Cox 1958), and may move
either way; `calibration` is the root mean square of that gap over ten bins of the reference's probabilities
(Brier's reliability, Murphy 1973). Of more than two classes it is the decided class's probability, and
whether it was right. Both are compared with what windows of the reference show, so that chance in small
windows and a model that never was calibrated raise no alarm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.checks.live.groups import by_group
from headrace.checks.live.labelled import LEAST, Baseline, Labelled, judged
from headrace.checks.live.null import of_sums
from headrace.core.task import Kind
from headrace.core.watching import Family, Reading
from headrace.metrics.record import Floats, Predictions

BINS = 10


def calibration(window: Labelled, baseline: Baseline, chance: float) -> tuple[Reading, ...]:
    """Both measures, each at half of `chance`. None for a regression, which says no probabilities."""
    p = window.predictions
    if p.task.kind is Kind.REGRESSION:
        return ()
    if window.rows < LEAST:
        why = f"{window.rows} labelled rows; {LEAST} are needed"
        return tuple(
            Reading(Family.CALIBRATION, name, n=window.rows, why_none=why) for name in ("gap", "calibration")
        )
    said, came = said_and_came(baseline.predictions)
    edges = np.unique(np.quantile(said, np.linspace(0, 1, BINS + 1)[1:-1]))
    theirs = _columns(said, came, edges)
    mine = _columns(*said_and_came(p), edges)
    both = np.stack([mine.sum(axis=0), theirs.sum(axis=0)])
    now, usual = _gap(both).tolist()
    moved = baseline.null("gap", of_sums(theirs, _moved), window.rows, larger_is_worse=True, apart=True)
    told = f"probabilities less what came true: {now:+.3f}, {usual:+.3f} on the reference"
    null = baseline.null("calibration", of_sums(theirs, _root), window.rows, larger_is_worse=True)
    each, rows = chance / 2, window.rows
    return (
        judged(Family.CALIBRATION, "gap", "", float(_moved(both)), moved, each, rows=rows, where=told),
        judged(Family.CALIBRATION, "calibration", "", float(_root(both[0])), null, each, rows=rows),
    )


def said_and_came(p: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What was said to be how likely, and whether it came true, each [n]."""
    if p.task.kind is Kind.BINARY:
        return p.score, p.y
    assert p.decision is not None  # noqa: S101  Predictions has seen to it
    return p.score[np.arange(p.rows), p.decision], (p.decision == p.y).astype(np.float64)


def _columns(said: NDArray[np.float64], came: NDArray[np.float64], edges: NDArray[np.float64]) -> Floats:
    """What each row adds: by bin a one and its gap, [n, 2 bins]."""
    spot = np.searchsorted(edges, said, side="right")
    return by_group(spot, len(edges) + 1, np.ones(len(said)), said - came)


def _gap(sums: Floats) -> Floats:
    half = sums.shape[-1] // 2
    return np.asarray(sums[..., half:].sum(-1) / np.maximum(sums[..., :half].sum(-1), 1))


def _moved(both: Floats) -> Floats:
    """How far the gap of a window is from the reference's: sums of both [2, ..., S] -> [...]."""
    gaps = _gap(both)
    return np.asarray(np.abs(gaps[0] - gaps[1]))


def _root(sums: Floats) -> Floats:
    half = sums.shape[-1] // 2
    rows, gaps = sums[..., :half], sums[..., half:]
    whole = np.maximum(rows.sum(-1), 1)
    return np.asarray(np.sqrt((gaps**2 / np.maximum(rows, 1)).sum(-1) / whole))
