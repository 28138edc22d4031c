"""Intervals of eight metrics that resample whole units, against the loop that everybody writes.

The loop draws units with replacement, gathers their rows and computes each metric with numpy, once a
resample. It is measured on a few resamples and multiplied up to all of them: every resample costs the same.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.rows import Row, row
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS
from headrace.metrics.intervals import intervals
from headrace.metrics.record import Predictions

ROWS, UNITS, RESAMPLES, LOOPED = 1_000_000, 365, 1_000, 5
NAMES = ("f1", "precision", "recall", "accuracy", "mcc", "log_loss", "roc_auc", "average_precision")


def run() -> list[Row]:
    predictions = _predictions()
    metrics = [METRICS[n] for n in NAMES]
    started = time.perf_counter()
    found = intervals(metrics, predictions, seed=0, resamples=RESAMPLES)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    drawn = _loop(predictions, LOOPED)
    loop = (time.perf_counter() - started) / LOOPED * RESAMPLES
    for name, values in drawn.items():  # both measure the same thing
        estimate = found[name]
        if estimate.interval is None or abs(np.mean(values) - estimate.value) > 6 * estimate.se:
            raise RuntimeError(f"{name}: the loop found {np.mean(values)}, the intervals {estimate.value}")
    ratio = ours / loop
    return [
        row(
            "bootstrap",
            f"clustered intervals of 8 metrics, n = {ROWS:,}, {RESAMPLES:,} resamples of {UNITS} units",
            ours,
            "s",
            floor=f"plain loop {loop:,.0f} s ({LOOPED} resamples measured, times {RESAMPLES // LOOPED})",
            ratio=ratio,
            reach="≤ 1/20 of the loop",
            ok=ratio <= 1 / 20,
        )
    ]


def _predictions() -> Predictions:
    rng = np.random.default_rng(1)
    units = np.sort(rng.integers(0, UNITS, ROWS))
    x = rng.normal(size=ROWS) + 0.3 * rng.normal(size=UNITS)[units]
    y = (rng.random(ROWS) < 1 / (1 + np.exp(1.5 - x))).astype(np.float64)
    score = 1 / (1 + np.exp(1.5 - x + 0.5 * rng.normal(size=ROWS)))
    decision = (score >= 0.3).astype(np.int64)
    return Predictions(Task(Kind.BINARY, ("no", "yes")), y, score, units, decision)


def _loop(p: Predictions, resamples: int) -> dict[str, list[float]]:
    rng = np.random.default_rng(2)
    rows_of = np.split(np.arange(p.rows), np.flatnonzero(np.diff(p.units)) + 1)
    found: dict[str, list[float]] = {n: [] for n in NAMES}
    decided = np.asarray(p.decision)
    for _ in range(resamples):
        rows = np.concatenate([rows_of[u] for u in rng.integers(0, len(rows_of), len(rows_of))])
        for name, value in _plain(p.y[rows], p.score[rows], decided[rows]).items():
            found[name].append(value)
    return found


def _plain(y: np.ndarray, score: np.ndarray, decision: np.ndarray) -> dict[str, float]:
    """The eight metrics, each as directly as numpy allows; both rank metrics share one sort."""
    tp, fp = float(np.sum((y == 1) & (decision == 1))), float(np.sum((y == 0) & (decision == 1)))
    fn, tn = float(np.sum((y == 1) & (decision == 0))), float(np.sum((y == 0) & (decision == 0)))
    order = np.argsort(score)
    ranked, hit = score[order], y[order] == 1
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # resampled rows tie
    pos = np.add.reduceat(hit.astype(np.float64), starts)
    neg = np.add.reduceat((~hit).astype(np.float64), starts)
    auc = float(np.sum(pos * (np.cumsum(neg) - neg / 2)) / (pos.sum() * neg.sum()))
    hits, flagged = np.cumsum(pos[::-1]), np.cumsum((pos + neg)[::-1])
    chosen = np.where(y == 1, score, 1 - score)
    return {
        "f1": 2 * tp / (2 * tp + fp + fn),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "accuracy": (tp + tn) / len(y),
        "mcc": (tp * tn - fp * fn) / float(np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
        "log_loss": float(-np.log(np.clip(chosen, 1e-15, 1 - 1e-15)).mean()),
        "roc_auc": auc,
        "average_precision": float(np.sum(pos[::-1] * hits / flagged) / hits[-1]),
    }
