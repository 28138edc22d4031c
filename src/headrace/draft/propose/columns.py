"""The raw columns of a project's training rows: looked at, and what may be read of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headrace.core.schema import Column, Type
from headrace.core.spec import Spec
from headrace.core.spec.scalars import parse_size
from headrace.core.sql import quoted, sql_text
from headrace.core.task import Kind, Task
from headrace.data.privacy.names import words
from headrace.data.read import connect
from headrace.draft.features import MOST_CATEGORIES, Drafted, draft_features
from headrace.draft.look import Look, Profile
from headrace.draft.meanings import names_an_id
from headrace.draft.names import listed
from headrace.draft.problem import Aim
from headrace.draft.propose.record import Facts
from headrace.draft.roles import Roles
from headrace.draft.suspects import Suspect, find_suspects

_CODES = frozenset(listed("zip zipcode postcode postal plz code class type category kind"))
_DAY = 86_400_000_000


@contextmanager
def look_into(
    file: Path, columns: tuple[Column, ...], training: int, *, memory: str, threads: int, scratch: Path
) -> Iterator[Look]:
    """A Parquet file of raw columns whose first `training` rows are training rows; the others have no
    target."""
    scratch.mkdir(parents=True, exist_ok=True)
    with connect(parse_size(memory), threads, scratch) as db:
        db.execute("set enable_progress_bar = false")
        parquet = sql_text(str(file))
        db.execute(
            "create view rows as select * exclude (file_row_number), file_row_number as __row "
            f"from read_parquet({parquet}, file_row_number = true)"
        )
        look = Look(db, columns, int(db.sql("select count(*) from rows").fetchall()[0][0]))
        look.take(np.arange(training))
        yield look


@dataclass(frozen=True)
class Seen:
    """What the look found. plain: the columns drafted as features of their own (none where features are
    named); clocks: moments that hold more than days."""

    facts: Facts
    plain: Drafted
    clocks: frozenset[str]


def see(
    look: Look, spec: Spec, task: Task, answer: str, named: frozenset[str], target: frozenset[str]
) -> Seen:
    """Which columns proposals may read. Where features are named, these are what they read, the keys and
    columns of side tables, and the events' time: nobody has said that other columns are known at the
    prediction. Alone, it is every column that is not suspect."""
    auto = spec.auto
    without = frozenset(auto.without) if auto is not None else frozenset()
    profiles = dict(look.profiles("train"))
    own = {n: p for n, p in profiles.items() if "." not in n and n not in without}
    aim = _aim(answer, task)
    roles = _roles(spec, own)
    suspects = find_suspects(look, own, aim, roles, spec.split.group)
    late = {s.column for s in suspects if s.kind == "late"}
    keys = _keys(spec)
    sent = keys | ({spec.data.time} if spec.data.time is not None else set())
    declared = named | sent
    plain = Drafted((), frozenset(), ())
    if spec.feature_specs():
        allowed = {n for n in own if n in declared}
        late |= set(own) - allowed - {answer, str(spec.data.id)}
    else:
        plain = draft_features(look, own, aim, roles, suspects)
        out = {c for c, _ in plain.left_out}
        allowed = set(own) - out - {answer} | (keys & set(own)) - _of_rows(suspects)
    sides = _sides(spec, profiles, without)
    chosen = {n: profiles[n] for n in profiles if n in allowed or n in sides}
    useful = {n: p for n, p in chosen.items() if p.nulls < p.rows and p.distinct > 1}
    facts = Facts(
        spec,
        useful,
        later=frozenset(late | target) - without,
        declared=declared if spec.feature_specs() else sent,
        categories=frozenset(n for n, p in useful.items() if _code(p)),
    )
    return Seen(facts, plain, _clocks(look, useful))


def _aim(answer: str, task: Task) -> Aim:
    """The target as a column of codes or values."""
    codes = tuple(float(i) for i in range(len(task.classes)))
    positive = 1.0 if task.kind is Kind.BINARY else None
    return Aim(answer, task.kind, "", answer, classes=codes, positive=positive)


def _roles(spec: Spec, own: Mapping[str, Profile]) -> Roles:
    times = tuple(n for n, p in own.items() if p.type is Type.TIME and n != spec.data.time)
    return Roles(spec.data.time, spec.data.id, spec.split.group, times)


def _of_rows(suspects: tuple[Suspect, ...]) -> set[str]:
    return {s.column for s in suspects if s.kind in ("late", "near-copy", "constant")}


def _keys(spec: Spec) -> frozenset[str]:
    """The events' columns by which side tables are looked up: callers send them."""
    found: set[str] = set()
    for name, table in spec.data.tables.items():
        if name != spec.data.events and table.key is not None:
            found |= {table.key} if isinstance(table.key, str) else set(table.key)
    return frozenset(found)


def _sides(spec: Spec, profiles: Mapping[str, Profile], without: frozenset[str]) -> set[str]:
    """Lookups that may be read: not the keys again, nor moments that only say how fresh a row is."""
    found = set()
    for name in profiles:
        table, dot, column = name.partition(".")
        if not dot or name in without:
            continue
        side = spec.data.tables[table]
        keys = {side.key} if isinstance(side.key, str) else set(side.key or ())
        if column not in keys and column not in (side.time, side.known_at):
            found.add(name)
    return found


def _code(p: Profile) -> bool:
    """A number that names something."""
    return p.type is Type.NUMBER and p.whole and (names_an_id(p.name) or bool(set(words(p.name)) & _CODES))


def _clocks(look: Look, profiles: Mapping[str, Profile]) -> frozenset[str]:
    found = set()
    for name, p in profiles.items():
        if p.type is Type.TIME:
            sql = f"select count(*) from train where epoch_us({quoted(name)}) % {_DAY} <> 0"
            if int(look.db.sql(sql).fetchall()[0][0]):
                found.add(name)
    return frozenset(found)


def few(p: Profile) -> bool:
    """Whether a text has few enough values to be a category."""
    return p.distinct <= max(20, min(MOST_CATEGORIES, (p.rows - p.nulls) / 20))
