"""The tables' roles and the parts: keys, times, zones and shares, every mistake collected."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.clock import parse_duration
from headrace.core.errors import did_you_mean
from headrace.core.schema import Type
from headrace.engine.checking.checker import Checker


def keys_of(key: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """A table's key columns as a tuple."""
    return () if key is None else (key,) if isinstance(key, str) else key


def check_tables(check: Checker, events: Mapping[str, Type]) -> None:
    data = check.parsed.spec.data
    if data.events not in data.tables:
        check.add(
            f"data.events names no table: {data.events!r}",
            "data",
            "events",
            fix=did_you_mean(data.events, data.tables),
        )
        return
    if data.events not in check.tables:
        return  # it can't be read; that problem is already told
    for role in ("time", "id"):
        column = getattr(data, role)
        if column is not None and column not in events:
            check.add(
                f"data.{role}: table {data.events!r} has no column {column!r}",
                "data",
                role,
                fix=did_you_mean(column, events),
            )
    if data.time is not None and events.get(data.time, Type.TIME) != Type.TIME:
        check.add(
            f"data.time: column {data.time!r} is {events[data.time].value}, not a time",
            "data",
            "time",
            fix="name a column of timestamps, or write them as ISO 8601 in the source",
        )
    if data.live and data.id is None:
        check.add(
            "data.live needs data.id",
            *("data", "live"),
            why="an answered event may stand in the table, too, and is one row",
            fix="name the column that identifies an event: id: …",
        )
    if data.lead is not None and data.time is None:
        check.add("data.lead needs data.time", "data", "lead", fix="name the column with the event's time")
    for name, table in data.tables.items():
        columns = {c.name: c.type for c in check.tables.get(name, ())}
        if name == data.events or not columns:
            continue
        for key in keys_of(table.key):
            _check_key(check, name, key, columns, events)
        for role in ("time", "known_at"):
            column = getattr(table, role)
            if column is None:
                continue
            if column not in columns:
                check.add(
                    f"table {name!r} has no column {column!r}",
                    *("data", "tables", name, role),
                    fix=did_you_mean(column, columns),
                )
            elif columns[column] != Type.TIME:
                check.add(
                    f"column {column!r} of table {name!r} is {columns[column].value}, not a time",
                    *("data", "tables", name, role),
                    fix="name a column of timestamps",
                )
            elif data.time is None:
                check.add(
                    f"table {name!r} has a {role}, but the events have no time",
                    *("data", "tables", name, role),
                    fix="set data.time, so that a lookup knows its moment",
                )
        if table.ttl is not None and table.time is None and table.known_at is None:
            check.add(
                f"table {name!r} has a ttl but no time", "data", "tables", name, "ttl", fix="add `time:`"
            )


def _check_key(
    check: Checker, name: str, key: str, columns: Mapping[str, Type], events: Mapping[str, Type]
) -> None:
    path = ("data", "tables", name, "key")
    if key not in columns:
        check.add(f"table {name!r} has no column {key!r}", *path, fix=did_you_mean(key, columns))
    elif key not in events:
        check.add(
            f"the events have no column {key!r} to look up table {name!r} by",
            *path,
            fix=did_you_mean(key, events),
        )
    elif columns[key] != events[key]:
        check.add(
            f"key {key!r} is {columns[key].value} in {name!r} and {events[key].value} in the events",
            *path,
            fix="give both the same type in the source",
        )


def check_split(check: Checker, events: Mapping[str, Type]) -> None:
    spec = check.parsed.spec
    split = spec.split
    needs = {"group": split.group, "column": split.column}
    if split.by in needs and needs[split.by] is None:
        check.add(
            f"split by {split.by} needs split.{split.by}",
            "split",
            "by",
            fix=f"name the column: {split.by}: …",
        )
    if split.by == "time" and spec.data.time is None:
        check.add(
            "split by time needs data.time", "split", "by", fix="name the events' time column in data.time"
        )
    for role in ("group", "column"):
        column = getattr(split, role)
        if events and column is not None and column not in events:
            check.add(f"split.{role}: no column {column!r}", "split", role, fix=did_you_mean(column, events))
    if split.gap is not None and split.by != "time":
        check.add("split.gap only works by time", "split", "gap", fix="remove it, or split by time")
    if split.history is not None and split.by != "time":
        check.add("split.history only works by time", "split", "history", fix="remove it, or split by time")
    if split.until is not None and split.by != "time":
        check.add("split.until only works by time", "split", "until", fix="remove it, or split by time")
    if split.history is not None and not parse_duration(split.history):
        check.add("split.history is no time at all", "split", "history", fix="write one, such as 180 days")
    if split.on is not None and split.by != "stratified":
        check.add(
            "split.on only works with by: stratified", "split", "on", fix="remove it, or use by: stratified"
        )
    total = 0.0
    for role in ("validation", "test"):
        share = share_of(getattr(split, role))
        if share is None and split.by != "time":
            check.add(
                f"split.{role}: a duration only works by time",
                "split",
                role,
                fix="write a share such as '15%'",
            )
        total += share or 0.0
    if total >= 1:
        check.add(
            f"validation and test together take {total:.0%} of the rows: nothing is left to train on",
            "split",
            fix="make them smaller, such as 15% each",
        )


def share_of(amount: str | float) -> float | None:
    """A share of rows as a number; None for a duration."""
    if isinstance(amount, str):
        return float(amount.strip().rstrip("%")) / 100 if amount.strip().endswith("%") else None
    return float(amount)
