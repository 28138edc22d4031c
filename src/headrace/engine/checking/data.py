"""What the spec says of personal data and of the population, against the tables' columns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from headrace.core.errors import ExprError, HeadraceError, Problem, did_you_mean
from headrace.core.schema import Column, Type
from headrace.core.spec import ParsedSpec
from headrace.data.privacy.redact import Treatment
from headrace.engine.checking.checker import Checker
from headrace.engine.privacy import full_name, key_of, split_name, treatments_of
from headrace.expr import Expr, parse


def check_data(check: Checker) -> None:
    """Add a problem for every treatment and every declared population that can't mean what it says."""
    _check_treatments(check)
    _check_roles(check)
    _check_keys(check)
    data = check.parsed.spec.data
    events = {c.name: c.type for c in check.tables.get(data.events, ())}
    if events:
        for text in data.population:
            path = ("data", "population", text)
            check.attempt(partial(population_of, text, events, data.zone or "UTC"), *path)


def population_of(text: str, events: Mapping[str, Type], zone: str) -> Expr:
    """A declared population's column or expression over the events, typed.

    Raises:
        ExprError: it can't be parsed, names a column that the events don't have, or is a time.
    """
    parsed = parse(text, events, zone=zone)
    if parsed.type is Type.TIME:
        raise ExprError(
            f"population {text!r} is a time, which has no groups",
            fix="write a part of it, such as month(at) or dayofweek(at)",
        )
    return parsed


def key_problems(parsed: ParsedSpec, root: Path) -> list[Problem]:
    """Why the key of hashes can't be used, where something is hashed."""
    try:
        key_of(treatments_of(parsed.spec), root / ".headrace")
    except HeadraceError as error:
        place = parsed.where("data", "pii")
        return [
            Problem(p.what, f"{place}: {p.where}" if p.where else place, p.why, p.fix) for p in error.problems
        ]
    return []


def _check_treatments(check: Checker) -> None:
    spec = check.parsed.spec
    for name in spec.data.pii:
        table, column = split_name(spec, name)
        if table not in spec.data.tables:
            check.add(
                f"data.pii: there is no table {table!r}",
                *("data", "pii", name),
                fix=did_you_mean(table, spec.data.tables),
            )
            continue
        how = treatments_of(spec)[table][column]
        found = next((c for c in check.tables.get(table, ()) if c.name == column), None)
        if found is not None:
            _check_type(check, name, how, found)


def _check_type(check: Checker, name: str, how: Treatment, column: Column) -> None:
    kind = column.before
    if kind is Type.BOOL or (kind is Type.TIME and how.do == "mask"):
        why = "of two values a hash or mask hides nothing" if kind is Type.BOOL else "every time looks alike"
        check.add(
            f"{name!r} is {kind.value}: {how.do} leaves nothing of use",
            *("data", "pii", name),
            why=why,
            fix="drop it, or keep it with a reason",
        )


def _check_roles(check: Checker) -> None:
    """Columns that the spec itself works with can't be dropped or blanked; times can't be hashed either."""
    spec = check.parsed.spec
    data, treatments = spec.data, treatments_of(spec)
    roles = [(data.events, data.id, "data.id", False), (data.events, data.time, "data.time", True)]
    roles += [(data.events, spec.split.group, "split.group", False)]
    for name, table in data.tables.items():
        keys = () if table.key is None else (table.key,) if isinstance(table.key, str) else table.key
        own = [] if name == data.events else [(name, k, f"the key of {name}", False) for k in keys]
        own += [] if name == data.events else [(data.events, k, f"the key of {name}", False) for k in keys]
        roles += own
        roles += [(name, table.time, f"the time of {name}", True)]
        roles += [(name, table.known_at, f"the known_at of {name}", True)]
    for table_name, column, role, moment in dict.fromkeys(roles):
        how = treatments.get(table_name, {}).get(column or "")
        if how is None or how.do == "keep" or (how.do == "hash" and not moment):
            continue
        can = "keep it with a reason" if moment else "hash it, so that equal values stay equal"
        name = full_name(spec, table_name, str(column))
        check.add(f"data.pii: {how.do} of {name!r}, which is {role}", "data", "pii", name, fix=can)


def _check_keys(check: Checker) -> None:
    """A key is hashed on both sides, or on none."""
    spec = check.parsed.spec
    data, treatments = spec.data, treatments_of(spec)
    for name, table in data.tables.items():
        if name == data.events or table.key is None:
            continue
        for key in (table.key,) if isinstance(table.key, str) else table.key:
            sides = {
                full_name(spec, t, key): treatments.get(t, {}).get(key, Treatment("keep")).do
                for t in (name, data.events)
            }
            if sorted(sides.values()).count("hash") == 1:
                hashed = next(n for n, do in sides.items() if do == "hash")
                plain = next(n for n in sides if n != hashed)
                check.add(
                    f"data.pii: {hashed!r} is hashed and {plain!r} is not: rows would never meet",
                    *("data", "pii"),
                    fix=f"add {plain}: hash",
                )
