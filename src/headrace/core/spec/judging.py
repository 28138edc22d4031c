"""What is looked at beside the metric, and what a challenger has to show."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headrace.core.spec.scalars import Level, Model, RuleText


class Fairness(Model):
    """Groups that have to be treated alike."""

    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    """Sensitive columns of the events table; they need not be features."""
    rules: dict[str, RuleText] = {}
    """Bounds by measure, such as `selection_rate_ratio: ">= 0.8"`; the safe end of the interval counts.
    Classification: `selection_rate`, `tpr` and `fpr`, each with `_difference` or `_ratio` (for every class
    where there are several). Regression: `prediction_difference`, `error_difference`,
    `absolute_error_difference`, `absolute_error_ratio`."""


class Robustness(Model):
    """How much the metric may lose when inputs go wrong."""

    noise: tuple[Level, ...] = (0.1,)
    """Noise on all numbers at once, as a share of each one's standard deviation."""
    scale: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = (0.9, 1.1)
    """Factors by which each number is shifted in turn."""
    missing: bool = True
    """Each column missing in turn, and every column of a side table together."""
    rules: dict[str, RuleText] = {}
    """Bounds on the worst loss as a share of the metric, by kind: `missing`, `noise`, `scale`, such as
    `<= 20%`; the safe end of the interval counts."""


class Evaluate(Model):
    """What the evaluation measures on validation rows beside the metrics."""

    slices: tuple[str, ...] = ()
    """Columns or expressions whose values make slices: `origin` (each value), `distance` (between the
    training rows' quartiles), `distance > 1000` (the rows where it is true)."""
    floor: RuleText | None = None
    """What the metric has to reach in every slice, such as `>= 0.25`; the safe end of the interval counts."""
    search: bool = True
    """Search for the worst slices among the raw columns' values and pairs of them."""
    min_rows: Annotated[int, Field(ge=10)] = 50
    """The smallest slice or group that is judged."""
    fairness: Fairness | None = None
    """Groups that have to be treated alike."""
    robustness: Robustness | None = None
    """How much the metric may lose when inputs go wrong."""
    calibration: RuleText | None = None
    """Bound on the expected calibration error, such as `<= 0.05`."""
    learning_curve: bool = False
    """Fit the model on shares of the training rows, to say whether more of them would help."""
    explain: bool = True
    """Permutation importance, partial dependence and contributions of a sample of rows."""


class Promote(Model):
    """What a release has to show against the champion."""

    margin: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """How much of the champion's metric a challenger may lose at the safe end of the paired interval."""
    slice_margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """The same for every declared slice, judged with Holm's correction."""
    one_change: bool = True
    """A release may differ from the champion in one of data, features, model, tuning, code and rules; more
    need arms (`headrace ablate`) or a waiver."""
