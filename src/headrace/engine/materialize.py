"""Filling the online store with what a release looks up: its snapshots, and the facts that arrived since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import UserError
from headrace.core.feed import Feed
from headrace.core.online import Outcome
from headrace.core.ports import OnlineStore, Store
from headrace.core.schema import Snapshot
from headrace.data.online.facts import Facts, name_of
from headrace.data.online.replay import replay
from headrace.data.parquet import open_file
from headrace.graph.buffers import Array
from headrace.release.feeds import feeds_of, unfed
from headrace.release.manifest import Manifest

Progress = Callable[[str, int, int], None]

ROWS = 20_000
"""Rows of one transaction: others may write between two."""


@dataclass(frozen=True)
class Materialized:
    """What was done for a table. `streams` is how many the release reads, `filled` how many of them were
    filled anew. `rows` were read of the snapshot, `new` of them were not known before; `changed` are known
    under the same name with other values, which were left. `arrived` facts that came one by one lie beside
    the snapshot's."""

    table: str
    streams: int
    filled: int
    rows: int
    new: int
    changed: int
    arrived: int


def materialize(
    store: Store, online: OnlineStore, manifest: Manifest, *, progress: Progress | None = None
) -> tuple[Materialized, ...]:
    """Fill the online store with all that a release looks up. Done again it does nothing; killed midway, it
    is done by being started again.

    Raises:
        UserError: the release looks nothing up, or nothing that could be kept online.
    """
    feeds = feeds_of(manifest.serving)
    if not feeds:
        raise _nothing(manifest)
    return tuple(
        _table(store, online, feed, manifest.snapshots[name], progress or _quiet)
        for name, feed in sorted(feeds.items())
    )


def _quiet(text: str, done: int, total: int) -> None:
    """Tells nobody."""


def _nothing(manifest: Manifest) -> UserError:
    why = unfed(manifest.serving)
    if not why:
        return UserError(
            "the release looks nothing up",
            why="all that it reads is sent by its callers",
            fix="no online store is needed: `headrace serve` answers without one",
        )
    told = "; ".join(f"{table}: {reason}" for table, reason in sorted(why.items()))
    return UserError("none of the tables that the release looks up can be kept online", why=told)


def _table(
    store: Store, online: OnlineStore, feed: Feed, snapshot: Snapshot, progress: Progress
) -> Materialized:
    online.declare(feed.streams)
    facts = Facts(feed, _graph(store, feed), online.codes)
    there = online.streams()
    names = [s.name for s in feed.streams]
    filling = [n for n in names if not there[n].source]
    rows = new = changed = 0
    if any(there[n].source != snapshot.artifact for n in names):
        for name in filling:
            online.begin(name)
        path = store.get(snapshot.artifact)
        for start, columns, ids in _rows(path, facts, progress):
            made = facts.of(columns, len(ids), names=ids)
            outcomes = online.put(feed.table, made, start=start, filling=filling)
            rows += len(made)
            new += outcomes.count(Outcome.NEW)
            changed += outcomes.count(Outcome.OTHER)
    after = {n: 0 if n in filling else there[n].upto for n in names}
    replay(online, facts, after)
    for name in names:
        online.finish(name, snapshot.artifact, 0)
    kept = online.freshness(feed.table)
    return Materialized(feed.table, len(names), len(filling), rows, new, changed, kept.arrived)


def _graph(store: Store, feed: Feed) -> bytes | None:
    return None if feed.graph is None else store.get(feed.graph).read_bytes()


def _rows(
    path: Path, facts: Facts, progress: Progress
) -> Iterator[tuple[int, Mapping[str, Array], list[bytes]]]:
    """A snapshot's rows in parts: the first one's position, the columns, and the rows' names."""
    file = open_file(path)
    total = file.metadata.num_rows
    names = _Names(_hashes(path, facts))
    start = 0
    for batch in file.iter_batches(ROWS, columns=list(facts.reads)):
        columns = {n: batch.column(n) for n in facts.reads}
        yield start, columns, names.of(facts, columns)
        start += batch.num_rows
        progress(facts.feed.table, start, total)


def _hashes(path: Path, facts: Facts) -> NDArray[np.uint64]:
    """The first half of each row's name."""
    parts = []
    for batch in open_file(path).iter_batches(ROWS, columns=list(facts.names)):
        ids = facts.names_of({n: batch.column(n) for n in facts.names})
        parts.append(np.frombuffer(b"".join(ids), np.uint64)[::2])
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


class _Names:
    """Names of a file's rows. Where several rows have one by their key and times, the second is called by it
    and a 2, and so on, in the file's order."""

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        distinct, counts = np.unique(hashes, return_counts=True)
        self._twice = frozenset(distinct[counts > 1].tolist())
        self._seen: dict[bytes, int] = {}

    def of(self, facts: Facts, columns: Mapping[str, Array]) -> list[bytes]:
        """The names of the next rows."""
        ids = facts.names_of(columns)
        if not self._twice:
            return ids
        return [self._numbered(i) if int.from_bytes(i[:8], "little") in self._twice else i for i in ids]

    def _numbered(self, name: bytes) -> bytes:
        count = self._seen[name] = self._seen.get(name, 0) + 1
        return name if count == 1 else name_of([name.hex(), count])
