"""What is planned around the model: circumstances, and the live experiment.

Declared for the design document. Nothing here changes what a run does.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headrace.core.spec.scalars import Duration, Level, Model, Rate


class Context(Model):
    """The circumstances that choices of tools rest on."""

    team: Annotated[int, Field(ge=1)] | None = None
    """How many people build and keep the system."""
    skills: str = ""
    """What the team is at home in."""
    maturity: Literal["starting", "some", "established"] | None = None
    """How far the organisation is: no model in use, some, or many with people who keep them."""
    latency: Duration | None = None
    """How soon after the question an answer is needed."""
    volume: Rate | None = None
    """How many predictions are asked for."""
    budget: str = ""
    """Money and machines."""
    constraints: tuple[str, ...] = ()
    """What is not up for choice: regulation, existing systems, where data may lie."""
    choices: dict[str, str] = {}
    """A tool or design that was chosen, and the reason for it."""


class ExperimentPlan(Model):
    """The A/B test on live traffic."""

    traffic: Level = 0.1
    """Share of units that the challenger answers."""
    unit: str = ""
    """The column of the events table whose values stay with one arm."""
    primary: str = ""
    """What decides: a metric of the task by its name, or a business metric in words."""
    outcome: str | None = None
    """What is measured of an answer, in SQL over the prediction log: `label`, `prediction`, `probability`,
    `input_NAME`; such as `label = prediction`. Its mean over units decides."""
    per: str | None = None
    """A ratio of sums, `sum(outcome) / sum(per)`, in place of the mean over units."""
    covariate: str | None = None
    """What was known of a unit beforehand and goes with the outcome, in SQL as `outcome`, or `before`: the
    unit's own outcome before the experiment. Takes noise out (CUPED)."""
    better: Literal["higher", "lower"] = "higher"
    """Which way the outcome is to move."""
    slices: tuple[str, ...] = ()
    """Columns of the inputs, by whose values the effect is shown too."""
    baseline: Level | None = None
    """Primaries that are shares: the share under the champion."""
    expected: Level | None = None
    """The share under the challenger that is worth finding."""
    units: Rate | None = None
    """New units that enter the test, both arms together (default: `context.volume`)."""
    level: Level = 0.05
    """The two-sided chance of seeing a difference where there is none."""
    power: Level = 0.8
    """The chance of seeing the expected difference where it is there."""
    guardrails: tuple[str, ...] = ()
    """What may not get worse, as a name, a comparison and a bound: `p99 <= 50 ms`, `fpr <= 20%`."""
    minimum: Duration | None = None
    """The shortest duration."""
    rollback: str = ""
    """When it is stopped at once."""
