"""Planned expectations, measured: one scan of each table, and a second for what falls short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from headrace.core.errors import DataError
from headrace.core.evidence import Evidence, Outcome, judge
from headrace.core.spec.learning import Limits
from headrace.core.spec.scalars import parse_size
from headrace.core.sql import quoted
from headrace.data.expect import ROW, Expectation
from headrace.data.read import connect, workspace


def measure(
    expectations: Sequence[Expectation], paths: Mapping[str, Path], *, limits: Limits, scratch: Path
) -> tuple[Evidence, ...]:
    """Measure expectations on snapshots (`paths` by table), in their order: one scan a table.

    Evidence has the measure as `value` (None where no row has one), `n` rows, and `where`: the first row
    that falls short, counted from 1, with its values. A table in which something falls short is read a
    second time for those.

    Raises:
        DataError: a table can't be read, or the memory allowed doesn't suffice.
    """
    measured: dict[int, Evidence] = {}
    # Sums of doubles depend on the order of adding, which several threads don't keep: they have a scan of
    # their own, of their columns alone.
    for table, exact in dict.fromkeys((e.table, e.exact) for e in expectations):
        own = [(i, e) for i, e in enumerate(expectations) if (e.table, e.exact) == (table, exact)]
        threads = limits.threads if exact else 1
        try:
            found = _scan([e for _, e in own], paths[table], limits, threads, scratch)
        except duckdb.OutOfMemoryException as error:
            raise DataError(
                f"the expectations on {table!r} need more memory than {limits.memory}",
                why=str(error).splitlines()[0],
                fix="raise limits.memory",
            ) from error
        measured |= zip((i for i, _ in own), found, strict=True)
    return tuple(measured[i] for i in range(len(expectations)))


def _scan(
    planned: Sequence[Expectation], path: Path, limits: Limits, threads: int, scratch: Path
) -> list[Evidence]:
    columns = sorted({c for e in planned for c in e.columns})
    with workspace(scratch) as folder, connect(parse_size(limits.memory), threads, folder) as db:
        _confine(db, path, folder)
        counted = _aggregates(db, [e.value for e in planned], planned[0].table, columns, path)
        values, n = counted[1:], int(counted[0])
        short = [i for i, (e, v) in enumerate(zip(planned, values, strict=True)) if _falls_short(e, v)]
        firsts = dict.fromkeys(range(len(planned)))
        if short:
            needed = sorted({c for i in short for c in planned[i].columns})
            found = _aggregates(db, [planned[i].first for i in short], planned[0].table, needed, path)
            firsts |= zip(short, found[1:], strict=True)
        return [
            Evidence(
                e.gate,
                None if value is None else float(value),
                unit=e.unit,
                n=n,
                where=_told(db, e, path, value, firsts[i], n),
                why_none="no row has a value" if value is None else "",
            )
            for i, (e, value) in enumerate(zip(planned, values, strict=True))
        ]


def _aggregates(
    db: duckdb.DuckDBPyConnection, measures: Sequence[str], table: str, columns: Sequence[str], path: Path
) -> tuple[Any, ...]:
    """The number of rows, and these aggregates, in one scan."""
    query = f"SELECT {', '.join(['count(*)', *measures])} FROM {_rows(table, columns)}"
    counted: tuple[Any, ...] | None = db.execute(query, [str(path)]).fetchone()
    if counted is None:
        raise AssertionError("an aggregate without groups gives one row")
    return counted


def _falls_short(planned: Expectation, value: float | None) -> bool:
    """Whether a first row that falls short is worth a second look."""
    if not planned.first or value is None:
        return False
    outcome, _ = judge(Evidence(planned.gate, float(value)), planned.rule)
    return outcome is Outcome.FAIL


def _confine(db: duckdb.DuckDBPyConnection, path: Path, scratch: Path) -> None:
    """No file but this table, whatever the expressions say."""
    db.execute("SET allowed_paths = $1", [[str(path)]])
    db.execute("SET allowed_directories = $1", [[str(scratch)]])
    db.execute("SET enable_external_access = false")
    db.execute("SET lock_configuration = true")


def _rows(table: str, columns: Sequence[str]) -> str:
    """The table's rows, each column under every name that an expression may use."""
    names = [f"{quoted(c)}, {quoted(c)} AS {quoted(f'{table}.{c}')}" for c in columns]
    return f"(SELECT {', '.join([*names, ROW])} FROM read_parquet(?, file_row_number = true))"


def _told(
    db: duckdb.DuckDBPyConnection, planned: Expectation, path: Path, value: Any, first: int | None, n: int
) -> str:
    if planned.unit == "rows" and not value:
        return ""
    if planned.unique:
        first = _repeated(db, planned, path)
    if first is None:
        return ""
    shown = ", ".join(quoted(c) for c in planned.columns)
    row = db.execute(
        f"SELECT {shown} FROM read_parquet(?, file_row_number = true) WHERE {ROW} = ?", [str(path), first]
    ).fetchone()
    values = ", ".join(f"{c} = {_shown(v)}" for c, v in zip(planned.columns, row or (), strict=False))
    count = f"{value:,} of {n:,} rows, the first is " if planned.unit == "rows" else "for one, "
    return f"{count}row {first + 1:,} of {planned.table} ({values})"


def _repeated(db: duckdb.DuckDBPyConnection, planned: Expectation, path: Path) -> int | None:
    """The first row that repeats an earlier one."""
    known = " AND ".join(f"({v}) IS NOT NULL" for v in planned.unique)
    found = db.execute(
        f"SELECT min(r) FROM (SELECT min({ROW}, 2)[2] AS r FROM {_rows(planned.table, planned.columns)} "
        f"WHERE {known} GROUP BY {', '.join(planned.unique)} HAVING count(*) > 1)",
        [str(path)],
    ).fetchone()
    return None if found is None else found[0]


def _shown(value: Any) -> str:
    return "null" if value is None else str(value) if not isinstance(value, str) else repr(value[:40])
