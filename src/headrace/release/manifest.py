"""The manifest: a release is an artifact whose bytes are one of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.evidence import Interval, Verdict
from headrace.core.schema import Snapshot, Type
from headrace.core.task import Task


@dataclass(frozen=True)
class Field:
    """A raw column that the graph reads.

    `source` is "event" (the caller sends it) or the name of the table where the server looks it up.
    `low`, `high` (numbers; microseconds for times) and `categories` (text, most frequent first, at most
    200) are what the training rows held; `null_share` is the share of nulls among them.
    """

    name: str
    type: Type
    source: str = "event"
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    null_share: float = 0.0


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
    """A line of the leaderboard; mean and std are over the folds. `error` says why a candidate failed."""

    model: str
    mean: float | None
    std: float | None
    seconds: float
    params: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Serving:
    """All that answering needs: the graph, what it reads, and how lookups are resolved.

    `keys` are the event columns that lookups need beside the graph's own; `unused` are further columns of
    the events table, which a caller may send and nothing reads.
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

    def event_types(self) -> dict[str, Type]:
        """The columns that a caller sends: the graph's event columns, lookup keys, and the time column
        where a lookup needs the moment."""
        sent = {f.name: f.type for f in self.fields if f.source == "event"}
        return {**sent, **self.keys}


@dataclass(frozen=True)
class Manifest:
    """Everything that can be said of a release, in one frozen record."""

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
    format: int = 1
