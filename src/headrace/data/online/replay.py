"""Facts that arrived, put into streams that came later, or that another process has seen to meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import msgspec

from headrace.core.online import ARRIVED
from headrace.core.ports import OnlineStore
from headrace.data.cells import Value, column
from headrace.data.online.facts import Facts

_PART = 2_000
_decode = msgspec.json.Decoder(dict[str, Value]).decode


def replay(online: OnlineStore, facts: Facts, after: Mapping[str, int]) -> int:
    """Put into each stream the facts that arrived after a number, by the stream's name; returns how many
    were looked at. What is there already stays: it can be done any number of times."""
    if not after:
        return 0
    count = 0
    kept = online.kept(facts.feed.table, min(after.values()))
    while part := list(islice(kept, _PART)):
        rows = [_decode(k.body) for k in part]
        columns = {n: column([r.get(n) for r in rows], facts.feed.columns[n]) for n in facts.reads}
        made = facts.of(columns, len(part), names=[k.id for k in part])
        places = [
            (ARRIVED + k.number, place)
            for k, fact in zip(part, made, strict=True)
            for place in fact.places
            if k.number > after.get(place.stream, k.number)
        ]
        online.place(places)
        count += len(part)
        there = online.streams()
        for stream in after:
            online.finish(stream, there[stream].source, part[-1].number)
    return count
