"""What the log's folder holds, for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from headrace.logs.frames import HEADER, Frame, Gap, scan
from headrace.logs.labels import LabelBook
from headrace.logs.parts import Part, load, reading
from headrace.logs.read import fresh_segments, segment_bytes
from headrace.logs.segment import is_open


@dataclass(frozen=True)
class SegmentState:
    """A segment that is in no part yet. torn: bytes that are no whole entries (of one being written: not
    yet)."""

    name: str
    size: int
    rows: int
    writing: bool
    torn: int


@dataclass(frozen=True)
class LogStatus:
    """The parts, the segments beside them, all rows, and labels: how many, and how many wait for their
    prediction. oldest, newest: times of answers, UTC microseconds (None: there are none). untold: events that
    the ledger is yet to have."""

    rows: int
    size: int
    parts: tuple[Part, ...]
    segments: tuple[SegmentState, ...]
    labels: int
    waiting: int
    untold: int
    oldest: int | None = None
    newest: int | None = None
    days: tuple[str, ...] = field(default=())


def status(folder: Path, book: LabelBook) -> LogStatus:
    """Look at all of it; segments are read whole.

    Raises:
        StoreError: it can't be read.
        Corrupt: the list of files is not what was written.
    """
    with reading(folder):
        counts = load(folder)
        times = [t for p in counts.parts for t in (p.first, p.last)]
        segments = []
        for path in fresh_segments(folder, counts):
            state, seen = _segment(path)
            segments.append(state)
            times += seen
    labels = list(book.labels())
    return LogStatus(
        rows=sum(p.rows for p in counts.parts) + sum(s.rows for s in segments),
        size=sum(p.size for p in counts.parts) + sum(s.size for s in segments),
        parts=counts.parts,
        segments=tuple(segments),
        labels=len(labels),
        waiting=sum(label.id is None for label in labels),
        untold=len(counts.untold),
        oldest=min(times, default=None),
        newest=max(times, default=None),
        days=tuple(sorted({p.day for p in counts.parts})),
    )


def _segment(path: Path) -> tuple[SegmentState, list[int]]:
    writing = is_open(path)
    data = segment_bytes(path)
    rows = torn = 0
    times: list[int] = []
    for piece in scan(data, len(HEADER)):
        if isinstance(piece, Frame):
            rows += len(piece.entries)
            times += [min(e.time for e in piece.entries), max(e.time for e in piece.entries)]
        elif isinstance(piece, Gap):
            torn += piece.end - piece.start
    return SegmentState(path.name, len(data), rows, writing, torn), times
