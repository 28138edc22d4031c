"""Metrics of two-class predictions. Class 1 is the positive class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from headrace.core.errors import Problem, SpecError, did_you_mean
from headrace.core.task import Kind
from headrace.metrics.record import (
    Bools,
    Floats,
    Metric,
    Predictions,
    Ranks,
    Scale,
    Sums,
    Support,
    every_row,
)

OUTCOMES = ("true_positive", "false_positive", "true_negative", "false_negative")


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """numerator / denominator, NaN where the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.nan, numerator / denominator)


def confusion(p: Predictions) -> Floats:
    """Which outcome each row is, [n, 4], in the order of `OUTCOMES`."""
    positive, decided = p.y == 1, p.decision == 1
    outcomes = (positive & decided, ~positive & decided, ~positive & ~decided, positive & ~decided)
    return np.stack(outcomes, axis=-1).astype(np.float64)


def _f1(s: Floats) -> Floats:
    return ratio(2 * s[..., 0], 2 * s[..., 0] + s[..., 1] + s[..., 3])


def _precision(s: Floats) -> Floats:
    return ratio(s[..., 0], s[..., 0] + s[..., 1])


def _recall(s: Floats) -> Floats:
    return ratio(s[..., 0], s[..., 0] + s[..., 3])


def _specificity(s: Floats) -> Floats:
    return ratio(s[..., 2], s[..., 2] + s[..., 1])


def _fpr(s: Floats) -> Floats:
    return ratio(s[..., 1], s[..., 2] + s[..., 1])


def _accuracy(s: Floats) -> Floats:
    return ratio(s[..., 0] + s[..., 2], s.sum(axis=-1))


def _balanced(s: Floats) -> Floats:
    return (_recall(s) + _specificity(s)) / 2


def _mcc(s: Floats) -> Floats:
    tp, fp, tn, fn = (s[..., i] for i in range(4))
    # The product of four counts overflows nothing in float64 below 10^77 rows.
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    constant = ((tp + fp) == 0) | ((tn + fn) == 0)
    both = ((tp + fn) > 0) & ((tn + fp) > 0)
    value = np.where(constant, 0.0, ratio(tp * tn - fp * fn, spread))
    return np.where(both, value, np.nan)


def auc_of_groups(positive: Floats, negative: Floats) -> Floats:
    """Area under the ROC curve (Mann-Whitney, ties count half) of weights in groups of equal scores,
    lowest first, [B, G] each -> [B]. NaN where a class has no weight."""
    below = np.cumsum(negative, axis=-1) - negative / 2
    wins = np.einsum("bg,bg->b", positive, below)
    return ratio(wins, positive.sum(axis=-1) * negative.sum(axis=-1))


def precision_of_groups(positive: Floats, negative: Floats) -> Floats:
    """Average precision of weights in groups of equal scores, lowest first, [B, G] each -> [B]."""
    total = positive.sum(axis=-1)
    hits = np.cumsum(positive[:, ::-1], axis=-1)
    flagged = hits + np.cumsum(negative[:, ::-1], axis=-1)
    precision = hits / np.maximum(flagged, 1e-300)  # a group without weight adds nothing
    return ratio(np.einsum("bg,bg->b", positive[:, ::-1], precision), total)


def binary_problem(p: Predictions) -> list[tuple[Floats, Bools]]:
    positive: Bools = p.y == 1
    return [(p.score, positive)]


def binary_log_loss(p: Predictions) -> Floats:
    """Each row's log loss and one, [n, 2]; probabilities are kept off 0 and 1 by float64's epsilon."""
    eps = float(np.finfo(np.float64).eps)
    chosen = np.where(p.y == 1, p.score, 1 - p.score)
    return np.stack([-np.log(np.clip(chosen, eps, 1 - eps)), np.ones(p.rows)], axis=-1)


def _brier(p: Predictions) -> Floats:
    return np.stack([(p.score - p.y) ** 2, np.ones(p.rows)], axis=-1)


def mean_of(s: Floats) -> Floats:
    """The mean, of sums [..., 2] of a value and of ones."""
    return ratio(s[..., 0], s[..., 1])


def positives(p: Predictions) -> list[Bools]:
    return [p.y == 1]


def negatives(p: Predictions) -> list[Bools]:
    return [p.y == 0]


def each_class(p: Predictions) -> list[Bools]:
    return [p.y == 1, p.y == 0]


def flagged(p: Predictions) -> list[Bools]:
    return [np.equal(np.asarray(p.decision), 1)]


def flagged_or_positive(p: Predictions) -> list[Bools]:
    return [(p.decision == 1) | (p.y == 1)]


def _decided(
    name: str,
    meaning: str,
    finish: Callable[[Floats], Floats],
    support: Support,
    reference: str,
    *,
    higher: bool = True,
    scale: Scale = Scale.SHARE,
) -> Metric:
    how = {Kind.BINARY: Sums(confusion, finish)}
    return Metric(name, meaning, higher, "decision", scale, reference, how, support)


_RIJSBERGEN = "van Rijsbergen 1979, Information Retrieval, ch. 7"
_FAWCETT = "Fawcett 2006, Pattern Recognition Letters 27"

METRICS = (
    _decided("f1", "harmonic mean of precision and recall", _f1, flagged_or_positive, _RIJSBERGEN),
    _decided("precision", "share of the flagged that are positive", _precision, flagged, _RIJSBERGEN),
    _decided("recall", "share of the positives that are flagged", _recall, positives, _RIJSBERGEN),
    _decided("accuracy", "share of decisions that are right", _accuracy, every_row, _FAWCETT),
    _decided(
        "balanced_accuracy",
        "mean over classes of the share found",
        _balanced,
        each_class,
        "Brodersen et al. 2010, ICPR",
    ),
    _decided("specificity", "share of the negatives left alone", _specificity, negatives, _FAWCETT),
    _decided("fpr", "share of the negatives that are flagged", _fpr, negatives, _FAWCETT, higher=False),
    _decided(
        "mcc",
        "correlation of decision and truth",
        _mcc,
        each_class,
        "Matthews 1975, Biochimica et Biophysica Acta 405",
        scale=Scale.CORRELATION,
    ),
    Metric(
        "roc_auc",
        "chance that a positive row scores above a negative one",
        True,
        "score",
        Scale.SHARE,
        "Hanley & McNeil 1982, Radiology 143",
        {Kind.BINARY: Ranks(binary_problem, auc_of_groups)},
        each_class,
    ),
    Metric(
        "average_precision",
        "precision averaged over the positives, best scored first",
        True,
        "score",
        Scale.SHARE,
        "Davis & Goadrich 2006, ICML; the step form, without interpolation",
        {Kind.BINARY: Ranks(binary_problem, precision_of_groups)},
        positives,
    ),
    Metric(
        "log_loss",
        "mean negative log-likelihood of the true class",
        False,
        "score",
        Scale.POSITIVE,
        "Good 1952, Journal of the Royal Statistical Society B 14",
        {Kind.BINARY: Sums(binary_log_loss, mean_of)},
        every_row,
        unit="nats",
    ),
    Metric(
        "brier",
        "mean squared distance of the probability from what happened",
        False,
        "score",
        Scale.SHARE,
        "Brier 1950, Monthly Weather Review 78",
        {Kind.BINARY: Sums(_brier, mean_of)},
        every_row,
    ),
)


def value_metric(value: Mapping[str, float], *, unit: str = "") -> Metric:
    """Business value per 1,000 decisions, of what each outcome is worth.

    `value` maps outcomes (`true_positive`, `false_positive`, `true_negative`, `false_negative`) to worth
    in `unit`; an outcome left out is worth nothing.

    Raises:
        SpecError: an unknown outcome, no outcome at all, or a worth that is not finite. All at once.
    """
    problems = [
        Problem(f"{name!r} is no outcome", "problem.value", fix=did_you_mean(name, OUTCOMES))
        for name in value
        if name not in OUTCOMES
    ]
    problems += [
        Problem(f"{name} is worth {worth}, which is no finite number", "problem.value")
        for name, worth in value.items()
        if not math.isfinite(worth)
    ]
    if not value:
        problems.append(Problem("no outcome has a value", "problem.value", fix="give true_positive a value"))
    if problems:
        raise SpecError.of(problems)
    worths = np.array([float(value.get(name, 0.0)) for name in OUTCOMES])

    def finish(s: Floats) -> Floats:
        return 1000 * ratio(s @ worths, s.sum(axis=-1))

    return Metric(
        "value",
        "business value per 1,000 decisions",
        True,
        "decision",
        Scale.PLAIN,
        "Elkan 2001, IJCAI: the foundations of cost-sensitive learning",
        {Kind.BINARY: Sums(confusion, finish)},
        every_row,
        unit=f"{unit} per 1,000 decisions".strip(),
    )
