"""Metrics of predictions among three or more classes.

Averages over classes follow scikit-learn: over the classes that occur among the true or the decided
ones; a class that was never decided has precision 0, one that never occurs has recall 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headrace.core.task import Kind
from headrace.metrics.binary import auc_of_groups, mean_of, ratio
from headrace.metrics.record import (
    Bools,
    Floats,
    Metric,
    Predictions,
    Ranks,
    Scale,
    Statistic,
    Sums,
    every_row,
)


def class_counts(p: Predictions) -> Floats:
    """For each row and class whether it was rightly decided, decided, and true: [n, 3K]."""
    codes = np.arange(max(len(p.task.classes), 2))
    decision = p.decision if p.decision is not None else np.full(p.rows, -1)
    true = p.y[:, None] == codes
    decided = decision[:, None] == codes
    return np.concatenate([true & decided, decided, true], axis=1).astype(np.float64)


def _split(s: Floats) -> tuple[Floats, Floats, Floats]:
    """Sums [..., 3K] -> right, decided, true [..., K]."""
    k = s.shape[-1] // 3
    return s[..., :k], s[..., k : 2 * k], s[..., 2 * k :]


def _zero(numerator: Floats, denominator: Floats) -> Floats:
    return np.nan_to_num(ratio(numerator, denominator), nan=0.0)


def _precision(s: Floats) -> Floats:
    right, decided, _ = _split(s)
    return _zero(right, decided)


def _recall(s: Floats) -> Floats:
    right, _, true = _split(s)
    return _zero(right, true)


def _f1(s: Floats) -> Floats:
    right, decided, true = _split(s)
    return _zero(2 * right, decided + true)


def _macro(each: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    def finish(s: Floats) -> Floats:
        _, decided, true = _split(s)
        seen = (decided + true) > 0
        return ratio((each(s) * seen).sum(axis=-1), seen.sum(axis=-1).astype(np.float64))

    return finish


def _weighted(each: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    def finish(s: Floats) -> Floats:
        true = _split(s)[2]
        return ratio((each(s) * true).sum(axis=-1), true.sum(axis=-1))

    return finish


def _accuracy(s: Floats) -> Floats:
    right, _, true = _split(s)
    return ratio(right.sum(axis=-1), true.sum(axis=-1))


def _balanced(s: Floats) -> Floats:
    present = _split(s)[2] > 0
    return ratio((_recall(s) * present).sum(axis=-1), present.sum(axis=-1).astype(np.float64))


def _log_loss(p: Predictions) -> Floats:
    eps = float(np.finfo(np.float64).eps)
    chosen = p.score[np.arange(p.rows), p.y.astype(np.int64)]
    return np.stack([-np.log(np.clip(chosen, eps, 1 - eps)), np.ones(p.rows)], axis=-1)


def _one_versus_rest(p: Predictions) -> list[tuple[Floats, Bools]]:
    return [(p.score[:, k], p.y == k) for k in range(p.score.shape[1])]


SHARED: dict[str, Statistic] = {
    "accuracy": Sums(class_counts, _accuracy),
    "balanced_accuracy": Sums(class_counts, _balanced),
    "log_loss": Sums(_log_loss, mean_of),
    "roc_auc": Ranks(_one_versus_rest, auc_of_groups),
}
"""How metrics that two-class tasks have too are computed here. `roc_auc` is the mean over classes of one
class against the rest (Provost & Domingos 2000), NaN where a class is absent."""


def _averaged(name: str, meaning: str, finish: Callable[[Floats], Floats]) -> Metric:
    how = {Kind.MULTICLASS: Sums(class_counts, finish)}
    reference = "Sokolova & Lapalme 2009, Information Processing & Management 45"
    return Metric(name, meaning, True, "decision", Scale.SHARE, reference, how, every_row)


METRICS = (
    _averaged("f1_macro", "F1 averaged over classes, each counting alike", _macro(_f1)),
    _averaged("f1_weighted", "F1 averaged over classes by their rows", _weighted(_f1)),
    _averaged("precision_macro", "precision averaged over classes, each counting alike", _macro(_precision)),
    _averaged("precision_weighted", "precision averaged over classes by their rows", _weighted(_precision)),
    _averaged("recall_macro", "recall averaged over classes, each counting alike", _macro(_recall)),
    _averaged("recall_weighted", "recall averaged over classes by their rows", _weighted(_recall)),
)
