"""The frame: what is decided, by what prediction, how good it has to be, and what it is worth."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Discriminator, Tag, model_validator

from headrace.core.spec.scalars import GoalText, LimitText, Model, shape_of

NumberOrLimits = Annotated[
    Annotated[float, Tag("plain")] | Annotated[dict[str, LimitText], Tag("mapping")], Discriminator(shape_of)
]


class Today(Model):
    """Today's solution, which a model has to beat. One of the two ways to say it."""

    rule: str | None = None
    """An expression: true where today's rule would act (classification), or the value it would predict."""
    value: float | None = None
    """The metric that today's solution reaches, where only the number is known."""
    source: str = ""
    """Where the number comes from."""

    @model_validator(mode="after")
    def _one_of(self) -> Today:
        if (self.rule is None) == (self.value is None):
            raise ValueError("give exactly one of 'rule' and 'value'")
        return self


class Outcomes(Model):
    """What each outcome of a binary decision is worth, in `unit`."""

    true_positive: float = 0.0
    """Acted, rightly."""
    false_positive: float = 0.0
    """Acted, needlessly."""
    true_negative: float = 0.0
    """Did nothing, rightly."""
    false_negative: float = 0.0
    """Did nothing, and should have acted."""
    unit: str = ""
    """The unit of the four numbers, such as USD."""


class Assumption(Model):
    """Something that has to be true for the project to make sense."""

    text: str
    """The assumption in words."""
    check: str | None = None
    """An expectation (see `data.expect`) that proves it on the data: measured at ingest, and again on the
    tables as they are before a promotion."""


class Go(Model):
    """The decision to go ahead, by whom, and until when it holds."""

    decided_by: str
    """Who decided."""
    on: dt.date
    """The day of the decision."""
    expires: dt.date
    """The last day on which it holds; afterwards every run is blocked until it is renewed."""


class Problem(Model):
    """The frame: what is decided, by what prediction, and how good it has to be."""

    objective: str = ""
    """What should get better for whom."""
    decision: str = ""
    """What is done differently because of a prediction."""
    use: str = ""
    """How the model will be used: by whom, through what, when."""
    supervision: str = ""
    """Whether the task is supervised, and why: where the true answers come from, and when."""
    task: Literal["binary", "multiclass", "regression"]
    """The kind of prediction."""
    target: str
    """What is predicted: a column of the events table, or an expression over its columns."""
    positive: str | float | bool | None = None
    """Binary tasks: the target's value that counts as positive (default: true, 1, or the last in order)."""
    business_metric: str = ""
    """The number outside the model that should move, such as complaints per 1,000 passengers."""
    metric: str
    """The metric that chooses between candidates and that `ship_at` speaks of."""
    goal: GoalText | None = None
    """What the decision threshold is chosen for, in place of the metric (binary tasks):
    `minimise fpr subject to recall >= 0.95`. Its constraints are judged on the test, and may be relative:
    `maximise precision subject to recall >= 0.9 and fpr <= 0.8 * today`."""
    today: Today | None = None
    """Today's solution, scored beside the candidates."""
    ship_at: NumberOrLimits | None = None
    """What the test must reach at the safe end of its interval: a number for `metric`, or limits by metric,
    which may be relative to today's solution: `{rmse: "<= 0.9 * today"}`."""
    value: Outcomes | None = None
    """What each outcome of a binary decision is worth; the metric `value` is the worth of 1,000 decisions.
    It chooses the threshold where there is no goal and the metric looks at scores alone."""
    assumptions: tuple[Assumption, ...] = ()
    """What has to be true, each with a check where one can be made."""
    go: Go | None = None
    """The go decision; expired ones block."""
    columns: dict[str, str] = {}
    """What a column means, by its name (`distance`, `weather.temp`): shown wherever the column is."""
    owners: dict[str, str] = {}
    """Who answers for a stage: stage name (or `default`) to a person. Shown where its gate blocks."""
    approval: Literal["self", "other"] = "other"
    """Who may approve a release: `other` than its author, or `self` in a project of one."""
