"""What is wrong with declared cleaning, before any work: columns, types, formats, bounds, names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from headrace.core.errors import did_you_mean
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.spec.tables import ColumnCleaning
from headrace.engine.checking.checker import Checker
from headrace.expr import Expr, parse
from headrace.features.clean import declared_fill, flag_features, flag_name, is_statistic
from headrace.graph.texts import format_pattern

_STATISTICS = {
    Type.NUMBER: ("median", "mean", "mode"),
    Type.TEXT: ("mode",),
    Type.BOOL: ("mode",),
    Type.TIME: ("median", "mode"),
}
_EXAMPLES = {
    Type.NUMBER: "fill: median, or a number such as fill: 0",
    Type.TEXT: "fill: mode, or a text such as fill: unknown",
    Type.BOOL: "fill: mode, fill: true or fill: false",
    Type.TIME: "fill: median, fill: mode, or a moment such as fill: '2020-01-01'",
}


def add_flags(check: Checker, features: dict[str, Expr], seen: Mapping[str, Type]) -> None:
    """Add the features that cleaning makes; a name that is taken is a problem."""
    spec = check.parsed.spec
    declared = spec.feature_specs()
    taken: dict[str, str] = {}
    for column, cleaning in spec.clean.columns.items():
        for what, wanted in (("missing", cleaning.flag), ("capped", cleaning.cap is not None)):
            name = flag_name(column, what)
            if not wanted:
                continue
            if name in declared or name in taken:
                other = (
                    f"clean.columns.{taken[name]} adds it too" if name in taken else "there is one already"
                )
                check.add(
                    f"cleaning {column!r} adds a feature {name!r}; {other}",
                    *("clean", "columns", column),
                    fix=f"rename the feature {name!r}" if name in declared else "flag one of the two",
                )
            taken[name] = column
    flags = flag_features(spec.clean, seen, spec.data.zone or "UTC")
    features.update({n: e for n, e in flags.items() if n not in declared})


def check_cleaning(check: Checker, types: Mapping[str, Type], features: Mapping[str, Expr]) -> None:
    """Add every mistake of the section `clean:`. `types` are the raw columns', `features` those of the spec
    with the flags that cleaning adds."""
    events = {c.name: c.type for c in check.tables.get(check.parsed.spec.data.events, ())}
    spec = check.parsed.spec
    clean = spec.clean
    read = {c for e in features.values() for c in e.columns}
    all_typed = not spec.awaits_proposals and set(spec.expressions()) <= set(features)
    for name, cleaning in clean.columns.items():
        path = ("clean", "columns", name)
        if name not in types:
            check.add(f"there is no column {name!r} to clean", *path, fix=did_you_mean(name, types))
            continue
        if cleaning == ColumnCleaning():
            check.add(f"cleaning {name!r} does nothing", *path, fix="say what to do, such as fill: median")
        elif name not in read and all_typed:
            check.add(
                f"no feature reads {name!r}, which is to be cleaned",
                *path,
                why="the target, today's rule and expectations see columns as they came",
                fix="read it in a feature, add flag: true, or remove its cleaning",
            )
        _check_texts(check, path, name, cleaning, types[name])
        _check_numbers(check, path, name, cleaning, types[name])
        _check_fill(check, path, name, cleaning, types[name])
    _check_rows(check, events)
    _check_forward_fill(check)


def _check_texts(check: Checker, path: tuple[str, ...], name: str, c: ColumnCleaning, kind: Type) -> None:
    for key, wanted in (("trim", c.trim), ("case", c.case), ("parse", c.parse is not None)):
        if not wanted or kind is Type.TEXT:
            continue
        already = key == "parse" and kind is Type.TIME
        check.add(
            f"{key} is for texts; {name!r} is {kind.value}",
            *path,
            key,
            why="ingest has read it as a time already" if already else "",
            fix=f"remove {key}",
        )
    if c.parse is None:
        return
    try:
        format_pattern(c.parse)
    except ValueError as error:
        check.add(f"can't parse by this format: {error}", *path, "parse", fix="write one such as %d/%m/%Y")
    if c.case is not None:
        check.add(
            f"{name!r} becomes a time: its case has no effect",
            *path,
            "case",
            why="names of months are read in any case",
            fix="remove case",
        )


def _check_numbers(check: Checker, path: tuple[str, ...], name: str, c: ColumnCleaning, kind: Type) -> None:
    for key, value in (("cap", c.cap), ("clip", c.clip)):
        if value is not None and kind is not Type.NUMBER:
            check.add(f"{key} is for numbers; {name!r} is {kind.value}", *path, key, fix=f"remove {key}")
    if c.cap is not None and not math.isfinite(c.cap):
        check.add(f"a cap of {c.cap} is no number", *path, "cap", fix="write the value, such as cap: 500001")
    if isinstance(c.clip, tuple):
        low, high = c.clip
        if not 0 <= low < high <= 1:
            check.add(
                f"clip: [{low:g}, {high:g}] are no two quantiles in order",
                *path,
                "clip",
                fix="write two shares of the rows from 0 to 1, the lower first, such as [0.01, 0.99]",
            )


def _check_fill(check: Checker, path: tuple[str, ...], name: str, c: ColumnCleaning, raw: Type) -> None:
    if c.fill is None:
        return
    kind = Type.TIME if c.parse is not None and raw is Type.TEXT else raw
    if is_statistic(c.fill):
        if c.fill not in _STATISTICS[kind]:
            check.add(
                f"there is no {c.fill} of {name!r}, which is {kind.value}", *path, "fill", fix=_EXAMPLES[kind]
            )
        return
    try:
        value: Any = declared_fill(c, kind, check.parsed.spec.data.zone or "UTC")
    except ValueError as error:
        check.add(f"{name!r} is {kind.value}: {error}", *path, "fill", fix=_EXAMPLES[kind])
        return
    if isinstance(value, float | int) and not math.isfinite(value):
        check.add(f"null can't become {value}", *path, "fill", fix=_EXAMPLES[kind])
    if isinstance(value, str) and NULL_TEXT in value:
        check.add("a text holds a NUL character", *path, "fill", fix="remove it")


def _check_rows(check: Checker, events: Mapping[str, Type]) -> None:
    spec = check.parsed.spec
    rows, path = spec.clean.rows, ("clean", "rows")
    if not events:
        return
    if isinstance(rows.duplicates, tuple):
        if not rows.duplicates:
            check.add("duplicates names no column", *path, "duplicates", fix="write true, or columns")
        for i, column in enumerate(rows.duplicates):
            if column not in events:
                check.add(
                    f"the events have no column {column!r} to find duplicates by",
                    *path,
                    *("duplicates", i),
                    fix=did_you_mean(column, events),
                )
    for i, text in enumerate(rows.drop):
        found = check.attempt(lambda text=text: drop_rule(text, events, spec.data.zone), *path, "drop", i)  # type: ignore[misc]  # mypy can't infer a lambda with defaults
        if found is not None and found.type is not Type.BOOL:
            check.add(
                f"`{text}` is {found.type.value}, not a condition",
                *path,
                *("drop", i),
                fix="write one that is true of rows to leave out, such as price >= 500001",
            )
    for i, column in enumerate(rows.outliers):
        if column not in events:
            check.add(
                f"the events have no column {column!r} to find outliers of",
                *path,
                *("outliers", i),
                fix=did_you_mean(column, events),
            )
        elif events[column] is not Type.NUMBER:
            check.add(
                f"{column!r} is {events[column].value}: outliers are of numbers",
                *path,
                *("outliers", i),
                fix="remove it",
            )


def drop_rule(text: str, events: Mapping[str, Type], zone: str | None) -> Expr:
    """A condition of `clean.rows.drop`, typed. Raises ExprError."""
    return parse(text, events, zone=zone or "UTC")


def _check_forward_fill(check: Checker) -> None:
    data = check.parsed.spec.data
    for name, columns in check.parsed.spec.clean.forward_fill.items():
        path = ("clean", "forward_fill", name)
        table = data.tables.get(name)
        if table is None or name == data.events:
            sides = [t for t in data.tables if t != data.events]
            what = "the events table's own rows" if table is not None else f"an unknown table {name!r}"
            check.add(
                f"forward_fill is for side tables, not for {what}",
                *path,
                why="an event is predicted from what is known then: its history is a side table"
                if table is not None
                else "",
                fix=did_you_mean(name, sides) if table is None else "remove it, or fill by clean.columns",
            )
            continue
        if table.key is None or table.time is None:
            lacks = " and ".join(r for r in ("key", "time") if getattr(table, r) is None)
            check.add(
                f"forward_fill needs a key and a time; table {name!r} has no {lacks}",
                *path,
                fix=f"declare {lacks} under data.tables.{name}",
            )
        if not columns:
            check.add(f"forward_fill of {name!r} names no column", *path, fix="name the columns to fill")
        present = {c.name for c in check.tables.get(name, ())}
        keys = (table.key,) if isinstance(table.key, str) else table.key or ()
        for i, column in enumerate(columns):
            if present and column not in present:
                check.add(
                    f"table {name!r} has no column {column!r}", *path, i, fix=did_you_mean(column, present)
                )
            elif column in (*keys, table.time, table.known_at):
                check.add(
                    f"{column!r} is the key or a time of table {name!r}: it can't be filled",
                    *path,
                    i,
                    fix="remove it",
                )
