"""Histories of entities: how often, how much and how long ago, from what was known before the prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.core.schema import Type
from headrace.core.spec.features import HistoryFeature
from headrace.draft.meanings import names_an_id
from headrace.draft.propose.record import Facts, Names, Proposal, written

_SPANS = (
    ("1 h", 1 / 24),
    ("3 h", 1 / 8),
    ("1 day", 1.0),
    ("7 days", 7.0),
    ("30 days", 30.0),
    ("90 days", 90.0),
)
"""Windows with their days."""

ENOUGH = 3.0
"""Rows that the shortest window holds on average."""

MOST_OUTCOMES = 4


@dataclass(frozen=True)
class Past:
    """A table that histories may be made of: its columns by type, how many rows it has, the days that they
    span, and how many values each column has."""

    table: str
    types: Mapping[str, Type]
    rows: int
    days: float
    distinct: Mapping[str, int]
    knows: bool
    """Whether the table says when a row became known, or is no outcome of the events."""


def propose_histories(facts: Facts, names: Names, pasts: tuple[Past, ...], target: str) -> Iterator[Proposal]:
    """Counts, time since the last, and means of what is known only afterwards, for every entity and for all
    rows together. `target` is the target's expression where it is a number or a condition, else empty."""
    lead = facts.spec.data.lead
    for past in pasts:
        for entity in (*_entities(facts, past), ()):
            told = f" of the same {' and '.join(entity)}" if entity else ""
            rate = (
                past.rows / max(past.days, 1e-9) / max(1, max((past.distinct[e] for e in entity), default=1))
            )
            windows = _windows(rate, past.days)
            if not windows:
                continue
            stem = " ".join(entity) or "all"
            if entity:
                yield _history(
                    facts, names, past, entity, f"{stem} count", "count()", windows,
                    f"how many {past.table}{told} there were before", lead,
                )  # fmt: skip
                yield _history(
                    facts, names, past, entity, f"{stem} since last", "since_last()", (),
                    f"seconds since the last of {past.table}{told}", lead,
                )  # fmt: skip
            for column, expression in _outcomes(facts, past, target):
                yield _history(
                    facts, names, past, entity, f"{stem} {column}", f"avg({expression})", windows,
                    f"the mean of {column} over earlier {past.table}{told}", lead,
                )  # fmt: skip


def _entities(facts: Facts, past: Past) -> Iterator[tuple[str, ...]]:
    """Columns of both tables that name whom or what rows are about."""
    for name, kind in past.types.items():
        profile = facts.profiles.get(name)
        if profile is None or profile.unique or facts.spec.data.id == name:
            continue
        whole = kind is Type.NUMBER and profile.whole and (names_an_id(name) or name in facts.categories)
        if (kind is Type.TEXT or whole) and 2 <= past.distinct.get(name, 0) <= past.rows / 5:
            yield (name,)


def _windows(rate: float, days: float) -> tuple[str, ...]:
    """A short window that still holds some rows, and a long one; none where even the longest is empty."""
    fit = [text for text, span in _SPANS if span * rate >= ENOUGH and span <= days / 3]
    return tuple(dict.fromkeys((fit[0], fit[min(2, len(fit) - 1)]))) if fit else ()


def _outcomes(facts: Facts, past: Past, target: str) -> Iterator[tuple[str, str]]:
    """What is averaged: the target, and numbers of a row that are not known before it is."""
    events = past.table == facts.spec.data.events
    if events and not past.knows:
        return  # nothing says when an outcome became known: none may be read
    if events and target:
        yield "target", target
    found = 0
    for name, kind in past.types.items():
        own = name in facts.later if events else facts.profiles.get(f"{past.table}.{name}") is not None
        if own and kind is Type.NUMBER and found < MOST_OUTCOMES and not names_an_id(name):
            found += 1
            yield name, written(name)


def _history(
    facts: Facts,
    names: Names,
    past: Past,
    entity: tuple[str, ...],
    name: str,
    aggregate: str,
    windows: tuple[str, ...],
    meaning: str,
    lead: str | None,
) -> Proposal:
    given = {
        "aggregate": aggregate,
        "by": entity,
        "window": windows if len(windows) > 1 else windows[0] if windows else None,
        "over": None if past.table == facts.spec.data.events else past.table,
        "description": meaning + (f", as known {lead} before" if lead else ""),
    }
    feature = HistoryFeature.model_validate({k: v for k, v in given.items() if v not in (None, ())})
    risk = "low: only rows that were known before the moment of prediction count"
    if not past.knows:
        risk = f"to look at: {past.table} has no known_at, so its rows count as known at their time"
    return Proposal(names.give(f"past {name}"), feature, "history", (past.table,), risk)
