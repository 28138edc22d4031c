"""Reading the log: windows of answers, from parts and from segments, those being written among them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.answered import Answered
from headrace.core.errors import Corrupt
from headrace.logs.frames import HEADER, Frame, Gap, scan, written
from headrace.logs.parts import Part, Parts, load, reading
from headrace.logs.segment import is_open, segments, trouble

if TYPE_CHECKING:
    import pyarrow as pa

SEGMENT = "segment"
"""The column that says which segment a row was written to."""
CHUNK = 20_000
"""Entries in one table of a segment."""

Torn = Callable[[Path, int], None]
"""Told of a segment that has so many bytes which are no whole frame."""


@dataclass(frozen=True)
class Wanted:
    """Which answers: `start <= time < end` (UTC microseconds), and of these routes, releases and arms where
    given."""

    start: int | None = None
    end: int | None = None
    route: str | None = None
    release: str | None = None
    arm: str | None = None

    def holds(self, entry: Answered) -> bool:
        """Whether the answer is wanted."""
        return (
            (self.start is None or entry.time >= self.start)
            and (self.end is None or entry.time < self.end)
            and (self.route is None or entry.route == self.route)
            and (self.release is None or entry.release == self.release)
            and (self.arm is None or entry.arm == self.arm)
        )

    def may_be_in(self, part: Part) -> bool:
        """Whether a part may hold any."""
        return (
            (self.start is None or part.last >= self.start)
            and (self.end is None or part.first < self.end)
            and (self.route is None or part.route == self.route)
        )


EVERYTHING = Wanted()


def read(folder: Path, wanted: Wanted = EVERYTHING, *, torn: Torn | None = None) -> Iterator[Answered]:
    """Answers, each once, in no stated order: also those that are being written, as far as they are whole.

    Raises:
        StoreError: the log can't be read.
        Corrupt: a part is not what was written.
    """
    with reading(folder):
        counts = load(folder)
        fresh = fresh_segments(folder, counts)
        for part in counts.parts:
            if wanted.may_be_in(part):
                yield from _of_part(folder, part, wanted)
        for path in fresh:
            yield from (e for e in of_segment(path, torn=torn) if wanted.holds(e))


def tables(folder: Path, wanted: Wanted = EVERYTHING, *, torn: Torn | None = None) -> Iterator[pa.Table]:
    """`read` as Arrow tables (see `logs.columns`). Raises as `read`."""
    from headrace.logs.columns import to_table

    with reading(folder):
        counts = load(folder)
        fresh = fresh_segments(folder, counts)
        for part in counts.parts:
            if wanted.may_be_in(part):
                yield from part_tables(folder, part, wanted)
        for path in fresh:
            mine = [e for e in of_segment(path, torn=torn) if wanted.holds(e)]
            for i in range(0, len(mine), CHUNK):
                yield to_table(mine[i : i + CHUNK], path.name)


def fresh_segments(folder: Path, counts: Parts) -> list[Path]:
    """The segments that are in no part yet."""
    taken = frozenset(counts.taken)
    return [p for p in segments(folder) if p.name not in taken]


def of_segment(path: Path, *, torn: Torn | None = None) -> Iterator[Answered]:
    """The whole entries of a segment. `torn` is told of other bytes in it, once it is closed.

    Raises:
        StoreError: it can't be read.
        Corrupt: it is no segment.
    """
    closed = not is_open(path)
    skipped = 0
    for piece in scan(segment_bytes(path), len(HEADER)):
        if isinstance(piece, Frame):
            yield from piece.entries
        elif isinstance(piece, Gap):
            skipped += piece.end - piece.start
    if skipped and closed and torn is not None:
        torn(path, skipped)


def segment_bytes(path: Path) -> bytes:
    """A segment's bytes; those of an empty one where it is gone: while somebody reads, only writers remove
    segments, those that they wrote nothing to.

    Raises:
        StoreError: it can't be read.
        Corrupt: it is no segment.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return HEADER
    except OSError as error:
        raise trouble(error, "read the prediction log", path) from error
    if not data.startswith(HEADER):
        raise Corrupt(
            "this file is no segment of a prediction log of this version",
            where=str(path),
            fix="move it away, or read it with the headrace that wrote it",
        )
    return written(data)


def part_tables(folder: Path, part: Part, wanted: Wanted = EVERYTHING) -> Iterator[pa.Table]:
    """A part's rows that are wanted.

    Raises:
        Corrupt: the file is not what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from headrace.logs.columns import only

    try:
        with pq.ParquetFile(folder / part.file) as file:
            for group in range(file.num_row_groups):
                yield only(
                    file.read_row_group(group),
                    wanted.start,
                    wanted.end,
                    {"route": wanted.route, "release": wanted.release, "arm": wanted.arm},
                )
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(folder / part.file, error) from error


def part_tables_of(folder: Path, part: Part, names: Collection[str]) -> Iterator[pa.Table]:
    """A part's rows that were written to these segments. Of groups of rows that have none no more is read
    than which segments theirs are, and where their ends tell enough, nothing.

    Raises:
        Corrupt: the file is not what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from headrace.logs.columns import of_segments

    try:
        with pq.ParquetFile(folder / part.file) as file:
            at = next(i for i in range(len(file.schema)) if file.schema.column(i).path == SEGMENT)
            for group in range(file.num_row_groups):
                known = file.metadata.row_group(group).column(at).statistics
                if known is not None and known.has_min_max and not _between(names, known.min, known.max):
                    continue
                if of_segments(file.read_row_group(group, columns=[SEGMENT]), names).num_rows:
                    yield of_segments(file.read_row_group(group), names)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(folder / part.file, error) from error


def _between(names: Collection[str], least: Any, greatest: Any) -> bool:
    return any(least <= name <= greatest for name in names)


def part_schema(folder: Path, part: Part) -> pa.Schema:
    """A part's columns.

    Raises:
        Corrupt: the file is not what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(folder / part.file)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(folder / part.file, error) from error


def _unreadable(path: Path, error: Exception) -> Corrupt:
    return Corrupt(
        "a part of the prediction log can't be read",
        where=str(path),
        why=str(error),
        fix="restore it from a backup; `headrace audit` names every such file",
    )


def _of_part(folder: Path, part: Part, wanted: Wanted) -> Iterator[Answered]:
    from headrace.logs.columns import to_entries

    for table in part_tables(folder, part, wanted):
        yield from to_entries(table)
