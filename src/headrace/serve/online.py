"""Lookups from the online store, at a request's moment; what is missing or stale is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headrace.core.clock import Clock, from_micros, iso, micros
from headrace.core.feed import Feed
from headrace.core.ports import OnlineStore, Store
from headrace.data.cells import Value
from headrace.data.online.ask import MISSING, STALE, Rows, histories_of
from headrace.data.online.facts import Facts
from headrace.data.online.replay import replay
from headrace.release.feeds import newest_of, ready, unfed
from headrace.release.manifest import Serving

_AGAIN = 5.0
"""Seconds before facts of a table that could not be put where a release looks are tried again."""


class Online:
    """What of a release the online store answers. `feeds` are the tables that are wholly there; the rest is
    answered from the release's snapshots. Safe for use by several threads."""

    def __init__(self, store: OnlineStore, serving: Serving, clock: Clock) -> None:
        self.store = store
        self.serving = serving
        self.feeds: Mapping[str, Feed] = ready(store, serving)
        self.clock = clock
        self._rows = {
            t.table: Rows(store, newest_of(t), t.ttl_us) for t in serving.lookups if t.table in self.feeds
        }
        self._histories = {
            t: histories_of(store, [h for h in serving.histories if h.table == t])
            for t in serving.pasts
            if t in self.feeds
        }
        self._ages = {t: age for t in self.feeds if (age := serving.sources[t].max_age_us) is not None}
        self._behind: dict[str, float] = {}  # when a table whose facts can't be put is tried again
        self._facts: dict[str, Facts] | None = None
        self._lock = threading.Lock()  # of the two above

    def facts(self, store: Store) -> Mapping[str, Facts]:
        """By table what makes facts of its rows; `store` has the graphs that compute their values."""
        with self._lock:
            return self._made(store)

    def catch_up(self, store: Store) -> None:
        """Put facts that arrived without this release where it looks for them; `store` as for `facts`. Where
        nothing is to be done it costs two reads. Of a table whose facts can't be put there every column is
        told as stale, until they can; it is tried again after a while.

        Raises:
            HeadraceError: the online store, or a graph, can't be read.
            Exception: the first of what became of putting them; the other tables are seen to nevertheless.
        """
        with self._lock:
            made = self._made(store)
            # Before the streams are looked at: what is put meanwhile then doesn't seem to be missing.
            last = {t: self.store.freshness(t).last for t in self.feeds}
            there = self.store.streams()
            troubles = []
            for table, feed in self.feeds.items():
                if self._behind.get(table, 0.0) > time.monotonic():
                    continue
                upto = {s.name: there[s.name].upto for s in feed.streams}
                try:
                    replay(self.store, made[table], {s: n for s, n in upto.items() if n < last[table]})
                except Exception as error:  # noqa: BLE001  raised below, when the other tables are seen to
                    self._behind[table] = time.monotonic() + _AGAIN
                    troubles.append(error)
                else:
                    self._behind.pop(table, None)
            if troubles:
                raise troubles[0]

    def _made(self, store: Store) -> dict[str, Facts]:
        """See `facts`. With the lock held."""
        if self._facts is None:
            self._facts = {}
            for table, feed in self.feeds.items():
                graph = None if feed.graph is None else store.get(feed.graph).read_bytes()
                self._facts[table] = Facts(feed, graph, self.store.codes)
        return self._facts

    def rows(
        self,
        table: str,
        keys: Sequence[Sequence[Value]],
        moments: Sequence[int | None],
        notes: Notes,
    ) -> list[dict[str, Value] | None]:
        """A table's row for each key and moment, as `LookupTable.find` gives it."""
        rows = self._rows[table]
        found = rows.find(keys, moments)
        names = [f"{table}.{c}" for c in rows.columns]
        old = self._old(table, moments)
        for i, (_, why) in enumerate(found):
            if why or (old is not None and old[i]):
                notes.add(i, why or STALE, names)
        return [values for values, _ in found]

    def histories(
        self, table: str, keys: Mapping[str, Sequence[Value]], moments: Sequence[int | None], notes: Notes
    ) -> list[dict[str, Value]]:
        """A table's histories for each moment, as `HistoryTable.find` gives them; keys by column."""
        old = self._old(table, moments)
        found: list[dict[str, Value]] = [{} for _ in moments]
        for of in self._histories[table]:
            names = [h.column for h in of.histories]
            parts = [keys[k] for k in of.window.by]
            for i, moment in enumerate(moments):
                values, nobody = of.find([p[i] for p in parts], moment)
                found[i] |= values
                if nobody:
                    notes.add(i, MISSING, names)
                elif old is not None and old[i]:
                    notes.add(i, STALE, names)
        return found

    def _old(self, table: str, moments: Sequence[int | None]) -> list[bool] | None:
        """Whether the table's newest fact is older than it may be, at each moment (none later than now), or
        facts of it could not be put where this release looks."""
        if table in self._behind:
            return [True] * len(moments)
        age = self._ages.get(table)
        if age is None:
            return None
        newest = self.store.freshness(table).newest
        now = micros(self.clock())
        if newest is None:
            return [True] * len(moments)
        return [min(now if m is None else m, now) - newest > age for m in moments]

    def describe(self) -> dict[str, Any]:
        """Table by table where rows come from and how new they are, ready for JSON."""
        tables = {}
        now = micros(self.clock())
        for table, feed in self.feeds.items():
            fresh = self.store.freshness(table)
            tables[table] = {
                "facts": fresh.facts,
                "arrived": fresh.arrived,
                "newest": _moment(fresh.newest),
                "age_seconds": None if fresh.newest is None else (now - fresh.newest) / 1e6,
                "streams": [s.about for s in feed.streams],
            }
        return {"tables": tables, "from_snapshots": self.elsewhere()}

    def told(self) -> str:
        """Where rows are looked up, in a line."""
        here = f"looked up in the online store: {', '.join(sorted(self.feeds))}"
        there = [f"{table} ({why})" for table, why in self.elsewhere().items()]
        return f"{here}; in the release's snapshots: {', '.join(there)}" if there else here

    def elsewhere(self) -> dict[str, str]:
        """The tables that are looked up in the release's snapshots, and why."""
        why = unfed(self.serving)
        return {
            t: why.get(t, "not filled: run `headrace materialize`")
            for t in sorted({*why, *self.serving.sources})
            if t not in self.feeds
        }


class Notes:
    """What was missing or stale for the rows of a request."""

    def __init__(self) -> None:
        self._of: dict[int, dict[str, list[str]]] = {}

    def add(self, row: int, what: str, names: Iterable[str]) -> None:
        """Note raw columns of a row."""
        self._of.setdefault(row, {}).setdefault(what, []).extend(names)

    def at(self, spots: Sequence[int]) -> Notes:
        """The same of rows that are these among others."""
        moved = Notes()
        moved._of = {spots[row]: what for row, what in self._of.items()}
        return moved

    def tell(self, answers: Sequence[dict[str, Any]]) -> None:
        """Write `features: {missing: [...], stale: [...]}` into the answers that have any."""
        for row, what in self._of.items():
            answers[row]["features"] = {k: sorted(names) for k, names in sorted(what.items())}


def _moment(moment: int | None) -> str | None:
    """RFC 3339; None for years that it has no digits for."""
    try:
        return None if moment is None else iso(from_micros(moment))
    except OverflowError:
        return None
