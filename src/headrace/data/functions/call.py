"""Calling the user's functions over batches of rows: what they are given, and what they may give.

A function is given a `pyarrow.RecordBatch` of its columns, always of these types: number as float64, bool as
bool, text as string, time as timestamp of microseconds in UTC (without a zone); null is null. It gives one
value a row: a pyarrow array (or chunked array, or a batch or table of one column), or a numpy vector.

This room needs numpy and pyarrow alone: serving imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import from_json
from headrace.core.errors import UserCodeError
from headrace.core.function import Function
from headrace.core.lazy import lazily
from headrace.core.ports import Store
from headrace.core.schema import NULL_TEXT, Type
from headrace.data.feed import column_of, feed
from headrace.data.functions.code import Modules, Sources, line_of
from headrace.graph.buffers import Array

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazily("pyarrow")

Feeds = Mapping[str, NDArray[Any]]
Where = Callable[[int], str]
"""What a row of the batch is called, by its number in it."""


@dataclass(frozen=True)
class FunctionPlan:
    """The functions of a project or release, and the source files that they run from."""

    functions: tuple[Function, ...] = ()
    sources: Sources = field(default_factory=dict)

    def types(self) -> dict[str, Type]:
        """The raw columns that are filled, with their types."""
        return {f.column: f.type for f in self.functions}

    def of(self, columns: Sequence[str]) -> FunctionPlan:
        """The same, with the functions that fill these columns alone."""
        asked = set(columns)
        return FunctionPlan(tuple(f for f in self.functions if f.column in asked), self.sources)

    @property
    def reads(self) -> dict[str, Type]:
        """The raw columns that the functions are given, with their types."""
        return {c: t for f in self.functions for c, t in zip(f.reads, f.types, strict=True)}

    @cached_property
    def _calls(self) -> dict[str, Any]:
        folders = {str(PurePosixPath(f.file).parent) for f in self.functions}
        modules = {d: Modules(self.sources, d) for d in folders}
        return {f.name: modules[str(PurePosixPath(f.file).parent)].function(f) for f in self.functions}

    def load(self) -> None:
        """Load the code now, not at the first call.

        Raises:
            UserCodeError: a file raised while it was loaded.
            DataError: a file has no such function.
        """
        _ = self._calls

    def compute(self, feeds: Feeds, rows: int, where: Where = "row {}".format) -> dict[str, NDArray[Any]]:
        """Each function's raw column [rows], of raw columns `reads` [rows].

        Raises:
            UserCodeError: a function raised (feature, function, line and row are named), or gave something
                else than one value of its type a row.
        """
        self.load()
        return {f.column: self._one(f, feeds, rows, where) for f in self.functions}

    def _one(self, of: Function, feeds: Feeds, rows: int, where: Where) -> NDArray[Any]:
        arrays = [column_of(feeds[c], t) for c, t in zip(of.reads, of.types, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, list(of.reads))
        function = self._calls[of.name]
        if not rows:
            return feed(column_of(np.empty(0), Type.NUMBER).cast(_arrow(of.type)), of.type)
        try:
            given = function(batch)
        except (Exception, SystemExit) as error:  # the boundary to the user's code
            raise _blame(of, function, batch, error, where) from error
        return _taken(of, given, rows)


def function_plan(store: Store, functions: Sequence[Function], code: str) -> FunctionPlan:
    """Functions with the source files that were kept as the artifact `code`."""
    if not functions:
        return FunctionPlan()
    return FunctionPlan(tuple(functions), from_json(store.get(code).read_bytes(), dict[str, str]))


def _arrow(kind: Type) -> pa.DataType:
    if kind is Type.NUMBER:
        return pa.float64()
    if kind is Type.BOOL:
        return pa.bool_()
    return pa.string() if kind is Type.TEXT else pa.timestamp("us")


def _blame(
    of: Function, function: Any, batch: pa.RecordBatch, error: BaseException, where: Where
) -> UserCodeError:
    """The error with the first row that raises by itself, found by halving."""
    first, rows = 0, batch
    while rows.num_rows > 1:
        half = rows.num_rows // 2
        for start, part in ((0, rows.slice(0, half)), (half, rows.slice(half))):
            raised = _raises(function, part)
            if raised is not None:
                first, rows, error = first + start, part, raised
                break
        else:
            break  # no part raises alone
    line = line_of(error, of.file)
    at = where(first) if rows.num_rows == 1 else f"{rows.num_rows} rows from {where(first)} on"
    return UserCodeError(
        f"feature {of.name!r}: {of.label} raised {type(error).__name__}: {error}",
        where=", ".join(p for p in (f"{of.file}:{line}" if line else of.file, at) if p),
        fix="let the function give a value, or null, for every row; nulls and unseen values come, too",
    )


def _raises(function: Any, batch: pa.RecordBatch) -> BaseException | None:
    try:
        function(batch)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the boundary to the user's code
        return error
    return None


def _taken(of: Function, given: Any, rows: int) -> NDArray[Any]:
    """What a function gave as a raw column."""
    values = _array(of, given)
    if len(values) != rows:
        raise _useless(of, f"it gave {len(values)} values for {rows} rows", "give one value for every row")
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not (pa.types.is_null(kind) or _FITS[of.type](kind)):
        raise _useless(
            of,
            f"it gave {kind}, and the feature is a {of.type.value}",
            "give such values, or declare `type: number`, `bool` or `text` as it is",
        )
    try:
        column = feed(values.cast(_arrow(of.type), safe=False), of.type)
    except pa.ArrowInvalid as error:
        raise _useless(of, f"its values can't be read: {error}", "give plain values") from None
    if of.type is Type.TEXT:
        if any(NULL_TEXT in v for v in set(column.tolist()) if v != NULL_TEXT):
            raise _useless(of, "it gave a text with the character U+0000", "leave the character out")
        return column
    return np.where(np.isinf(column), np.nan, column)


def _array(of: Function, given: Any) -> Array:
    """What a function gave as one Arrow array."""
    if isinstance(given, pa.RecordBatch | pa.Table):
        if given.num_columns != 1:
            raise _useless(of, f"it gave {given.num_columns} columns", "give one; a feature has one column")
        given = given.column(0)
    if isinstance(given, pa.ChunkedArray):
        return pa.concat_arrays(given.chunks) if given.num_chunks else pa.nulls(0, given.type)
    if isinstance(given, pa.Array):
        return given
    if isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind in "iufb":
        kind = Type.BOOL if given.dtype.kind == "b" else Type.NUMBER
        return column_of(given.astype(np.float64), kind)
    shown = f"a numpy array of {given.dtype} {list(given.shape)}" if isinstance(given, np.ndarray) else None
    what = shown or f"a {type(given).__name__}"
    raise _useless(of, f"it gave {what}", "give a pyarrow array, or a numpy vector of numbers or booleans")


def _useless(of: Function, what: str, fix: str) -> UserCodeError:
    return UserCodeError(f"feature {of.name!r}: {of.label}: {what}", where=of.file, fix=fix)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


_FITS: Mapping[Type, Callable[[pa.DataType], bool]] = {
    Type.NUMBER: _is_number,
    Type.BOOL: lambda kind: pa.types.is_boolean(kind),
    Type.TEXT: _is_text,
    Type.TIME: lambda kind: pa.types.is_timestamp(kind),
}
