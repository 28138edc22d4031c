"""What is planned beyond training, as the design document states it."""

from __future__ import annotations

from typing import Literal

from headrace.core.spec.scalars import Duration, Level, Model


class Context(Model):
    """The circumstances that choices of tools rest on."""

    team: str = ""
    """Size and skills of the team."""
    maturity: str = ""
    """How far the organisation is with machine learning."""
    latency: str = ""
    """How soon an answer is needed."""
    volume: str = ""
    """Predictions a day, and rows to learn from."""
    budget: str = ""
    """Money and machines."""
    constraints: tuple[str, ...] = ()
    """What is not up for choice: regulation, existing systems, where data may lie."""
    choices: dict[str, str] = {}
    """A tool or design that was chosen, and the reason for it."""


class ServingPlan(Model):
    """How answers reach whoever acts on them."""

    mode: Literal["batch", "rest", "streaming", "edge"] = "rest"
    """The way answers are asked for."""
    p50: Duration | None = None
    """Half of the answers come within this."""
    p99: Duration | None = None
    """All but one in a hundred come within this."""
    throughput: str = ""
    """Answers a second at the peak."""
    scaling: str = ""
    """What is added when that is outgrown."""
    fallback: str = ""
    """What answers when the model can't."""


class ExperimentPlan(Model):
    """The A/B test that a release has to pass on live traffic."""

    traffic: Level = 0.1
    """Share of units that the challenger answers."""
    unit: str = ""
    """The column whose values stay with one arm."""
    primary: str = ""
    """The metric that decides."""
    guardrails: tuple[str, ...] = ()
    """What may not get worse: `p99 <= 50 ms`."""
    minimum: Duration | None = None
    """The shortest duration."""
    rollback: str = ""
    """When it is stopped at once."""


class Monitor(Model):
    """One thing that is watched."""

    watches: Literal["data", "model", "concept", "operational"]
    """What kind of change it sees."""
    tool: str
    """How it is measured."""
    threshold: str
    """When it is too much."""
    action: str
    """What is done then."""


class RetrainingPlan(Model):
    """When the model is trained again."""

    every: Duration | None = None
    """By the calendar."""
    when: tuple[str, ...] = ()
    """By what is seen: drift, performance, new labels."""
    approval: str = ""
    """Who lets the new release through."""
