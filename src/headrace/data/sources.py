"""Sources that are the user's Python functions: run at one boundary, their rows spooled to disk."""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from headrace.core.errors import DataError, Problem, UserCodeError, did_you_mean
from headrace.data.privacy.redact import Redaction
from headrace.data.raw import Raw
from headrace.data.spool import spooled

_ROWS = 10_000


def open_python(
    path: Path,
    label: str,
    function: str,
    *,
    spool: Path | None,
    times: Sequence[str],
    redaction: Redaction | None = None,
) -> Raw:
    """Run `function` (no arguments) and open what it gives as a source.

    It may return, or yield bit by bit: pyarrow tables, batches or readers; data frames of pandas, polars
    or anything else with the Arrow PyCapsule interface; dicts, one a row, or lists of them; and return a
    dict of columns. `spool` is a folder that takes the rows; without it only the first 20,480 are taken,
    enough to see the columns.

    Raises:
        UserCodeError: the function raised; file, line and function are named.
        DataError: the file has no such function, it gave something else, or a column has two types.
    """
    name = f"{label}:{function}"
    with _importable(path.parent):
        return spooled(name, _run(path, label, function), spool=spool, times=times, redaction=redaction)


def code_files(path: Path, root: Path) -> list[tuple[str, Path]]:
    """The file and every module beside it that it imports, directly or through another, sorted by name."""
    found: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found[file] = None
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue  # told when it is run
        for level, module in _imports(tree):
            top = file.parents[level - 1] if 0 < level <= len(file.parents) else path.parent
            parts = [p for p in module.split(".") if p]
            for base in (top.joinpath(*parts[:n]) for n in range(1, len(parts) + 1)):
                waiting += [base.with_suffix(".py"), base / "__init__.py"]
    return sorted((f.relative_to(root.resolve()).as_posix(), f) for f in found)


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What a file may import: how many leading dots, and the dotted name of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, f"{node.module or ''}.{a.name}") for a in node.names)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The modules beside the user's file can be imported while it runs, as when it is run as a script.
    They are forgotten again: the next run reads them anew, and another project may have others."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).is_relative_to(folder):
                del sys.modules[name]


def _run(path: Path, label: str, function: str) -> Generator[pa.Table, None, None]:
    """The user-code boundary: what the user's code raises, at loading, calling or yielding, leaves here as
    a UserCodeError."""
    name = f"{label}:{function}"
    try:
        names = runpy.run_path(str(path), run_name="headrace_source")
    except (Exception, SystemExit) as error:
        raise _blame(error, path, label, function) from error
    called = names.get(function)
    if not callable(called):
        functions = [n for n, v in names.items() if callable(v) and not n.startswith("_")]
        raise DataError(
            f"there is no function {function!r}", where=label, fix=did_you_mean(function, functions)
        )
    try:
        given = called()
    except (Exception, SystemExit) as error:
        raise _blame(error, path, label, function) from error
    if isinstance(given, Mapping):
        yield _columns(given, name)
        return
    table = _table(given, name)
    if table is not None:
        yield from table
        return
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise _useless(given, name)
    yield from _chunks(_guarded(given, path, label, function), name)


def _guarded(items: Iterable[Any], path: Path, label: str, function: str) -> Iterator[Any]:
    iterator = iter(items)
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except (Exception, SystemExit) as error:
            raise _blame(error, path, label, function) from error
        yield item


def _blame(error: BaseException, path: Path, label: str, function: str) -> UserCodeError:
    line = error.lineno if isinstance(error, SyntaxError) else _line(error.__traceback__, path)
    return UserCodeError(
        f"{function} raised {type(error).__name__}: {error}",
        where=f"{label}:{line}" if line else label,
        fix=f"correct {label}; call {function}() by hand to see the whole traceback",
    )


def _line(traceback: TracebackType | None, path: Path) -> int | None:
    """The innermost line of the user's file."""
    line = None
    while traceback is not None:
        if Path(traceback.tb_frame.f_code.co_filename) == path:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _chunks(items: Iterator[Any], name: str) -> Iterator[pa.Table]:
    done = 0
    for item in items:
        if isinstance(item, Mapping):
            rows = [item, *islice(_rows(items, name), _ROWS - 1)]
            yield _from_rows(rows, name, done)
            done += len(rows)
            continue
        tables = _table(item, name)
        if tables is None:
            if not isinstance(item, list | tuple) or not all(isinstance(r, Mapping) for r in item):
                raise _useless(item, name)
            tables = iter([_from_rows(item, name, done)] if item else [])
        for table in tables:
            yield table
            done += table.num_rows


def _rows(items: Iterator[Any], name: str) -> Iterator[Mapping[str, Any]]:
    for item in items:
        if not isinstance(item, Mapping):
            raise DataError(f"gave a row as dict, then a {type(item).__name__}", where=name)
        yield item


def _table(given: Any, name: str) -> Iterator[pa.Table] | None:
    """Arrow data as tables, None where the object is no Arrow data."""
    if isinstance(given, pa.Table):
        return iter([given])
    if hasattr(given, "__arrow_c_stream__"):
        try:
            reader = pa.RecordBatchReader.from_stream(given)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise DataError("a column of its data frame can't be read", where=name, why=str(error)) from error
        return (_without_index(pa.Table.from_batches([b])) for b in reader)
    if hasattr(given, "__arrow_c_array__"):
        return iter([pa.Table.from_batches([pa.record_batch(given)])])
    return None


def _without_index(table: pa.Table) -> pa.Table:
    """pandas sends the index of its frames along."""
    return table.drop_columns([n for n in table.schema.names if n.startswith("__index_level_")])


def _from_rows(rows: Sequence[Mapping[str, Any]], name: str, done: int) -> pa.Table:
    keys = dict.fromkeys(k for row in rows for k in row)
    return _columns({k: [row.get(k) for row in rows] for k in keys}, name, done)


def _columns(columns: Mapping[str, Any], name: str, done: int = 0) -> pa.Table:
    arrays = {}
    problems = []
    for key, values in columns.items():
        try:
            arrays[str(key)] = pa.array(values)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            rows = f"rows {done + 1} to {done + len(values)}" if hasattr(values, "__len__") else ""
            problems.append(Problem(f"column {key!r} can't be read: {error}", f"{name}: {rows}"))
    if problems:
        raise DataError.of(problems)
    if len({len(a) for a in arrays.values()}) > 1:
        raise DataError("the columns are of different lengths", where=name)
    return pa.table(arrays)


def _useless(given: Any, name: str) -> DataError:
    return DataError(
        f"it gave a {type(given).__name__}, which is no table",
        where=name,
        fix="return or yield a pyarrow table, a data frame, or dicts, one a row",
    )
