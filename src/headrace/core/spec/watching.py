"""What is watched in production, whom alerts reach and how often, and what is done about them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headrace.core.spec.scalars import Duration, Model, Rate

Check = Literal[
    "quality",
    "drift",
    "multivariate",
    "prediction",
    "performance",
    "estimated",
    "concept",
    "calibration",
    "slices",
    "fairness",
    "health",
    "cost",
    "value",
]
"""A family of checks on live traffic."""


class Costs(Model):
    """Declared prices; what is not declared costs nothing."""

    machine_hour: Annotated[float, Field(ge=0)] = 0.0
    """Price of one serving process for an hour."""
    prediction: Annotated[float, Field(ge=0)] = 0.0
    """Price of one prediction (of what is paid for by call)."""
    review: Annotated[float, Field(ge=0)] = 0.0
    """Price of one item that a person looks at."""
    per_1000: Annotated[float, Field(gt=0)] | None = None
    """What 1,000 predictions may cost; beyond it there is an alert."""
    unit: str = ""
    """The currency (default: that of `problem.value`)."""


class Health(Model):
    """What the service has to keep to, by window; beyond it there is an alert."""

    p99: Duration | None = None
    """All but one in a hundred answers come within this (default: `serve.p99`)."""
    errors: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of answers that no release could give."""
    fallback: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of answers that something else than the arm's release gave."""
    silent: Duration | None = None
    """No answer for so long is a fault (default: not watched)."""


class Watch(Model):
    """What is watched, over which windows."""

    window: Duration = "1 day"
    """Traffic is judged in windows of this length, which begin at whole multiples of it in the project's
    zone."""
    rows: Annotated[int, Field(ge=50)] | None = None
    """In place of `window`: a window is so many answers."""
    least: Annotated[int, Field(ge=20)] = 100
    """A window with fewer answers is counted, and judged together with the next."""
    labels: Duration = "1 day"
    """How long after its answer a label may come: performance is judged when a window's labels are due."""
    off: tuple[Check, ...] = ()
    """Families of checks that are not run."""
    ignore: tuple[str, ...] = ()
    """Raw columns that may change as they like."""
    slices: tuple[str, ...] = ()
    """Columns or expressions whose values are watched apart (default: the slices under `evaluate`)."""
    health: Health = Health()
    """What the service has to keep to."""
    costs: Costs | None = None
    """Declared prices."""
    keep: Duration = "400 days"
    """How long counts of windows are kept."""


class Receiver(Model):
    """Where alerts go. One of `webhook`, `slack` and `email`; the log and the ledger have them all."""

    webhook: str = ""
    """Name of the environment variable with the URL: CloudEvents in JSON, signed where `secret` is set."""
    slack: str = ""
    """Name of the environment variable with the URL of a Slack-compatible incoming webhook."""
    email: str = ""
    """Address; the server is in the environment variable `HEADRACE_SMTP` (`smtp://user:password@host:587`)."""
    secret: str = ""
    """Name of the environment variable with the key that webhooks are signed with (HMAC-SHA256)."""
    severity: Literal["all", "high"] = "all"
    """Which alerts: all, or those that also harm performance or the service."""
    after: Duration | None = None
    """Escalation: only of alerts that nobody has acknowledged for so long."""


class Alerts(Model):
    """How many false alarms are worth a true one, and who hears of them."""

    budget: Rate | Annotated[str, Field(pattern=r"^\d+(\.\d+)? per month$")] = "1 per month"
    """False alarms, in all, that may be expected while nothing changes."""
    cool_down: Duration = "1 day"
    """The same thing is not told again within this; it is added to its alert."""
    to: tuple[Receiver, ...] = ()
    """Who hears of it."""


class Reaction(Model):
    """What is done on what. One `on`, one `do`."""

    on: Literal["schedule", "drift", "performance", "labels", "continuous", "quality", "health", "any"]
    """schedule: by `cron`. drift: data, prediction or concept drift. performance: measured or estimated,
    calibration, slices, fairness, value. labels: `count` new ones, or the oldest unused is `age` old.
    continuous: any new one, as often as `cool_down` lets. quality, health: the alerts of these families. any:
    every alert."""
    do: Literal["alert", "retrain", "threshold", "roll back", "retire", "ask"]
    """alert: nothing more. retrain: the spine again on a fresh snapshot. threshold: choose the decision
    threshold anew on recent labelled rows. roll back: to the release before. retire: answer by the fallback
    alone. ask: a person decides."""
    cron: str = ""
    """schedule: five fields, in the project's zone."""
    count: Annotated[int, Field(ge=1)] | None = None
    """labels: so many new ones since the champion was trained."""
    age: Duration | None = None
    """labels: the oldest that the champion has not seen is so old."""
    within: Duration | None = None
    """roll back: only where the release was promoted within this; else the next reaction that fits counts,
    and where there is none a person is asked."""
    history: Duration | None = None
    """retrain, by time: with so much history (default: chosen among `policy.windows`; on continuous, where
    none are declared: all there is)."""
    least: Annotated[int, Field(ge=1)] = 1
    """Only after so many windows in a row."""


class Policy(Model):
    """What is done about what is seen; the gates are the same as ever."""

    reactions: tuple[Reaction, ...] = ()
    """In their order; the first that fits an alert counts."""
    approval: Literal["ask", "none"] = "ask"
    """Whether a person lets a retrained challenger through, or the gates alone do."""
    canary: bool = True
    """A retrained challenger goes up the ramp of `serve.canary` before it is champion."""
    windows: tuple[Duration, ...] = ()
    """retrain, by time: lengths of history to choose between by rolling origin (default: all there is, a
    half, a quarter and an eighth of it)."""
    cool_down: Duration = "1 day"
    """Between two actions of the same kind. What a gate blocked is tried again after it, then after twice as
    long, and so on, four times in all, while its alert is open."""
    holdout: Duration | None = None
    """retrain, by time: so much of the newest rows goes behind the seal, and as much before them is for
    validation (default: a quarter each of what came since the champion was trained, but no more than
    `split` says)."""
