"""From the prediction log to counts of spans: what is new in the log is read once and counted once.

Counts are kept by the source that they came from: a segment that is still being written, or that was read
before it became a part, has pieces of its own; when it is read to its end they join what is done. A segment
that became a part while it was half read is forgotten, and read from the part. Whatever is killed at any
point of it leaves each answer counted once, or not yet.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headrace.core.answered import Answered
from headrace.logs.frames import HEADER, Frame, scan
from headrace.logs.parts import Part, Parts, load, reading
from headrace.logs.read import SEGMENT, fresh_segments, part_tables_of, segment_bytes
from headrace.logs.segment import is_open
from headrace.stores.watch_file import Piece, Read, WatchFile
from headrace.summary.counts import Counts
from headrace.summary.traffic import Traffic
from headrace.watch.chunks import Chunk, of_entries, of_table

ROWS = 20_000
"""Rows of a part that are counted at once."""
FEW = 4096
"""Rows of a segment that are: as objects of Python they stay in the processor's cache."""
HELD = 256
"""Pieces that are held in memory before they are written."""

Progress = Callable[[str, int, int], None]
Cut = Callable[[Chunk], "Iterator[Span]"]
"""Cuts rows into spans and counts them (see `watch.counting`)."""


@dataclass(frozen=True)
class Span:
    """Counts of some rows of a release on an arm, in a span of time. counts: None where the release says
    nothing of bins."""

    release: str
    arm: str
    start: int
    stop: int
    counts: Counts | None
    traffic: Traffic


@dataclass
class Taken:
    """What was read: rows, parts and segments. torn: bytes of closed segments that are no whole answers."""

    rows: int = 0
    parts: int = 0
    segments: int = 0
    torn: int = 0


class Pieces:
    """Counts on their way into the file: what belongs together is added up in memory first."""

    def __init__(self, file: WatchFile, place: Callable[[int, int], int], oldest: int) -> None:
        """place: where the counts of a span of a stream belong (a window by count has one place). oldest:
        what ends before it is not kept."""
        self._file = file
        self._place = place
        self._oldest = oldest
        self._held: dict[tuple[int, int, int], tuple[int, Counts | None, Traffic]] = {}
        self._streams = file.numbers()
        self.touched: set[tuple[int, int]] = set()
        """Streams and spans that something was added to."""

    def add(self, span: Span, source: int) -> None:
        """Count a span as part of a source. Inside `WatchFile.changing`."""
        if span.stop <= self._oldest:
            return
        key = (span.release, span.arm)
        if key not in self._streams:
            self._streams[key] = self._file.stream(*key)
        stream = self._streams[key]
        at = (stream, self._place(stream, span.start), source)
        self.touched.add(at[:2])
        stop, counts, traffic = self._held.get(at, (span.stop, None, Traffic()))
        self._held[at] = max(stop, span.stop), _both(counts, span.counts), traffic + span.traffic
        if len(self._held) >= HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held, added to what is there."""
        for (stream, start, source), (stop, counts, traffic) in self._held.items():
            put(self._file, Piece(stream, start, source, stop, 0, b"", b""), counts, traffic)
        self._held.clear()


def put(file: WatchFile, piece: Piece, counts: Counts | None, traffic: Traffic) -> None:
    """Add counts to a piece of the file."""
    known = file.piece(piece.stream, piece.start, piece.source)
    if known is not None:
        counts = _both(counts_of(known), counts)
        traffic = Traffic.from_bytes(known.traffic) + traffic
        piece = replace(piece, stop=max(piece.stop, known.stop))
    told = b"" if counts is None else counts.to_bytes()
    file.put_piece(replace(piece, rows=traffic.rows, counts=told, traffic=traffic.to_bytes()))


def counts_of(piece: Piece) -> Counts | None:
    """The counts of a piece; None where its release says nothing of bins."""
    return Counts.from_bytes(piece.counts) if piece.counts else None


def _both(one: Counts | None, other: Counts | None) -> Counts | None:
    if one is None or other is None:
        return one or other
    return one + other


def take(
    file: WatchFile, folder: Path, counting: Cut, pieces: Pieces, progress: Progress | None = None
) -> Taken:
    """Count what is new in the log in `folder`.

    Raises:
        StoreError: the log or the file can't be read or written.
        Corrupt: a part or segment is not what was written.
    """
    taken = Taken()
    with reading(folder), _unhurried():
        counts = load(folder)
        fresh = fresh_segments(folder, counts)
        _forget(file, counts, {p.name for p in fresh})
        known = {str(d) for (d,) in file.rows("SELECT digest FROM part")}
        new = [p for p in counts.parts if p.digest not in known]
        for i, part in enumerate(sorted(new, key=lambda p: p.first)):
            _take_part(file, folder, part, counting, pieces, taken)
            if progress is not None:
                progress("parts of the log", i + 1, len(new))
        seen = file.segments()
        for i, path in enumerate(fresh):
            read = seen.get(path.name)
            if read is None or not read.done:
                _take_segment(file, path, read, counting, pieces, taken)
            if progress is not None:
                progress("segments of the log", i + 1, len(fresh))
    return taken


@contextmanager
def _unhurried() -> Iterator[None]:
    """Nobody looks for cycles meanwhile: millions of decoded values have none, and looking takes a third of
    the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _forget(file: WatchFile, counts: Parts, fresh: Collection[str]) -> None:
    """Forget segments that are in parts now (those that were half read are read from there), and parts that
    count no longer."""
    gone = [r for name, r in file.segments().items() if name not in fresh]
    here = {p.digest for p in counts.parts}
    old = [(d,) for (d,) in file.rows("SELECT digest FROM part") if d not in here]
    oldest = min((p.day for p in counts.parts), default="")
    if not (gone or old):
        return
    here_yet = {_key(name, "", "") for name in fresh}  # they may become parts of any day
    passed = [
        (k,) for (k,) in file.rows("SELECT key FROM taken WHERE day < ?", (oldest,)) if k not in here_yet
    ]
    with file.changing():
        for read in gone:
            file.forget_segment(read)
        file.run_many("DELETE FROM part WHERE digest = ?", old)
        file.run_many("DELETE FROM taken WHERE key = ?", passed)


def _take_part(
    file: WatchFile, folder: Path, part: Part, counting: Cut, pieces: Pieces, taken: Taken
) -> None:
    names = {n for n in _segments_of(folder, part) if not _is_taken(file, n, part)}
    with file.changing():
        if names:
            for table in part_tables_of(folder, part, names):
                for at in range(0, table.num_rows, ROWS):
                    _count(of_table(table.slice(at, ROWS)), counting, pieces, 0, taken)
            pieces.flush()
            file.run_many(
                "INSERT OR IGNORE INTO taken VALUES (?,?)",
                [(_key(n, part.day, part.route), part.day) for n in names],
            )
            taken.parts += 1
        file.run("INSERT OR IGNORE INTO part VALUES (?)", (part.digest,))


def _segments_of(folder: Path, part: Part) -> set[str]:
    """The segments that a part's rows were written to."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: set[str] = set()
    with pq.ParquetFile(folder / part.file, read_dictionary=[SEGMENT]) as held:
        for group in range(held.num_row_groups):
            column = held.read_row_group(group, columns=[SEGMENT]).column(SEGMENT)
            found.update(str(name) for name in pc.unique(column).to_pylist())
    return found


def _is_taken(file: WatchFile, segment: str, part: Part) -> bool:
    keys = (_key(segment, part.day, part.route), _key(segment, "", ""))
    return bool(file.rows("SELECT 1 FROM taken WHERE key IN (?,?)", keys))


def _key(segment: str, day: str, route: str) -> int:
    """What says that a segment's rows of a day and route are counted; day and route are empty where all are.
    A number of 64 bits: among a million of them two are the same once in ten million logs."""
    told = "\0".join((segment, day, route)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big", signed=True)


def _take_segment(
    file: WatchFile, path: Path, read: Read | None, counting: Cut, pieces: Pieces, taken: Taken
) -> None:
    """Count what is new in a segment; when it is closed, it joins what is done."""
    over = not is_open(path)  # before it is read: nothing is written afterwards
    data = segment_bytes(path)
    at = len(HEADER) if read is None else read.at
    if not over and len(data) <= at:
        return
    with file.changing():
        source = file.set_segment(path.name, at) if read is None else read.id
        ends: list[int] = []
        for entries, end in _frames(data, at):
            moments = [e.time for e in entries]
            ends += [min(moments), max(moments)]
            _count(of_entries(entries), counting, pieces, source, taken)
            at = end
        if over:
            last = _join(file, source, pieces)
            file.run("INSERT OR IGNORE INTO taken VALUES (?,?)", (_key(path.name, "", ""), last))
            taken.torn += len(data) - at
        pieces.flush()
        first, latest = (min(ends), max(ends)) if ends else (None, None)
        file.set_segment(path.name, at, done=over, first=first, last=latest)
        taken.segments += 1


def _frames(data: bytes, start: int) -> Iterator[tuple[list[Answered], int]]:
    """Entries, some together, and where they end."""
    held: list[Answered] = []
    end = start
    for piece in scan(data, start):
        if isinstance(piece, Frame):
            held += piece.entries
            end = piece.end
        if len(held) >= FEW:
            yield held, end
            held = []
    if held:
        yield held, end


def _join(file: WatchFile, source: int, pieces: Pieces) -> str:
    """Add a segment's pieces to what is done; the last UTC day that they reach."""
    pieces.flush()
    last = 0
    for piece in file.pieces_of(source):
        last = max(last, piece.stop)
        put(file, replace(piece, source=0), counts_of(piece), Traffic.from_bytes(piece.traffic))
    file.run("DELETE FROM piece WHERE source = ?", (source,))
    return str(np.datetime64(last // 86_400_000_000, "D"))


def _count(chunk: Chunk, counting: Cut, pieces: Pieces, source: int, taken: Taken) -> None:
    for span in counting(chunk):
        pieces.add(span, source)
    taken.rows += chunk.rows
