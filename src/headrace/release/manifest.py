"""The manifest: a release is an artifact whose bytes are one of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.evidence import Interval, Verdict
from headrace.core.function import Function
from headrace.core.history import History
from headrace.core.review import ReviewPlan
from headrace.core.schema import Snapshot, Type
from headrace.core.task import Task
from headrace.metrics.worth import Worth
from headrace.release.plan import Plan
from headrace.release.watching import WatchPlan


@dataclass(frozen=True)
class Field:
    """A raw column that the graph reads.

    `source` is "event" (the caller sends it), the name of the table where the server looks it up, "history"
    (the server computes it) or "python" (a function of the user's own does).
    `low`, `high` (numbers; microseconds for times) and `categories` (text, most frequent first, at most
    200) are what the training rows held; `null_share` is the share of nulls among them. `description` is
    what the column means (`problem.columns`).
    """

    name: str
    type: Type
    source: str = "event"
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    null_share: float = 0.0
    description: str = ""


@dataclass(frozen=True)
class Lookup:
    """A side table that the server resolves. `artifact` is its snapshot's Parquet."""

    table: str
    artifact: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    time: str | None = None
    known_at: str | None = None
    ttl_us: int | None = None


@dataclass(frozen=True)
class PastTable:
    """A table that histories are computed from. `artifact` is its snapshot's Parquet, `graph` the artifact
    of the graph that gives the values of their expressions (empty: they have none)."""

    artifact: str
    graph: str = ""


@dataclass(frozen=True)
class Treated:
    """A column that is hashed or masked before the graph sees it: `type` is what a caller sends."""

    do: str
    type: Type
    length: int | None = None


@dataclass(frozen=True)
class Source:
    """What a row of a looked up table is like when it arrives as a fact.

    `columns` are those of its snapshot, with their types there; `treated` the hashed or masked among them,
    `dropped` what ingest left out. `id` is the column that names a row. Times without an offset are of
    `zone`. `filled` are columns that ingest filled forward. `max_age_us` is how old the newest fact may be.
    """

    columns: Mapping[str, Type]
    zone: str
    id: str | None = None
    treated: Mapping[str, Treated] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    max_age_us: int | None = None


@dataclass(frozen=True)
class TestEstimate:
    """What the opened seal said. `value` and `interval` are None where only the verdict may be shown."""

    __test__ = False  # pytest: not a test class

    metric: str
    value: float | None
    interval: Interval | None
    n: int
    opening: int


@dataclass(frozen=True)
class Standing:
    """A line of the leaderboard; mean and std are over the folds. `error` says why a candidate failed,
    `worth` what its decisions are worth, where outcomes have a worth."""

    model: str
    mean: float | None
    std: float | None
    seconds: float
    params: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    worth: Worth | None = None


@dataclass(frozen=True)
class Privacy:
    """What was done with personal data, and the proof that nothing else is kept.

    `treatments` say by column (`email`, `customers.email`) what was done, `kept` why something was kept.
    `scan` is the artifact with what the scan of every kept column found; `columns` of them were looked at.
    `key` is the fingerprint of the key of hashes.
    """

    treatments: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    scan: str = ""
    columns: int = 0
    key: str = ""


@dataclass(frozen=True)
class Sureness:
    """How sure answers say that they are. level: the share of new rows whose truth the interval or set of
    classes is to hold. abstain: whether rows that are not sure go without a prediction. why_none: what could
    not be known, and why (unbounded intervals, classes in every set)."""

    level: float
    abstain: bool = False
    why_none: str = ""


@dataclass(frozen=True)
class Serving:
    """All that answering needs: the graph, what it reads, and how lookups are resolved.

    `keys` are the event columns that lookups need beside the graph's own; `unused` are further columns of
    the events table, which a caller may send and nothing reads. `treated` are event columns whose values are
    hashed or masked as ingest did; `pii_key` is the fingerprint of the key that hashes them. `calibration`
    is the method that calibrated the probabilities (empty: none did), `sureness` what answers say of
    themselves. `reference` is the artifact with the rows that answers are explained with (empty: none).
    `decimal` and `nulls` are how the events' CSV files spell fractions and what is missing: files to score
    are read the same way. `sources` say of every table that rows are looked up in or histories computed from
    what a fact of it is like. `histories` are those that the graph or a function reads, `pasts` their tables
    by name. `functions` are the user's own that fill raw columns, `code` is the artifact of the source files
    that they run from. `beside` are raw columns that are filled in for rules alone. `not_at_edge` says why
    the release can't leave this server, as a graph alone (empty: nothing of the user's own code is needed).
    """

    graph: str
    task: Task
    fields: tuple[Field, ...]
    lookups: tuple[Lookup, ...]
    keys: Mapping[str, Type]
    zone: str
    time: str | None
    lead_us: int
    threshold: float | None
    unused: tuple[str, ...] = ()
    treated: Mapping[str, Treated] = field(default_factory=dict)
    pii_key: str = ""
    calibration: str = ""
    sureness: Sureness | None = None
    reference: str = ""
    decimal: str = "."
    nulls: tuple[str, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    histories: tuple[History, ...] = ()
    pasts: Mapping[str, PastTable] = field(default_factory=dict)
    functions: tuple[Function, ...] = ()
    code: str = ""
    beside: Mapping[str, Type] = field(default_factory=dict)
    not_at_edge: str = ""

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The event columns by which rows are looked up and histories told apart."""
        keys = [k for lookup in self.lookups for k in lookup.key] + [k for h in self.histories for k in h.by]
        return tuple(dict.fromkeys(keys))

    def event_types(self) -> dict[str, Type]:
        """The columns that a caller sends: the graph's event columns, keys of lookups and histories, and the
        time column where the moment is needed. Treated columns have the type that they have before."""
        sent = {f.name: f.type for f in self.fields if f.source == "event"} | dict(self.keys)
        return {n: self.treated[n].type if n in self.treated else kind for n, kind in sent.items()}


@dataclass(frozen=True)
class Manifest:
    """Everything that can be said of a release, in one frozen record. `columns` are what described columns
    mean, by name; `plan` is how it wants to be served, `watch` what is watched of it (None: it was made when
    nothing was)."""

    project: str
    run: str
    name: str
    made: str
    author: str
    serving: Serving
    target: str
    metric: str
    spec: str
    spec_digest: str
    model: str
    features: Mapping[str, str]
    seed: int
    leaderboard: tuple[Standing, ...]
    validation: Mapping[str, Mapping[str, Any]]
    test: TestEstimate | None
    verdicts: tuple[Verdict, ...]
    snapshots: Mapping[str, Snapshot]
    stages: Mapping[str, str]
    commit: str
    dirty: bool
    libraries: Mapping[str, str]
    columns: Mapping[str, str] = field(default_factory=dict)
    format: int = 1
    privacy: Privacy = field(default_factory=Privacy)
    plan: Plan = field(default_factory=Plan)
    review: ReviewPlan | None = None
    watch: WatchPlan | None = None


def bare(serving: Serving, plan: Plan) -> Manifest:
    """As much of a manifest as answering needs, of a release that is none yet."""
    return Manifest(
        project="",
        run="",
        name="",
        made="",
        author="",
        serving=serving,
        target="",
        metric="",
        spec="",
        spec_digest="",
        model="",
        features={},
        seed=0,
        leaderboard=(),
        validation={},
        test=None,
        verdicts=(),
        snapshots={},
        stages={},
        commit="",
        dirty=False,
        libraries={},
        plan=plan,
    )
