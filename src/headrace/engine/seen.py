"""What the linter is told of histories: which rows they look at, and when those are said to be known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from headrace.checks.lint import Column, Seen
from headrace.core.history import HISTORY, History
from headrace.core.schema import NULL_TIME
from headrace.core.spec.tables import Data
from headrace.engine.compile import Compiled
from headrace.expr import parse

_NEARLY_ALL = 0.99


def histories_read(compiled: Compiled) -> dict[str, History]:
    """The features that look at one history alone, with it."""
    by_column = {h.column: h for h in compiled.histories}
    found = {}
    for name, expr in compiled.features.items():
        read = [c for c in expr.columns if c.startswith(f"{HISTORY}.") and c in by_column]
        if len(read) == 1 and len(expr.columns) == 1:
            found[name] = by_column[read[0]]
    return found


def columns_of(histories: Mapping[str, History], data: Data) -> set[str]:
    """The event columns that the linter has to have at hand for them."""
    found = {k for h in histories.values() for k in h.by}
    return found | {c for h in histories.values() if h.table == data.events for c in _times(h)}


def seen_of(
    histories: Mapping[str, History], compiled: Compiled, data: Data, raw: Mapping[str, Column]
) -> dict[str, Seen]:
    """The same as the linter takes it."""
    return {n: Seen(h.by, h.window_us, _at_once(h, compiled, data, raw)) for n, h in histories.items()}


def _times(history: History) -> list[str]:
    return [c for c in (history.on, history.known_at) if c is not None]


def _at_once(history: History, compiled: Compiled, data: Data, raw: Mapping[str, Column]) -> str:
    """Whether outcomes of the events are declared to be known the moment the events happen."""
    if history.table != data.events or data.time is None or not _reads_target(history, compiled):
        return ""
    times = raw[data.time].values
    moments = [raw[c].values for c in _times(history)]
    there = np.logical_and.reduce([m != NULL_TIME for m in (*moments, times)])
    at_once = (np.maximum.reduce(moments) <= times)[there]
    share = float(at_once.mean()) if len(at_once) else 0.0
    if share < _NEARLY_ALL:
        return ""
    known = history.known_at or history.on
    return f"by {known} they are known no later than {data.time} in {share:.1%} of the rows"


def _reads_target(history: History, compiled: Compiled) -> bool:
    texts = [t for t in (history.value, history.where) if t is not None]
    columns = {c for t in texts for c in parse(t, compiled.types, zone=compiled.target.zone).columns}
    return bool(columns & set(compiled.target.columns))
