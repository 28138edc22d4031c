"""A file of rows against what a release was made on: `headrace drift`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.checks.compared import LEVEL, Compared, compare
from headrace.core.errors import DataError, Problem, UserError
from headrace.core.ports import Store
from headrace.core.schema import NULL_TIME, Type
from headrace.core.spelled import spelled
from headrace.core.views import ReleaseView
from headrace.data.convert import convert, plan_columns
from headrace.data.files import kind_of, open_files
from headrace.data.parquet import open_file
from headrace.data.raw import Raw, Retyped
from headrace.data.times import BadValue
from headrace.graph.buffers import fixed, fixed_array, known, texts
from headrace.graph.zones import Zone
from headrace.release.manifest import Manifest, Serving
from headrace.summary.bins import Bins, ColumnBins
from headrace.summary.counts import Counter, Counts, no_rows
from headrace.summary.reference import PROBABILITY, read_reference, read_rows

BATCH = 32_768
"""Rows of a Parquet file that are held at once."""
_RETYPES = 3

Tell = Callable[[int], None]
Batch = tuple[Mapping[str, Any], int]


def drift_of_file(
    store: Store,
    release: ReleaseView,
    manifest: Manifest,
    file: Path,
    *,
    level: float = LEVEL,
    tell: Tell = lambda rows: None,
) -> Compared:
    """Every column of a Parquet, CSV or JSON-lines file that the release reads, against its reference. Read
    once, in bounded memory. Columns of answers count where the file has them under the names that
    `headrace predict` writes.

    Raises:
        UserError: the release has no reference.
        DataError: there is no such file, it has no rows or none of the columns, or it is broken.
    """
    if manifest.watch is None:
        raise UserError(
            f"release {release.release} has no reference to compare with",
            why="it was made before headrace kept one",
            fix="run `headrace run`, and compare with the release that it makes",
        )
    reference = read_reference(store.get(manifest.watch.reference).read_bytes())
    rows = read_rows(store.get(manifest.watch.rows).read_bytes())
    serving = manifest.serving
    counts, found = count_file(file, reference.bins, serving, tell=tell)
    timed = rows.timed and counts.first is not None and counts.last is not None
    # A file has what a caller sends, the reference what became of it.
    found = tuple(n for n in found if n not in serving.treated)
    return compare(
        reference,
        rows,
        counts,
        release=release.release,
        what=file.name,
        absent=set(reference.bins.names) - set(found),
        ignore=manifest.watch.ignore,
        level=level,
        span=(counts.last or 0) - (counts.first or 0) + 1 if timed else 0,
        seed=manifest.seed,
    )


def count_file(
    file: Path, bins: Bins, serving: Serving, *, tell: Tell = lambda rows: None
) -> tuple[Counts, tuple[str, ...]]:
    """A file's rows counted in bins, and which of the columns it has. serving: says how its files spell
    things, and which column is the time.

    Raises:
        DataError: there is no such file, it has no rows or none of the columns, or it is broken.
    """
    if not file.is_file():
        raise DataError("there is no such file", where=str(file))
    counter, raw = Counter(bins), None
    parquet = kind_of(file.name) == "parquet"
    for _ in range(_RETYPES):
        counts, seen = no_rows(bins), tuple[str, ...]()
        try:
            for columns, n in _of_parquet(file, bins, serving) if parquet else _of_text(file, raw, serving):
                named = {_name(c, bins): values for c, values in columns.items()}
                seen = tuple(c for c in bins.names if c in named)
                if not seen:
                    raise DataError(
                        "the file has none of the release's columns",
                        where=file.name,
                        fix=f"the release reads {', '.join(bins.names[:8])}",
                    )
                mine = (
                    named
                    if parquet
                    else {c.name: _typed(c, named[c.name]) for c in bins.columns if c.name in named}
                )
                counts = counts + counter.count(mine, n, _times(columns.get(serving.time or "")))
                tell(counts.rows)
        except Retyped as again:
            raw = again.raw
            continue
        if not counts.rows:
            raise DataError("the file has no rows", where=file.name, fix="give a file with rows")
        return counts, seen
    raise DataError("the columns' types keep changing while the file is read", where=file.name)


def _of_parquet(file: Path, bins: Bins, serving: Serving) -> Iterator[Batch]:
    clocks = Zone(serving.zone)
    try:
        with open_file(file) as held:
            there = held.schema_arrow.names
            wanted = [n for n in there if _name(n, bins) in bins.names or n == serving.time]
            for batch in held.iter_batches(BATCH, columns=wanted or there[:1], use_threads=False):
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                yield {n: _utc(v, clocks) for n, v in columns.items()}, batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            "the file is no Parquet file, or is cut short", where=file.name, why=str(error)[:200]
        ) from error


def _of_text(file: Path, raw: Raw | None, serving: Serving) -> Iterator[Batch]:
    if raw is None:
        kind = kind_of(file.name)
        raw = open_files(
            kind, [file.resolve()], [file.name], (), decimal=serving.decimal, nulls=serving.nulls
        )
    planned = plan_columns(
        file.stem, raw.schema, raw.formats, zone=serving.zone, times=(), needed=(), where=raw.name
    )
    done = 0
    for batch in raw.batches():
        columns = {}
        for column in planned.columns:
            try:
                columns[column.name] = convert(batch.column(column.name), column)
            except BadValue as bad:
                where = raw.where(done + bad.index)
                raise DataError.of([Problem(f"column {column.name!r} {bad.reason}", where=where)]) from bad
        yield columns, batch.num_rows
        done += batch.num_rows


def _name(column: str, bins: Bins) -> str:
    """A column of the file as the reference has it: `probability_late`, as answers in files are called, is
    `probability[late]`."""
    other = f"{PROBABILITY}[{column.removeprefix(f'{PROBABILITY}_')}]"
    return other if column not in bins.names and other in bins.names else column


def _utc(values: Any, clocks: Zone) -> Any:
    """Times without a zone as moments: they are of the project's zone. Other columns as they are."""
    if not pa.types.is_timestamp(values.type) or values.type.tz is not None or clocks.name == "UTC":
        return values
    values = values.cast(pa.timestamp("us"))
    moments = np.where(known(values), fixed(values), NULL_TIME)
    moments[moments != NULL_TIME] = clocks.to_utc(moments[moments != NULL_TIME])
    return fixed_array(moments, pa.timestamp("us"), moments != NULL_TIME)


def _typed(column: ColumnBins, values: Any) -> Any:
    """A column of a file of text, whose types were guessed: one word among numbers made all of them text, and
    names that are digits were read as numbers."""
    text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if column.type in (Type.NUMBER, Type.BOOL) and text:
        read = _number if column.type is Type.NUMBER else _truth
        return [None if v is None else read(v) for v in texts(values.cast(pa.string()))]
    number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if column.type is Type.TEXT and number:
        plain = zip(fixed(values).tolist(), known(values).tolist(), strict=True)
        return [spelled(v) if there else None for v, there in plain]
    if column.type is Type.BOOL and number:
        return np.where(known(values) & np.isin(fixed(values), (0, 1)), fixed(values), np.nan).astype(float)
    return values


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _truth(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.strip().lower(), text)


def _times(values: Any) -> NDArray[np.int64] | None:
    """When rows happened, UTC microseconds; None where nothing says so."""
    if values is None or not pa.types.is_timestamp(values.type):
        return None
    values = values.cast(pa.timestamp("us", values.type.tz))
    found = np.asarray(fixed(values)[known(values)], dtype=np.int64)
    return found if len(found) else None
