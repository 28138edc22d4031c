"""`headrace check`: the spec against the real tables' columns, before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from headrace.core.errors import HeadraceError, Problem, SpecError
from headrace.core.schema import Column, Snapshot
from headrace.core.spec import ParsedSpec
from headrace.core.task import Kind
from headrace.data.privacy.redact import Redaction
from headrace.data.read import describe, open_source, resolve
from headrace.engine.checking.checker import Checker, Tables
from headrace.engine.checking.data import key_problems
from headrace.engine.checking.functions import function_problems
from headrace.engine.checking.settings import check_meanings, check_settings
from headrace.engine.compile import Compiled, type_spec
from headrace.engine.privacy import treatments_of
from headrace.learn.registry import check_models


def check(parsed: ParsedSpec, root: Path, pinned: Mapping[str, Snapshot] | None = None) -> Compiled:
    """Read the tables' columns (not their rows) and type every expression against them. Where a table is
    `pinned` to a snapshot, its columns are those of the snapshot, and its source is not looked at.

    Raises:
        SpecError: with one problem for every mistake: unreadable tables, unknown columns, expressions,
            splits, metrics, candidates.
    """
    problems: list[Problem] = []
    tables: dict[str, tuple[Column, ...]] = {}
    data = parsed.spec.data
    pinned = pinned or {}
    treatments = treatments_of(parsed.spec)
    for name, table in data.tables.items():
        if name in pinned:
            tables[name] = pinned[name].columns
            continue
        try:
            times = (data.time,) if name == data.events and data.time is not None else ()
            redaction = Redaction(treatments.get(name, {}))
            tables[name] = describe(
                name, table, root=root, zone=table.zone or data.zone, times=times, redaction=redaction
            )
        except HeadraceError as error:
            place = parsed.where("data", "tables", name, "read")
            problems += [
                Problem(p.what, f"{place}: {p.where}" if p.where else place, p.why, p.fix)
                for p in error.problems
            ]
    compiled = None
    try:
        compiled = _compiled(parsed, tables)
    except SpecError as error:
        # Where a table can't be read, columns of it would all seem unknown: tell of the table alone.
        unread = [n for n in data.tables if n not in tables]
        problems += [p for p in error.problems if not unread or not _blames(p, unread, data.events)]
    for i, problem in check_models(parsed.spec.models, root, Kind(parsed.spec.problem.task)):
        problems.append(Problem(problem.what, parsed.where("models", i), problem.why, problem.fix))
    problems += [] if pinned else key_problems(parsed, root)
    problems += function_problems(parsed, root)
    if problems or compiled is None:
        raise SpecError.of((not pinned and _without_rows(parsed, root)) or problems)
    return compiled


def _compiled(parsed: ParsedSpec, tables: Tables) -> Compiled:
    """Every expression typed, and every setting checked."""
    found = Checker(parsed, tables)
    check_settings(found)
    typed = type_spec(found)
    check_meanings(found, typed)
    return typed.compiled(found)


def _without_rows(parsed: ParsedSpec, root: Path) -> list[Problem]:
    """Tables that are a header alone: their columns have no types, which makes every other complaint moot."""
    found = []
    for name, table in parsed.spec.data.tables.items():
        with suppress(HeadraceError):  # what can't be read at all is told already
            source = resolve(table, root=root)
            if source.kind in ("python", "database"):
                continue  # it isn't asked again only to say this better
            raw = open_source(source, table=table, spool=None)
            if not any(batch.num_rows for batch in raw.batches()):
                place = parsed.where("data", "tables", name, "read")
                what = f"the table {name!r} has no rows"
                found.append(Problem(what, f"{place}: {raw.name}", fix="give a source with rows"))
    return found


def _blames(problem: Problem, unread: list[str], events: str) -> bool:
    """Whether a problem may only come from a table that could not be read."""
    if "column" not in problem.what:
        return False
    return events in unread or any(f"{t}." in problem.what or repr(t) in problem.what for t in unread)
