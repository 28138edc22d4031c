"""The tables that histories may be made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from headrace.core.schema import Snapshot, Type
from headrace.core.spec import Spec
from headrace.core.sql import quoted, sql_text
from headrace.draft.look import Look
from headrace.draft.propose.past import Past
from headrace.draft.propose.record import Facts

_DAY = 86_400_000_000


def pasts_of(
    look: Look,
    facts: Facts,
    types: Mapping[str, Type],
    files: Mapping[str, tuple[Path, Snapshot]],
    rows: int,
) -> tuple[Past, ...]:
    """The events, and the side tables whose rows have a time. Of the events only training rows are looked
    at; `types` are those of all raw columns, `files` the snapshots of the tables, `rows` how many training
    rows there are, of which some are looked at."""
    spec = facts.spec
    if spec.data.time is None or facts.profiles.get(spec.data.time) is None:
        return ()
    return (_events(facts, types, rows), *_sides(look, spec, facts, files))


def _events(facts: Facts, types: Mapping[str, Type], rows: int) -> Past:
    data = facts.spec.data
    time = facts.profiles[str(data.time)]
    without = facts.spec.auto.without if facts.spec.auto else ()
    own = {n: t for n, t in types.items() if "." not in n and n not in without}
    distinct = {n: p.distinct for n, p in facts.profiles.items() if "." not in n}
    days = (time.high - time.low) / _DAY
    return Past(data.events, own, rows, days, distinct, data.tables[data.events].known_at is not None)


def _sides(
    look: Look, spec: Spec, facts: Facts, files: Mapping[str, tuple[Path, Snapshot]]
) -> Iterator[Past]:
    for name, (file, snapshot) in files.items():
        table = spec.data.tables[name]
        moment = table.time or table.known_at
        if name == spec.data.events or moment is None:
            continue
        own = snapshot.types()
        shared = [c for c, t in own.items() if c in facts.profiles and facts.profiles[c].type is t]
        counts = ", ".join(f"approx_count_distinct({quoted(c)})" for c in shared)
        path = sql_text(str(file))
        found = look.db.sql(
            f"select count(*), (epoch_us(max({quoted(moment)})) - epoch_us(min({quoted(moment)}))) / {_DAY}"
            f"{', ' + counts if counts else ''} from read_parquet({path})"
        ).fetchall()[0]
        distinct = dict(zip(shared, map(int, found[2:]), strict=True))
        yield Past(name, own, int(found[0]), float(found[1] or 0.0), distinct, True)
