"""What a release needs of an online store, table by table."""

from __future__ import annotations

from headrace.core.feed import Feed, Newest, Window
from headrace.core.ports import OnlineStore
from headrace.core.schema import Type
from headrace.release.manifest import Lookup, Serving


def newest_of(lookup: Lookup) -> Newest:
    """A lookup's stream."""
    return Newest(lookup.table, lookup.key, lookup.columns, lookup.time, lookup.known_at)


def feeds_of(serving: Serving) -> dict[str, Feed]:
    """By table what a release looks up there. Tables whose rows can't be looked up online are left out: see
    `unfed`."""
    lookups = {lookup.table: newest_of(lookup) for lookup in serving.lookups}
    return {
        table: Feed(
            table,
            source.columns,
            source.id,
            lookups.get(table),
            windows_of(serving, table),
            (serving.pasts[table].graph or None) if table in serving.pasts else None,
        )
        for table, source in serving.sources.items()
        if table not in unfed(serving)
    }


def ready(online: OnlineStore, serving: Serving) -> dict[str, Feed]:
    """The feeds of a release that are wholly in the online store, by table."""
    there = online.streams()
    return {
        table: feed
        for table, feed in feeds_of(serving).items()
        if all(s.name in there and there[s.name].source for s in feed.streams)
    }


def windows_of(serving: Serving, table: str) -> tuple[Window, ...]:
    """The streams of a table's histories, each once."""
    return tuple(dict.fromkeys(Window.of(h) for h in serving.histories if h.table == table))


def unfed(serving: Serving) -> dict[str, str]:
    """Tables that are looked up in the release's snapshots alone, and why."""
    why = {}
    for table in {lookup.table for lookup in serving.lookups} | set(serving.pasts):
        source = serving.sources.get(table)
        if source is None:
            why[table] = "the release was packaged before there were online stores: run it again"
        elif source.filled:
            told = ", ".join(source.filled)
            why[table] = f"ingest fills {told} forward, which a fact that comes late would undo"
    return why


def types_before(serving: Serving, table: str) -> dict[str, Type]:
    """A table's columns with the types that arriving facts have, before they are hashed or masked."""
    source = serving.sources[table]
    return {n: source.treated[n].type if n in source.treated else t for n, t in source.columns.items()}
