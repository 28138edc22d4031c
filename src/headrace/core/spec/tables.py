"""The tables: where they are read, what must hold in them, how they are cleaned, split and kept private."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from headrace.core.spec.scalars import Amount, Duration, Level, Model, Moment, Name, Zone, shape_of


class TableSpec(Model):
    """One source of data."""

    read: str
    """A CSV, Parquet or JSON-lines file (or pattern), a Python function as `sources.py:orders`, or a
    database: an SQLite file, or `$NAME` for the environment variable that holds its URL."""
    table: str | None = None
    """Databases: the table or view, such as `sales.orders`."""
    query: str | None = None
    """Databases: a SELECT instead of a table. Without ORDER BY its rows are sorted by every column."""
    decimal: Literal[".", ","] = "."
    """CSV files: what stands before the fraction of a number."""
    nulls: tuple[str, ...] = ()
    """CSV files: further spellings of a missing value, such as `?` or `k.A.`, in every column."""
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
    """When to read a Python source or a database again; files are compared by content on every run."""
    max_age: Duration | None = None
    """How old the table may be before the gate `fresh` blocks: by the newest moment in it (`known_at`, else
    `time`; the events' by `data.time`), without one by when it was taken."""


class Pii(Model):
    """What is done with a column of personal data before anything is kept."""

    do: Literal["drop", "hash", "mask", "keep"]
    """Leave the column out, replace values by a keyed hash, blank them but for their shape, or keep them."""
    why: str = ""
    """The reason; `keep` needs one."""
    length: Annotated[int, Field(ge=1, le=1000)] | None = None
    """With `mask`: every value is cut or filled to so many characters (default: as long as it was)."""

    @model_validator(mode="after")
    def _reason(self) -> Pii:
        if self.do == "keep" and not self.why.strip():
            raise ValueError("keeping personal data needs a reason: add why: …")
        if self.length is not None and self.do != "mask":
            raise ValueError("length only works with do: mask")
        return self


TextOrPii = Annotated[
    Annotated[Literal["drop", "hash", "mask"], Tag("plain")] | Annotated[Pii, Tag("mapping")],
    Discriminator(shape_of),
]


class Population(Model):
    """The groups that the rows should stand for, and how far their shares may be off."""

    shares: Annotated[dict[str, float], Field(min_length=2)]
    """Each group's share of the population the model is for; the shares add up to 1 (within 0.01)."""
    within: Level = 0.1
    """The largest difference of a group's share that the gate `represents` lets pass."""

    @model_validator(mode="after")
    def _whole(self) -> Population:
        wrong = [g for g, share in self.shares.items() if not 0 < share < 1]
        if wrong:
            raise ValueError(
                f"the share of {wrong[0]!r} is {self.shares[wrong[0]]:g}; write one between 0 and 1"
            )
        total = sum(self.shares.values())
        if abs(total - 1) > 0.01:
            raise ValueError(
                f"the shares add up to {total:.3g}, not to 1: name every group of the population"
            )
        return self


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
    live: bool = False
    """Answers of the prediction log whose truth is known are rows of the events table, too: what was sent,
    with the label as its target. Needs `id`."""
    expect: tuple[str, ...] = ()
    """SQL booleans that must hold, with `unique()`, `null_share()` and `share()`."""
    pii: dict[str, TextOrPii] = {}
    """What is done with personal data, by column (`email`, or `customers.email` of a side table)."""
    population: dict[str, Population] = {}
    """Representativeness: the declared shares of a column's values (or of an expression's)."""


def _clip_shape(value: Any) -> str:
    return "list" if isinstance(value, tuple | list) else "word"


def _fill_shape(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    return "number" if isinstance(value, int | float) else "text"


def _two(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    if len(quantiles) != 2:
        raise ValueError(f"these are {len(quantiles)} numbers; write two quantiles such as [0.01, 0.99]")
    return quantiles


Clip = Annotated[
    Annotated[Literal["iqr"], Tag("word")]
    | Annotated[tuple[float, ...], AfterValidator(_two), Tag("list"), Field(examples=[[0.01, 0.99]])],
    Discriminator(_clip_shape),
]

Fill = Annotated[
    Annotated[str, Tag("text"), Field(examples=["median", "mean", "mode"])]
    | Annotated[float, Tag("number")]
    | Annotated[bool, Tag("truth")],
    Discriminator(_fill_shape),
]


class ColumnCleaning(Model):
    """How one raw column is cleaned, in training and serving alike, before features see it.

    Applied in this order: trim and case, parse, cap flag, clip, missing flag, fill.
    """

    trim: bool = False
    """Text: leave out space at both ends; nothing but space is null."""
    case: Literal["lower", "upper"] | None = None
    """Text: one case."""
    parse: str | None = None
    """Text to a time, by a format such as `%d/%m/%Y`; a text that doesn't follow it is null."""
    cap: float | None = None
    """Values at or beyond this are capped, not measured: a feature `NAME_capped` flags them."""
    clip: Clip | None = None
    """Outliers: to 1.5 interquartile ranges beyond the quartiles, or to two quantiles: [0.01, 0.99]."""
    flag: bool = False
    """Add a feature `NAME_missing` that says where the value was null."""
    fill: Fill | None = None
    """What null becomes: `median`, `mean` or `mode` of the training rows, or a constant (a time: as text)."""


class RowCleaning(Model):
    """Which training rows are left out. Validation and test rows are never touched."""

    duplicates: bool | tuple[str, ...] = False
    """Keep the first of rows that are equal in every column but `data.id`, or in these."""
    drop: tuple[str, ...] = ()
    """Leave out training rows where one of these SQL booleans over the events' columns, the target's among
    them, is true: capped targets, known faults."""
    outliers: tuple[str, ...] = ()
    """Leave out training rows beyond 3 interquartile ranges from the quartiles of these columns."""


class Clean(Model):
    """Declared cleaning: fitted on train alone, part of the packaged graph, and reported."""

    columns: dict[str, ColumnCleaning] = {}
    """By raw column (`distance`, `weather.temp`)."""
    rows: RowCleaning = RowCleaning()
    """Training rows that are left out."""
    forward_fill: dict[str, tuple[str, ...]] = {}
    """By side table with a key and a time: columns whose nulls become the key's last known value."""


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
    history: Duration | None = None
    """By time: rows longer than this before the newest training row are left out."""
    until: Moment | None = None
    """By time: rows after this moment are not trained on."""
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
