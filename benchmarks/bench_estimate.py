"""Performance before labels are there: 1,000,000 answers of two classes, from 20,000 reference rows.

Three metrics (area under the curve, F1, accuracy), each by an estimator of its own that learns its
calibration map of the reference anew. The floor is the plain formula in numpy for the same figures: the map
given, one sort, expected positives cumulated, two sums over what was decided. Both have to find the same.

The model says too high probabilities, and the columns of the window have moved: what its labels would have
shown is a row of its own.

Peer, quoted and not run here: NannyML, which estimates the same in 6.64 s.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np

from benchmarks.rows import Row, row
from headrace.checks.live.estimated import Answers, Estimator, Isotonic, isotonic
from headrace.checks.live.labelled import Baseline, Labelled
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions
from headrace.summary.bins import Bins

ROWS, REFERENCE, RUNS = 1_000_000, 20_000, 5
NAMES = ("roc_auc", "f1", "accuracy")
PEER = "NannyML 6.64 s (quoted, not run here)"
TASK = Task(Kind.BINARY, ("no", "yes"))
T = TypeVar("T")


def run() -> list[Row]:
    seen, known = _answered(ROWS, 1, moved=0.5), _answered(REFERENCE, 2)
    answers = Answers(TASK, seen.score, seen.decision, np.zeros((ROWS, 0), np.uint8))
    ours, theirs = [], []
    # In turns, and the median of each: what else the machine does falls on both.
    for _ in range(RUNS):
        cpu, found = _timed(partial(_estimated, known, answers))
        ours.append(cpu)
        fitted = isotonic(known.score, known.y)
        cpu, plain = _timed(partial(_plain, fitted, seen))
        theirs.append(cpu)
    came = {name: measure(METRICS[name], seen) for name in NAMES}
    return rows_of(statistics.median(ours), statistics.median(theirs), found, plain, came)


def rows_of(
    ours: float,
    floor: float,
    found: Mapping[str, float],
    plain: Mapping[str, float],
    came: Mapping[str, float],
) -> list[Row]:
    """Seconds of the processor of both, and what each found."""
    apart, wrong = _apart(found, plain), _apart(found, came)
    what = "confidence-based performance estimate, same rows"
    return [
        row(
            "estimate",
            f"{what}: roc_auc, f1, accuracy of {ROWS:,}, reference {REFERENCE:,}",
            ours,
            "s",
            floor=f"plain formula {floor:.2f} s, apart by {apart:.1e}; {PEER}",
            ratio=ours / floor,
            reach="≤ 0.7 s and the same within 1e-3",
            ok=ours <= 0.7 and apart <= 1e-3,
        ),
        row(
            "estimate",
            f"{what}: furthest from what the labels show",
            wrong,
            "",
            floor=", ".join(f"{n} {found[n]:.4f}, labels {came[n]:.4f}" for n in NAMES),
            ratio=None,
            reach="≤ 0.01",
            ok=wrong <= 0.01,
        ),
    ]


def _answered(rows: int, seed: int, moved: float = 0.0) -> Predictions:
    rng = np.random.default_rng(seed)
    x = rng.normal(moved, 1, rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(1.5 - 1.2 * x))).astype(np.float64)
    score = 1 / (1 + np.exp(1.0 - x))
    return Predictions(TASK, y, score, np.arange(rows), (score >= 0.4).astype(np.int64))


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def _estimated(known: Predictions, answers: Answers) -> dict[str, float]:
    codes = np.zeros((known.rows, 0), np.uint8)
    baseline = Baseline(Labelled(known, Bins(()), codes, np.zeros(known.rows, np.int64)))
    return {name: Estimator(METRICS[name], baseline).estimate(answers) for name in NAMES}


def _plain(fitted: Isotonic, seen: Predictions) -> dict[str, float]:
    p = np.interp(seen.score, fitted.scores, fitted.values)
    likely = p[np.argsort(seen.score)]
    rest = 1 - likely
    wins = float(likely @ (np.cumsum(rest) - rest / 2))
    flagged = np.equal(np.asarray(seen.decision), 1)
    tp, positives, count = float(p[flagged].sum()), float(p.sum()), float(flagged.sum())
    return {
        "roc_auc": wins / (positives * float(rest.sum())),
        "f1": 2 * tp / (count + positives),
        "accuracy": (tp + len(p) - count - (positives - tp)) / len(p),
    }


def _apart(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return max(abs(one[name] - other[name]) for name in NAMES)
