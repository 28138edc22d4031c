"""The spec's typed models. What is written under each field is its description in the JSON Schema."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from headrace.core.clock import parse_duration
from headrace.core.digest import digest
from headrace.core.errors import UserError
from headrace.core.evidence import parse_rule

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(kB|KB|MB|GB)\s*")
_SIZES = {"kB": 1_000, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def parse_size(text: str) -> int:
    """Read a size in bytes such as `200 MB`. Raises ValueError where the text is none."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size; write a number and kB, MB or GB, such as '200 MB'")
    return round(float(match[1]) * _SIZES[match[2]])


def parse_share(text: str) -> float:
    """Read `15%` as 0.15. Raises ValueError where the text is no percentage between 0 and 100."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text)
    if match is None or not 0 < float(match[1]) < 100:
        raise ValueError(f"{text!r} is no share; write a percentage such as '15%'")
    return float(match[1]) / 100


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def _size(text: str) -> str:
    parse_size(text)
    return text


def _amount(value: str | float) -> str | float:
    if isinstance(value, str):
        if value.strip().endswith("%"):
            parse_share(value)
        else:
            parse_duration(value)
    elif not 0 < value < 1:
        raise ValueError(f"{value!r} is no share; write one between 0 and 1, or a percentage such as '15%'")
    return value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write one such as 'UTC' or 'Europe/Berlin'") from None
    return name


def _rule(text: str) -> str:
    try:
        parse_rule(text)
    except UserError as error:
        raise ValueError(f"{error.problems[0].what}; {error.problems[0].fix}") from None
    return text


def _shape(value: Any) -> str:
    return "mapping" if isinstance(value, dict | BaseModel) else "plain"


Duration = Annotated[str, AfterValidator(_duration), Field(examples=["60 min", "14 days"])]
Size = Annotated[str, AfterValidator(_size), Field(examples=["200 MB"])]
Amount = Annotated[str | float, AfterValidator(_amount), Field(examples=["15%", "14 days"])]
Zone = Annotated[str, AfterValidator(_zone), Field(examples=["UTC", "America/New_York"])]
RuleText = Annotated[str, AfterValidator(_rule), Field(examples=[">= 0.95"])]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_\-]*$")]


NumberOrRules = Annotated[
    Annotated[float, Tag("plain")] | Annotated[dict[str, RuleText], Tag("mapping")], Discriminator(_shape)
]


class Model(BaseModel):
    """Base of the spec's models: frozen, no unknown key, no silent coercion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


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
    """An expectation (see `data.expect`) that proves it on the data."""


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
    task: Literal["binary", "multiclass", "regression"]
    """The kind of prediction."""
    target: str
    """What is predicted: a column of the events table, or an expression over its columns."""
    positive: str | float | bool | None = None
    """Binary tasks: the target's value that counts as positive (default: true, 1, or the last in order)."""
    metric: str
    """The metric that chooses between candidates and that `ship_at` speaks of."""
    today: Today | None = None
    """Today's solution, scored beside the candidates."""
    ship_at: NumberOrRules | None = None
    """What the test must reach at the safe end of its interval: a number for `metric`, or rules by metric."""
    value: Outcomes | None = None
    """What each outcome is worth; the metric `value` is the worth of 1,000 decisions."""
    assumptions: tuple[Assumption, ...] = ()
    """What has to be true, each with a check where one can be made."""
    go: Go | None = None
    """The go decision; expired ones block."""
    owners: dict[str, str] = {}
    """Who answers for a stage: stage name (or `default`) to a person. Shown where its gate blocks."""
    approval: Literal["self", "other"] = "other"
    """Who may approve a release: `other` than its author, or `self` in a project of one."""


class TableSpec(Model):
    """One source of data."""

    read: str
    """A CSV, Parquet or JSON-lines file (or pattern), or a Python function as `sources.py:orders`."""
    key: str | tuple[str, ...] | None = None
    """The column or columns by which rows of the events table find their row here."""
    time: str | None = None
    """When a row came to be: a lookup never sees a row later than the moment of prediction."""
    known_at: str | None = None
    """When a row became known, where that is later than `time`."""
    ttl: Duration | None = None
    """How old a row may be and still be used."""
    zone: Zone | None = None
    """The zone of this table's times without one (default: `data.zone`)."""
    refresh: Literal["always", "daily", "never"] = "always"
    """When to read a Python source again; files are compared by content on every run."""


class Data(Model):
    """The tables, and what must hold in them."""

    events: str
    """The table with one row a prediction."""
    id: str | None = None
    """The column that identifies a row of the events table."""
    time: str | None = None
    """When the event happens; the prediction is made at `time - lead`."""
    lead: Duration | None = None
    """How long before `time` the prediction is made."""
    zone: Zone | None = None
    """The zone of times without one, and the one that `hour()` and its like speak of."""
    tables: Annotated[dict[Name, TableSpec], Field(min_length=1)]
    """Every table by name."""
    expect: tuple[str, ...] = ()
    """SQL booleans that must hold, with `unique()`, `null_share()` and `share()`."""


class SplitSpec(Model):
    """How rows are divided into train, validation and sealed test."""

    by: Literal["time", "random", "stratified", "group", "column"]
    """Time order, at random, at random within strata, by whole groups, or as a column says."""
    validation: Amount = "15%"
    """Share of rows (or, by time, a duration) for evaluation before the test."""
    test: Amount = "15%"
    """Share of rows (or, by time, a duration) that goes behind the seal."""
    gap: Duration | None = None
    """By time: rows this close before a later part are left out."""
    on: str | None = None
    """Stratified: column or expression whose values are the strata (default: the target)."""
    group: str | None = None
    """By group: the column whose values stay together. Otherwise: rows that depend on each other."""
    column: str | None = None
    """By column: the column that holds `train`, `validation` or `test`."""
    block: Duration = "1 day"
    """By time: rows of one block depend on each other; intervals resample whole blocks."""
    seed: int | None = None
    """The seed of the draw (default: the spec's seed)."""


class FeatureSpec(Model):
    """A feature in its long form."""

    expr: str
    """The SQL expression."""
    kind: Literal["number", "category"] | None = None
    """Read a number or boolean as a category (or say what it is)."""
    description: str = ""
    """What it means."""


class ModelSpec(Model):
    """A candidate in its long form."""

    use: str
    """A candidate's name, or a scikit-learn estimator as `module:Class`."""
    name: str | None = None
    """Its name on the leaderboard (default: `use`)."""
    params: dict[str, bool | int | float | str | None] = {}
    """Parameters that differ from the candidate's defaults."""


class CrossValidation(Model):
    """How candidates are compared on the training rows."""

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Number of folds; they match the split (stratified, by group, or walking forward in time)."""
    holdout: bool = False
    """Fit once on train and compare on validation: for data too large to fit several times."""


class Limits(Model):
    """Budgets of the machine and of the release."""

    latency: Duration = "20 ms"
    """The most that one row may take through the packaged graph (95th percentile, this machine)."""
    size: Size = "500 MB"
    """The most that the packaged graph may weigh."""
    memory: Size = "4 GB"
    """The most that reading, joining and checking tables may hold in memory; the rest goes to disk."""
    threads: Annotated[int, Field(ge=1)] = 2
    """Threads used for reading, learning and scoring."""


class Promote(Model):
    """What a release has to show against the champion."""

    margin: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """How much of the champion's metric a challenger may lose at the safe end of the paired interval."""


TextOrFeature = Annotated[
    Annotated[str, Tag("plain")] | Annotated[FeatureSpec, Tag("mapping")], Discriminator(_shape)
]
TextOrModel = Annotated[
    Annotated[str, Tag("plain")] | Annotated[ModelSpec, Tag("mapping")], Discriminator(_shape)
]


class Spec(Model):
    """The whole declaration of a headrace project."""

    model_config = ConfigDict(title="headrace.yaml")

    headrace: Literal[1]
    """The version of this format."""
    project: Name
    """The project's name."""
    problem: Problem
    """The frame."""
    data: Data
    """The tables."""
    split: SplitSpec
    """The parts."""
    features: Annotated[dict[str, TextOrFeature], Field(min_length=1)]
    """Features by name: a SQL expression over the events' columns and `table.column` lookups."""
    models: Annotated[tuple[TextOrModel, ...], Field(min_length=1)] = ("linear", "tree", "forest", "boosting")
    """The candidates."""
    cv: CrossValidation = CrossValidation()
    """How candidates are compared."""
    limits: Limits = Limits()
    """Budgets."""
    promote: Promote = Promote()
    """What a challenger has to show."""
    seed: int = 0
    """The seed of everything that draws."""

    def digest(self) -> str:
        """The spec's name: two files that mean the same have the same digest."""
        return digest(self.plain())

    def plain(self) -> dict[str, Any]:
        """The spec as plain JSON values, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def feature_specs(self) -> dict[str, FeatureSpec]:
        """Every feature in its long form, in the order of the file."""
        return {n: f if isinstance(f, FeatureSpec) else FeatureSpec(expr=f) for n, f in self.features.items()}

    def model_specs(self) -> dict[str, ModelSpec]:
        """Every candidate in its long form, by its name on the leaderboard."""
        long = [m if isinstance(m, ModelSpec) else ModelSpec(use=m) for m in self.models]
        return {m.name or m.use: m for m in long}

    def owner(self, stage: str) -> str:
        """Who answers for a stage."""
        return self.problem.owners.get(stage) or self.problem.owners.get("default", "")


def json_schema() -> dict[str, Any]:
    """The JSON Schema that editors complete `headrace.yaml` from."""
    schema = Spec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
