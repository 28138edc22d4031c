"""Which reader reads a source, and what columns it has."""

from __future__ import annotations

import glob
import re
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa

from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.schema import Column
from headrace.core.spec.tables import TableSpec
from headrace.data.convert import ColumnPlan, Plan, plan_columns
from headrace.data.database import is_database, label, open_database
from headrace.data.files import kind_of, open_files
from headrace.data.privacy.redact import Redaction
from headrace.data.raw import Raw
from headrace.data.sources import open_python
from headrace.data.times import FORMATS, spelled
from headrace.graph.buffers import texts

_FUNCTION = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)")


@dataclass(frozen=True)
class Source:
    """What `read:` names: files of one kind in sorted order, a function in a Python file, or a database
    (no files). `labels` are the files' names for messages, relative to the project where they lie in it.
    `root` is the project's folder."""

    kind: str
    files: tuple[Path, ...]
    labels: tuple[str, ...]
    root: Path
    function: str = ""


def resolve(table: TableSpec, *, root: Path) -> Source:
    """Find what `read:` names. Paths are relative to the project's folder `root`.

    Raises:
        DataError: there is no such file, the pattern matches none, the kind of file is unknown, or a
            Python file lies outside of the project.
    """
    found = _resolve(table, root)
    if found.kind != "csv" and (table.decimal != "." or table.nulls):
        raise DataError(
            f"{table.read!r} is no CSV file: `decimal:` and `nulls:` have no meaning",
            fix="remove them; nullif(x, '?') in an expression makes a value null",
        )
    return found


def _resolve(table: TableSpec, root: Path) -> Source:
    text = table.read
    if is_database(text):
        if (table.table is None) == (table.query is None):
            raise DataError(
                f"{text!r} is a database, and one thing of it is read",
                fix="give exactly one of `table:` and `query:`",
            )
        return Source("database", (), (label(table),), root)
    if table.table is not None or table.query is not None:
        raise DataError(
            f"{text!r} is no database: `table:` and `query:` have no meaning",
            fix="remove them, or name an SQLite file or `$NAME`, a variable that holds a database's URL",
        )
    function = _FUNCTION.fullmatch(text)
    if function is not None:
        path = (root / function["file"]).resolve()
        if not path.is_relative_to(root.resolve()):
            raise DataError(f"{text!r} lies outside of the project", fix=f"move it under {root}")
        _must_exist(path, function["file"])
        return Source("python", (path,), (function["file"],), root, function["function"])
    if glob.has_magic(text) and not (root / text).exists():
        # glob, not Path.glob: a pattern may be absolute.
        found = sorted(p for p in glob.glob(text, root_dir=root, recursive=True) if (root / p).is_file())  # noqa: PTH207 - see above
        if not found:
            raise DataError(
                f"no file matches {text!r}", where=str(root), fix="check the pattern under `read:`"
            )
    else:
        _must_exist(root / text, text)
        found = [text]
    kinds = {kind_of(f) for f in found}
    if len(kinds) > 1:
        raise DataError(f"{text!r} matches files of several kinds: {', '.join(sorted(kinds))}")
    return Source(kinds.pop(), tuple(root / f for f in found), tuple(found), root)


def _must_exist(path: Path, text: str) -> None:
    if path.is_dir():
        raise DataError(f"{text!r} is a folder", fix=f"write a pattern, such as {text.rstrip('/')}/*.parquet")
    if path.is_file():
        return
    here = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    folder = path.parent if path.parent.is_dir() else None
    hint = did_you_mean(path.name, here) if folder else f"there is no folder {path.parent}"
    raise DataError(f"there is no file {text!r}", where=str(folder or ""), fix=hint)


def open_source(
    source: Source,
    *,
    table: TableSpec,
    spool: Path | None,
    times: Collection[str] = (),
    redaction: Redaction | None = None,
) -> Raw:
    """Open a source. `spool` is a folder for what a Python source or a database yields, treated by
    `redaction`; without it, only its first rows are taken, as they are.

    Raises:
        DataError: see `open_csv`, `open_parquet`, `open_json`, `open_python`, `open_database`.
        UserCodeError: the user's function raised.
    """
    declared = declared_times(table, times)
    if source.kind == "database":
        return open_database(table, root=source.root, spool=spool, times=declared, redaction=redaction)
    if source.kind == "python":
        return open_python(
            source.files[0], source.labels[0], source.function, spool=spool, times=declared,
            redaction=redaction,
        )  # fmt: skip
    return open_files(
        source.kind, source.files, source.labels, declared, decimal=table.decimal, nulls=table.nulls
    )


def declared_times(table: TableSpec, times: Collection[str]) -> tuple[str, ...]:
    """Columns that the spec declares as times."""
    own = [c for c in (table.time, table.known_at) if c is not None]
    return tuple(dict.fromkeys([*own, *times]))


def key_columns(table: TableSpec) -> tuple[str, ...]:
    """The columns of a table's key, none where it has none."""
    if table.key is None:
        return ()
    return (table.key,) if isinstance(table.key, str) else table.key


def plan(
    name: str,
    table: TableSpec,
    raw: Raw,
    *,
    zone: str | None,
    times: Collection[str] = (),
    redaction: Redaction | None = None,
) -> Plan:
    """What becomes of an opened source's columns (see `convert.plan_columns` for what is raised).

    Raises:
        DataError: `redaction` treats a column that is not there.
    """
    declared = declared_times(table, times)
    treated = redaction or Redaction()
    names = [*raw.schema.names, *raw.redacted]
    missing = [c for c in treated.columns if c not in names]
    if missing:
        raise DataError.of(
            [
                Problem(
                    f"data.pii: there is no column {c!r} in table {name!r}",
                    raw.name,
                    fix=did_you_mean(c, names),
                )
                for c in missing
            ]
        )
    planned = _plan(name, table, raw, declared, zone)
    columns = [_treated(c, raw, treated) for c in planned.columns if not treated.drops(c.name)]
    return replace(planned, columns=tuple(columns))


def _treated(column: ColumnPlan, raw: Raw, redaction: Redaction) -> ColumnPlan:
    """What becomes of a column that is hashed or masked: text."""
    name = column.name
    if not redaction.changes(name):
        return column
    if name in raw.redacted:
        return replace(column, column=replace(column.column, before=raw.redacted[name]))
    return ColumnPlan(redaction.column(column.column), pa.string(), before=column)


def _plan(name: str, table: TableSpec, raw: Raw, declared: tuple[str, ...], zone: str | None) -> Plan:
    return plan_columns(
        name,
        raw.schema,
        raw.formats,
        zone=table.zone or zone,
        times=declared,
        needed=tuple(dict.fromkeys([*key_columns(table), *declared])),
        where=raw.name,
        mixed=lambda column: _leaves_format(raw, column),
    )


def _leaves_format(raw: Raw, column: str) -> Problem | None:
    """Where a text column declared as time first holds something else than before."""
    left, first, done = FORMATS, "", 0
    for batch in raw.batches():
        for i, value in enumerate(texts(batch.column(column).cast(pa.string()))):
            if value is None:
                continue
            still = tuple(f for f in left if f.fits(value))
            if not still:
                before = f" after {spelled(first)}" if first else ", which is no time"
                return Problem(
                    f"column {column!r} is declared as time, and holds {spelled(value)}{before}",
                    where=raw.where(done + i),
                    fix="write all its times in one format, such as 2013-01-31 05:00",
                )
            left, first = still, first or value
        done += batch.num_rows
    return None


def describe(
    name: str,
    table: TableSpec,
    *,
    root: Path,
    zone: str | None,
    times: Collection[str] = (),
    redaction: Redaction | None = None,
) -> tuple[Column, ...]:
    """The usable columns of a source, from its schema or a sample: cheap, and without reading all of it.

    `times` are columns that the spec declares as times elsewhere (`data.time`). A Python source is run,
    and its first rows are looked at. Columns of types without a place in headrace are left out, and those
    that `redaction` drops; it needs no key for this.

    Raises:
        DataError: the file is missing, broken within the sample, or not as the spec says.
        UserCodeError: the user's function raised.
    """
    source = resolve(table, root=root)
    raw = open_source(source, table=table, times=times, spool=None)
    planned = plan(name, table, raw, zone=zone, times=times, redaction=redaction)
    return tuple(c.column for c in planned.columns)


@contextmanager
def workspace(scratch: Path) -> Iterator[Path]:
    """A fresh folder in `scratch`, gone with all that is in it at the end; so is `scratch` where it was
    not there before."""
    made = not scratch.exists()
    folder = scratch / f"work-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        if made:
            with suppress(OSError):  # somebody else works there too
                scratch.rmdir()


def connect(memory: int, threads: int, scratch: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory that keeps to `memory` bytes and spills into `scratch`.

    Rows keep their order; no extension is fetched or loaded on its own.
    """
    db = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{max(memory, 64_000_000) // 1_000_000}MB",
            "threads": threads,
            "temp_directory": str(scratch / "duckdb"),
            "preserve_insertion_order": True,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    db.execute("set TimeZone = 'UTC'")
    db.execute("set enable_progress_bar = false")
    return db
