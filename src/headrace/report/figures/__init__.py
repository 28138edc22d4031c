"""Figures, for notebooks and pages alike; small ones are SVG."""

from headrace.report.figures.compare import (
    by_score,
    by_time,
    faults,
    group_rates,
    leaderboard,
    series,
    slices,
    trials,
)
from headrace.report.figures.explain import contributions, dependence, importance
from headrace.report.figures.model import (
    confusion,
    learning_curve,
    precision_recall,
    predicted_actual,
    reliability,
    residual_bands,
    residuals,
    roc,
    threshold_sweep,
)

__all__ = [
    "by_score",
    "by_time",
    "confusion",
    "contributions",
    "dependence",
    "faults",
    "group_rates",
    "importance",
    "leaderboard",
    "learning_curve",
    "precision_recall",
    "predicted_actual",
    "reliability",
    "residual_bands",
    "residuals",
    "roc",
    "series",
    "slices",
    "threshold_sweep",
    "trials",
]
