"""Features as they are declared: expressions, histories, neighbours, encodings, functions of Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from headrace.core.spec.scalars import Duration, Model

FORMS = ("expr", "aggregate", "neighbours", "encode", "python")
"""The keys that say what form a feature has."""


class _Told(Model):
    description: str = ""
    """What it means."""
    owner: str = ""
    """Who answers for it (default: the owner of the stage features)."""

    @property
    def text(self) -> str:
        """What it is, on one line: the expression, or the form with its settings."""
        return text_of(self.model_dump(mode="json", exclude_defaults=True))


def text_of(plain: Any) -> str:
    """A feature as plain values (of a spec that was kept, say) on one line; see `text`."""
    if not isinstance(plain, Mapping):
        return str(plain)
    said = {k: v for k, v in plain.items() if k not in ("description", "owner")}
    return str(said["expr"]) if "expr" in said else _inline(said)


def _inline(value: Any) -> str:
    """A mapping's entries on one line, as YAML writes them in braces."""
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_braced(v)}" for k, v in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _braced(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_braced(v) for v in value)}]"
    return f"{{{_inline(value)}}}" if isinstance(value, dict) else _inline(value)


class ExprFeature(_Told):
    """A feature of one row: a SQL expression over the events' columns, lookups and histories."""

    expr: str
    """The SQL expression."""
    kind: Literal["number", "category"] | None = None
    """Read a number or boolean as a category (or say what it is)."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """A category's values in fewer training rows than this are rare and share one code (default: 20)."""
    max_categories: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """A category's values beyond so many, the most frequent, are rare too (default: 200)."""


class HistoryFeature(_Told):
    """An aggregate over earlier rows of a table, as they were known at the moment of prediction.

    A row counts when it was known (`known_at`, else its time) before the moment, `time - lead`, and lies in
    the window that ends there.
    """

    aggregate: str
    """What is computed over the rows: `count()`, or `sum`, `avg`, `min`, `max`, `stddev`, `share`, `first`,
    `last`, `distinct`, `quantile(x, 0.9)` of a SQL expression over a row of the table, or `since_last()`, the
    seconds since the newest row."""
    window: Duration | tuple[Duration, ...] | None = None
    """How far back; several windows make several features, `NAME_3h` and so on. Without one: all there is."""
    by: str | tuple[str, ...] = ()
    """The columns, of the same names in both tables, that a row shares with the event; none: every row."""
    over: str | None = None
    """The table (default: the events)."""
    on: str | None = None
    """The column of times that the window is measured on (default: the table's `time`)."""
    where: str | None = None
    """A SQL boolean over a row of the table: only rows of which it is true count."""
    hide: bool = False
    """Fill `history.NAME` for other features to read, and be no feature itself."""


def _one_or_list(value: Any) -> str:
    """The tag of what may be written as one number or as a list: a mistake is told of that form alone."""
    return "a list" if isinstance(value, list | tuple) else "one"


Count = Annotated[int, Field(ge=1, le=1000)]
Counts = Annotated[
    Annotated[Count, Tag("one")] | Annotated[tuple[Count, ...], Field(min_length=1), Tag("a list")],
    Discriminator(_one_or_list),
]
Width = Annotated[float, Field(gt=0)]
Widths = Annotated[
    Annotated[Width, Tag("one")] | Annotated[tuple[Width, ...], Field(min_length=1), Tag("a list")],
    Discriminator(_one_or_list),
]


class Neighbours(Model):
    """Nearness, and what is computed over the nearest training rows."""

    of: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    """SQL expressions of numbers whose distance (Euclidean) says how near a row is."""
    scale: bool | None = None
    """Divide each of `of` by its standard deviation over the training rows (default: unless all of them are
    columns called as coordinates are: latitude, longitude, x, pickup_lat, …)."""
    k: Counts = (8,)
    """How many neighbours; several make several features each."""
    stats: tuple[
        Literal["mean", "weighted", "min", "max", "std", "linear", "difference", "distance"], ...
    ] = ("mean",)
    """What is computed: `weighted` is a mean by inverse distance, `linear` the target's value at the row of a
    line over `of` and `columns` fitted to the neighbours, `difference` the row's own value of a column less
    the neighbours' mean, `distance` the distance to the k-th neighbour."""
    target: bool = True
    """Of the target (a class's share in classification)."""
    columns: tuple[str, ...] = ()
    """Of these inputs too: SQL expressions of numbers."""
    bandwidth: Widths | None = None
    """Kernel means of the target beside those of k neighbours: a bell's standard deviation, in the unit of
    distance, over the largest k of neighbours."""
    clusters: Annotated[int, Field(ge=2, le=256)] | None = None
    """So many clusters (k-means over `of`): distances to their centres, and the nearest as a category."""
    points: Annotated[int, Field(ge=2, le=50_000)] | None = None
    """Keep so many training rows, drawn at random, where there are more (default: all, at most 50,000)."""

    @model_validator(mode="after")
    def _asks(self) -> Neighbours:
        if self.bandwidth is not None and not self.target:
            raise ValueError("bandwidth is of the target: leave it out, or set target: true")
        if "linear" in self.stats and not self.target:
            raise ValueError("stats: linear is of the target: leave it out, or set target: true")
        if "difference" in self.stats and not self.columns:
            raise ValueError("stats: difference is of columns: name them (columns: [income])")
        if not (self.target or self.columns or self.clusters or "distance" in self.stats):
            raise ValueError("nothing is asked: set target: true, name columns, or ask for clusters")
        if (self.target or self.columns) and not (self.stats or self.bandwidth or self.clusters):
            raise ValueError("nothing is asked: name stats, such as stats: [mean]")
        return self


class NeighboursFeature(_Told):
    """Statistics of the nearest training rows, a row itself left out; fitted anew in every fold."""

    neighbours: Neighbours
    """Which rows are near, and what is asked of them."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The SQL expressions that it reads, each once."""
        return tuple(dict.fromkeys((*self.neighbours.of, *self.neighbours.columns)))


class EncodeFeature(_Told):
    """Numbers in place of a category, a moment or a text."""

    encode: Literal["target", "count", "hash", "cycle", "tfidf"]
    """`target`: the smoothed mean of the target by value, out of fold; `count`: how often the value is among
    the training rows; `hash`: one of `size` buckets; `cycle`: sine and cosine of a number with a `period`;
    `tfidf`: weights of the `size` most frequent words of a text, of two or more letters or digits, in any
    case."""
    of: str | tuple[str, ...]
    """The SQL expression; with `target` and `count` several make a combination."""
    smooth: Annotated[float, Field(ge=0)] = 20.0
    """`target`: as many rows as the overall mean counts for."""
    size: Annotated[int, Field(ge=2, le=4096)] = 64
    """`hash`: buckets; `tfidf`: words."""
    period: Annotated[float, Field(gt=0)] | None = None
    """`cycle`: after so much the number begins again (24 for hours)."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The SQL expressions that it reads, each once."""
        read = (self.of,) if isinstance(self.of, str) else tuple(dict.fromkeys(self.of))
        return tuple(f"lower({text})" for text in read) if self.encode == "tfidf" else read

    @model_validator(mode="after")
    def _fits(self) -> EncodeFeature:
        if self.encode == "cycle" and self.period is None:
            raise ValueError("encode: cycle needs a period, such as period: 24 for hours")
        used = {"target": {"smooth"}, "hash": {"size"}, "tfidf": {"size"}, "cycle": {"period"}}
        fields = type(self).model_fields
        idle = {k for k in ("smooth", "size", "period") if getattr(self, k) != fields[k].default}
        if idle - used.get(self.encode, set()):
            told = " and ".join(sorted(idle - used.get(self.encode, set())))
            raise ValueError(f"{told} has no meaning for encode: {self.encode}")
        return self


class PythonFeature(_Told):
    """A function of the user's own over Arrow batches, the same in training and serving."""

    python: str
    """`file.py:function`, below the project's folder: takes a pyarrow.RecordBatch of `of`, gives an array of
    one value a row, which depends on that row alone."""
    of: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns that it is given: of the events, of lookups (`weather.temp`), histories (`history.late`)."""
    type: Literal["number", "bool", "text"] = "number"
    """What it gives."""


FeatureSpec = ExprFeature | HistoryFeature | NeighboursFeature | EncodeFeature | PythonFeature


AUTO = "auto"
"""The key of `features:` under which proposals are asked for; no feature is called so."""


class AutoGiven(dict[str, Any]):
    """What stands under `auto:`, marked by its key."""


def _form(value: Any) -> str:
    """The tag of a feature: by the first key that names a form."""
    if isinstance(value, AutoGiven | Auto):
        return "an auto"
    if isinstance(value, BaseModel):
        return f"a {next(f for f in FORMS if f in type(value).model_fields)}"
    if isinstance(value, dict):
        return f"a {next((f for f in FORMS if f in value), 'expr')}"
    return "plain"


AnyFeature = Annotated[
    Annotated[str, Tag("plain")]
    | Annotated[ExprFeature, Tag("a expr")]
    | Annotated[HistoryFeature, Tag("a aggregate")]
    | Annotated[NeighboursFeature, Tag("a neighbours")]
    | Annotated[EncodeFeature, Tag("a encode")]
    | Annotated[PythonFeature, Tag("a python")],
    Discriminator(_form),
]


class Auto(Model):
    """Proposals: features that headrace finds and keeps when cross-validation and noise probes say so.

    What was kept stands in `features.lock.yaml` beside the spec; a run uses that, and makes it where there
    is none."""

    budget: Duration = "60 s"
    """The processor time, of all threads together, that proposing and choosing may take; what was not tried
    by then is not kept."""
    level: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """The chance of keeping anything at all where the columns know nothing of the target."""
    most: Annotated[int, Field(ge=1, le=500)] = 30
    """How many proposals are kept at most."""
    without: tuple[str, ...] = ()
    """Columns that no proposal may read, such as those that are known only afterwards."""
    lock: dict[str, AnyFeature] | None = None
    """The definitions that were kept. headrace writes them into what it records of a run; leave this out of
    the file."""


FeatureOrAuto = Annotated[
    Annotated[str, Tag("plain")]
    | Annotated[ExprFeature, Tag("a expr")]
    | Annotated[HistoryFeature, Tag("a aggregate")]
    | Annotated[NeighboursFeature, Tag("a neighbours")]
    | Annotated[EncodeFeature, Tag("a encode")]
    | Annotated[PythonFeature, Tag("a python")]
    | Annotated[Auto, Tag("an auto")],
    Discriminator(_form),
]


def long_form(feature: str | FeatureSpec) -> FeatureSpec:
    """A feature that was written short, in its long form."""
    return ExprFeature(expr=feature) if isinstance(feature, str) else feature


def _with_tuples(value: Any) -> Any:
    """Lists as tuples: what a validator has looked at is no JSON to pydantic any more, whose lists it would
    take."""
    if isinstance(value, dict):
        return {k: _with_tuples(v) for k, v in value.items()}
    return tuple(_with_tuples(v) for v in value) if isinstance(value, list) else value


def marked(features: Any) -> Any:
    """`features:` as it is written, with what stands under `auto` told apart: `features: auto` is all of
    it, `auto:` beside named features the settings.

    Raises:
        ValueError: `auto` is called a feature.
    """
    if features == AUTO:
        return {AUTO: AutoGiven()}
    if isinstance(features, dict):
        features = {n: _with_tuples(f) for n, f in features.items()}
    if not isinstance(features, dict) or AUTO not in features:
        return features
    given = features[AUTO]
    if given is None:
        given = {}
    if isinstance(given, Auto):
        return features
    if not isinstance(given, dict):
        raise ValueError(
            "no feature can be called 'auto'; write settings, such as auto: {budget: 60 s}, or another name"
        )
    return {**features, AUTO: AutoGiven(given)}
