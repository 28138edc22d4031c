"""Which columns are the time, the row's name and the thing that rows belong to; and the split they want."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.core.errors import DataError
from headrace.core.schema import NULL_TIME, Type
from headrace.core.spec.tables import SplitSpec
from headrace.core.sql import quoted
from headrace.core.task import Kind
from headrace.data.privacy.names import words
from headrace.data.split import TEST, TRAIN, VALIDATION, Split, split
from headrace.draft.look import ZONE, Look, Profile, one
from headrace.draft.meanings import names_a_moment, names_an_entity, names_an_id
from headrace.draft.names import listed
from headrace.draft.problem import Aim

_DAY = 86_400_000_000
_FIRST, _LAST = -_DAY * 365 * 70, _DAY * 365 * 130
"""Plausible moments of an event: 1900 to 2100, in microseconds."""

FEWEST_DAYS = 40
"""A split by time resamples days: 15% of so many are six, the fewest that give an interval."""

FEWEST_GROUPS = 20
_LATER = frozenset(
    listed("end ended close closed finish finished arrival arrived delivered returned updated")
)
_BIRTH = frozenset(["birth", "born", "dob", "birthday", "birthdate"])


@dataclass(frozen=True)
class Roles:
    """The columns with a role, each None where no column has it. `key` is the row's own name."""

    time: str | None
    key: str | None
    group: str | None
    times: tuple[str, ...] = ()
    repeated: str | None = None
    """A name of rows that some of them share: copies of a row, in a file without a key."""


@dataclass(frozen=True)
class Drawn:
    """The drafted split, why it is that one, and the rows of each part."""

    spec: SplitSpec
    reason: str
    notes: tuple[str, ...]
    parts: NDArray[np.int8]

    @property
    def train(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.parts == TRAIN)


def find_roles(look: Look, profiles: Mapping[str, Profile], target: str) -> Roles:
    """Pick the columns with a role, by their values first and their names second."""
    others = [p for p in profiles.values() if p.name != target]
    times = [p for p in others if p.type is Type.TIME and _plausible(p)]
    main = min(times, key=lambda p: (_doubt(p), -p.distinct), default=None)
    keys = [p for p in others if p.unique and not p.nulls and _countable(p)]
    keys = [p for p in keys if names_an_id(p.name) or p.type is Type.TEXT or _counts_up(look, p)]
    key = min(keys, key=lambda p: (not names_an_id(p.name), p.type is not Type.TEXT), default=None)
    groups = [p for p in others if p is not key and _groups(look, p)]
    group = max(groups, key=lambda p: (names_an_entity(p.name), p.distinct), default=None)
    return Roles(
        main.name if main else None,
        key.name if key else None,
        group.name if group else None,
        tuple(p.name for p in times if p is not main),
        None if key else next((p.name for p in others if _repeated(p)), None),
    )


def _repeated(p: Profile) -> bool:
    """Whether a column named like a row's id is different in nearly every row."""
    return names_an_id(p.name) and _countable(p) and not p.nulls and 0.9 * p.rows <= p.distinct < p.rows


def find_copies(look: Look, profiles: Mapping[str, Profile], roles: Roles) -> int:
    """How many rows are copies of others, in a file where chance can't explain that: it is wide enough to
    tell most rows apart, and few are equal."""
    found = look.copies(roles.key)
    tells = max((p.distinct for name, p in profiles.items() if name != roles.key), default=0)
    return found if found <= 0.05 * look.rows and tells > 0.3 * look.rows else 0


def _plausible(p: Profile) -> bool:
    known = p.rows - p.nulls
    return (
        known > 0 and p.nulls == 0 and p.low >= _FIRST and p.high <= _LAST and not _BIRTH & set(words(p.name))
    )


def _doubt(p: Profile) -> int:
    """Small for times that are likely the event's own: no later one, called like a moment."""
    parts = set(words(p.name))
    return 2 * bool(parts & _LATER) - bool(names_a_moment(p.name))


def _countable(p: Profile) -> bool:
    return p.type is Type.TEXT or (p.type is Type.NUMBER and p.whole)


def _counts_up(look: Look, p: Profile) -> bool:
    """Whether the numbers rise from row to row (or lie as dense as row numbers do)."""
    if p.high - p.low < 2 * p.rows and p.rows > 50:
        return True
    return rises(look, p.name)


def rises(look: Look, column: str, relation: str = "rows") -> bool:
    """Whether a column of more than 30 rows rises or falls from every row to the next."""
    q = quoted(column)
    found = one(
        look,
        f"select count(*), count(*) filter (step > 0), count(*) filter (step < 0) from "
        f"(select {q} - lag({q}) over (order by __row) as step from {relation}) where step is not null",
    )
    return int(found[0]) > 30 and int(found[0]) in (int(found[1]), int(found[2]))


def _groups(look: Look, p: Profile) -> bool:
    known = p.rows - p.nulls
    if not names_an_entity(p.name) or not _countable(p) or p.null_share > 0.05:
        return False
    if p.unique or not FEWEST_GROUPS <= p.distinct <= known / 1.1:
        return False
    largest = look.top(p.name, limit=1)
    return bool(largest) and largest[0][1] <= 0.1 * p.rows


def draw(look: Look, aim: Aim, roles: Roles, seed: int) -> Drawn:
    """The split for these columns and its rows: by time, else by group, else stratified, else at random.

    A split that would leave a class out of a part is passed over, and a note says so.

    Raises:
        DataError: the rows can't be divided at all.
    """
    notes: list[str] = []
    target = look.evaluate(aim.sql)
    usable = np.asarray(pc.is_valid(target))
    error: DataError | None = None
    for spec, reason in _ways(look, aim, roles, notes):
        try:
            found = _split(look, spec, roles, target, usable, seed)
        except DataError as refused:
            error = refused
            notes.append(f"not by {spec.by}: {refused.problems[0].what}")
            continue
        missing = _missing(aim, found, target)
        if missing:
            notes.append(f"not by {spec.by}: {missing}")
            continue
        return Drawn(spec, reason, tuple(notes), found.parts)
    raise error or DataError(
        f"the rows of {aim.column!r} can't be divided so that every part holds every class",
        why="; ".join(notes),
        fix="bring more rows of the rare classes",
    )


def _ways(look: Look, aim: Aim, roles: Roles, notes: list[str]) -> list[tuple[SplitSpec, str]]:
    ways = []
    if roles.time is not None:
        days = int(one(look, f"select count(distinct cast({quoted(roles.time)} as date)) from rows")[0])
        if days >= FEWEST_DAYS:
            why = f"rows have a time ({days:,} days of it): train on the past, test on what came later"
            ways.append((SplitSpec(by="time"), why))
        else:
            notes.append(f"not by time: {roles.time} holds {days} days, too few to resample whole days")
    if roles.group is not None:
        why = f"{roles.group} repeats: rows of one may look alike, so each stays in one part"
        ways.append((SplitSpec(by="group", group=roles.group), why))
    if roles.repeated is not None:
        why = f"some rows share their {roles.repeated}: each stays in one part"
        ways.append((SplitSpec(by="group", group=roles.repeated), why))
    if aim.kind is not Kind.REGRESSION:
        ways.append((SplitSpec(by="stratified"), "at random, with the classes in proportion"))
    ways.append((SplitSpec(by="random"), "at random: nothing says that rows depend on each other"))
    return ways


def _split(
    look: Look, spec: SplitSpec, roles: Roles, target: pa.Array[Any], usable: NDArray[np.bool_], seed: int
) -> Split:
    times = groups = None
    if spec.by == "time" and roles.time is not None:
        times = np.asarray(look.evaluate(f"coalesce(epoch_us({quoted(roles.time)}), {NULL_TIME})"))
    if spec.group is not None:
        groups = look.values(spec.group)
    strata = target if spec.by == "stratified" else None
    return split(
        spec, len(target), seed=seed, times=times, strata=strata, groups=groups, usable=usable, zone=ZONE
    )


def _missing(aim: Aim, found: Split, target: pa.Array[Any]) -> str:
    """Which class is absent from which part; empty where none is."""
    for part, name in ((TRAIN, "train"), (VALIDATION, "validation"), (TEST, "test")):
        rows = found.rows(part)
        if rows.size == 0:
            return f"{name} would hold no row"
        if aim.classes:
            there = set(pc.unique(target.take(rows)).to_pylist())
            absent = [c for c in aim.classes if c not in there]
            if absent:
                return f"{name} would hold no row of class {absent[0]!r}"
    return ""
