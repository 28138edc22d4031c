"""Time that the split does not keep apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headrace.checks.lint.alone import Alone, ranks
from headrace.checks.lint.copies import pearson
from headrace.checks.lint.record import Dataset, Finding, Floats, Severity
from headrace.core.schema import NULL_TIME

SHUFFLED, RANDOM = "time-shuffled", "random-over-time"
FEWEST = 100
NEARLY = 0.3
"""Share of training rows that are late, up to which parts given by a column seem to follow time."""

DEPENDENCE = 0.1
"""Correlation of neighbours in time from which a random split is told of."""


def find_shuffled(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """A split that is said to follow time, and does not."""
    del alone
    if data.times is None or data.split not in ("time", "column") or data.train.all() or not data.train.any():
        return
    known = data.times != NULL_TIME
    train, validation = data.times[data.train & known], data.times[~data.train & known]
    if not train.size or not validation.size:
        return
    start = validation.min()
    late = int((train > start).sum())
    if not late or (data.split == "column" and late > NEARLY * train.size):
        return  # parts that a column deals at random promise no order: see `find_random`
    yield Finding(
        SHUFFLED,
        "",
        Severity.BLOCKS,
        f"{late:,} of {train.size:,} training rows are later than the first validation row",
        "let headrace split by time, or mend the column that holds the parts",
        {"training rows later": late, "share": late / train.size},
        (
            f"the first validation row is of {np.datetime64(int(start), 'us')}",
            f"the last training row is of {np.datetime64(int(train.max()), 'us')}",
        ),
    )


def find_random(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """Rows that depend on their neighbours in time, and a split that deals them at random."""
    if data.times is None or data.split not in ("random", "stratified", "column") or data.rows < FEWEST:
        return
    if data.split == "column" and not _mixed(data):
        return
    order = np.argsort(data.times, kind="stable")
    order = order[data.times[order] != NULL_TIME]
    if order.size < FEWEST:
        return
    del alone
    y = ranks(data.y[order])
    near = pearson(y[:-1], y[1:])
    drift = _between(y, 20)
    sure = 4 / np.sqrt(order.size)
    if not (near > max(DEPENDENCE, sure) or drift > max(0.05, 60 / order.size)):
        return
    yield Finding(
        RANDOM,
        "",
        Severity.WARNS,
        f"rows near in time have like targets (correlation of neighbours {near:.2f}, {drift:.1%} of the "
        "variance between twentieths of the time), and the split deals them at random",
        "split by time: tomorrow's rows have no neighbours in the training rows",
        {"correlation of neighbours": near, "variance between blocks": drift, "rows": int(order.size)},
    )


def _mixed(data: Dataset) -> bool:
    """Whether training rows lie on both sides of validation's beginning."""
    if data.times is None or data.train.all() or not data.train.any():
        return False
    late = float((data.times[data.train] > data.times[~data.train].min()).mean())
    return late > NEARLY


def _between(y: Floats, blocks: int) -> float:
    """Share of the variance between blocks of equally many rows, less what chance gives."""
    block = np.arange(len(y)) * blocks // len(y)
    means = np.bincount(block, y) / np.bincount(block)
    total = float(((y - y.mean()) ** 2).sum())
    share = float(((means[block] - y.mean()) ** 2).sum()) / total if total else 0.0
    return share - (blocks - 1) / len(y)
