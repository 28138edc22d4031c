"""How answers reach whoever acts on them: targets, arms, rules, fallback, log, people."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headrace.core.spec.scalars import Duration, Level, Model, Rate, Size

Treatment = Literal["reject", "flag", "default"]
"""What becomes of a value that is not as it should be: the request is refused; it is answered, and the answer
says so; or the value is taken for null, and the answer says so."""


class Inputs(Model):
    """What becomes of values that are not as training had them. Wrong types are always refused."""

    missing: Treatment = "reject"
    """A column that is not sent at all (null is sent, and always taken)."""
    unknown: Literal["reject", "flag"] = "reject"
    """A field that the release does not know."""
    range: Treatment = "flag"
    """A number outside of what the training rows held, or a time before theirs (later ones are no wonder)."""
    unseen: Treatment = "flag"
    """A category that no training row had."""


class Rule(Model):
    """A rule around the model: where `when` is true, the answer is `answer`, for the reason `name`."""

    name: str
    """The reason that the answer gives."""
    when: str
    """A SQL condition over the raw columns; after the model also over `prediction` and `probability`."""
    answer: str | float | bool | None
    """The prediction: a class, or a number. Null: no prediction, somebody has to look."""


class Rules(Model):
    """Rules in their order; the first that is true counts."""

    before: tuple[Rule, ...] = ()
    """Before the model: it is not asked then."""
    after: tuple[Rule, ...] = ()
    """After the model: they overrule its answer."""


class Fallback(Model):
    """An answer when no release can give one. One of `rule` and `value`."""

    rule: str | None = None
    """A SQL expression over the events' own columns."""
    value: str | float | bool | None = None
    """A constant."""


class PredictionLog(Model):
    """The log of predictions."""

    mode: Literal["durable", "buffered", "off"] = "buffered"
    """durable: on disk before the caller has the answer. buffered: within `window`."""
    window: Duration = "100 ms"
    """buffered: what a power cut or a killed process may lose."""
    full: Literal["shed", "wait"] = "shed"
    """When the disk takes no more: refuse requests (503), or answer as soon as it takes some again."""
    keep: Duration | None = None
    """How long answers are kept (default: for ever)."""
    subject: str = ""
    """The column that names whom a row is about, to erase by."""


class Canary(Model):
    """How a challenger comes to answer, and what sends it back."""

    ramp: tuple[Level | Literal[1], ...] = (0.05, 0.25, 0.5, 1)
    """Shares of traffic, one after the other."""
    bake: Duration = "1 h"
    """How long each is held."""
    guardrails: tuple[str, ...] = (
        "error_share <= 1%",
        "fallback_share <= 1%",
        "p99 <= 2 * champion",
        "score_drift <= 0.25",
    )
    """What may not be worse, as a name, a comparison and a bound: error_share, fallback_share, p50, p95, p99,
    value, score_drift; a bound may be relative to the champion's."""


class Serve(Model):
    """How answers reach whoever acts on them."""

    mode: Literal["batch", "rest", "streaming", "edge"] = "rest"
    """The way answers are asked for."""
    p50: Duration | None = None
    """Half of the answers come within this."""
    p99: Duration | None = None
    """All but one in a hundred come within this."""
    throughput: Rate | None = None
    """Answers at the peak."""
    replicas: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Servers side by side; auto: as many as the throughput needs, by what one does here."""
    scaling: str = ""
    """What is added when that is outgrown."""
    unit: str = ""
    """The column of the events whose values stay with one arm (default: every row by itself)."""
    deadline: Duration = "1 s"
    """When a caller has an answer at the latest: of the fallback, if need be."""
    queue: Annotated[int, Field(ge=1)] = 1024
    """Requests that may wait in one process; more are refused with 429."""
    rows: Annotated[int, Field(ge=1)] = 10_000
    """Rows in one request."""
    body: Size = "32 MB"
    """Bytes of one request."""
    inputs: Inputs = Inputs()
    """What becomes of values that are not as training had them."""
    rules: Rules = Rules()
    """Rules around the model."""
    fallback: tuple[Fallback, ...] = ()
    """What answers, in this order, when neither the arm's release nor the champion can."""
    log: PredictionLog = PredictionLog()
    """What is kept of every answer."""
    canary: Canary = Canary()
    """How a challenger comes to answer."""


class Review(Model):
    """Which answers a person looks at: `when`, or as many as `risk` needs; and an `audit` of the others."""

    when: str | None = None
    """A SQL condition over the raw columns, and `prediction`, `confidence` (the probability of what is
    predicted), `probability` (of the positive class), `set_size` (of sets of classes), `lower` and `upper`
    (of intervals)."""
    risk: Level | None = None
    """In place of `when`: the share of wrong answers among those that are given without a person, at most.
    The confidence that is needed for that is found on the validation rows."""
    level: Level = 0.95
    """The probability with which the risk is held, over the draw of those rows."""
    audit: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of all other answers that are looked at, drawn by chance."""
    capacity: Rate | None = None
    """What the reviewers manage, by hour, day or week; no more is sent to them."""
    deadline: Duration = "1 day"
    """By then a decision is there, or the fallback stands."""
    fallback: Literal["model", "none"] = "model"
    """What stands until a person decides, and when none does in time: the model's answer, or none."""
    double: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of items that two reviewers decide; a third where they differ."""
