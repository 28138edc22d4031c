"""Compaction: closed segments become parts, small parts one, and what is older than the log keeps goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.answered import Answered
from headrace.core.clock import Clock, iso, micros, system_clock
from headrace.core.event import Draft
from headrace.core.ports import Store
from headrace.logs.parts import FOLDER, Note, Part, Parts, changing, commit, load, remove
from headrace.logs.read import CHUNK, Torn, fresh_segments, of_segment, part_tables
from headrace.logs.segment import FOLDER as SEGMENTS
from headrace.logs.segment import is_open, size_of

if TYPE_CHECKING:
    import pyarrow as pa

ROUND = 64 << 20
"""Bytes of segments that become parts at once."""
SMALL_ROWS, MANY = 1_000_000, 8
"""Parts of one day and route with fewer rows are put together: so many, or all once the day is over."""
RECENT = 4096
"""Segments that were taken and are remembered for those who follow the log."""
_ABANDONED = 60.0
_PATIENCE = 1.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Compacted:
    """What a compaction did: segments that became parts, their rows, parts made and put together, rows that
    were too old. torn: bytes by segment that were no whole entries: what was being written when its process
    died, none of it acknowledged as durable, or damage. waiting: readers kept files from being removed; the
    next compaction does it."""

    segments: int = 0
    rows: int = 0
    made: int = 0
    merged: int = 0
    expired: int = 0
    torn: dict[str, int] = field(default_factory=dict)
    waiting: bool = False


class Tell:
    """Tells the ledger what it has still to be told. Without a ledger it waits in `parts.json`."""

    def __init__(self, folder: Path, store: Store | None, clock: Clock, actor: str) -> None:
        self._folder = folder
        self._store = store
        self._clock = clock
        self._actor = actor

    def __call__(self, counts: Parts) -> Parts:
        """Append the notes as events; raises as the store. Dying between the two tells them again: the same
        digests, which say nothing new."""
        if self._store is None or not counts.untold:
            return counts
        now = iso(self._clock())
        self._store.append([Draft(n.kind, n.subject, now, self._actor, n.payload) for n in counts.untold])
        done = replace(counts, untold=())
        commit(self._folder, done)
        return done


def compact(
    folder: Path,
    store: Store | None = None,
    *,
    keep_us: int | None = None,
    clock: Clock = system_clock,
    actor: str = "log",
    progress: Progress | None = None,
) -> Compacted:
    """Turn closed segments into parts, put small parts together, drop what is older than `keep_us`. A process
    that dies at any point of it leaves every entry counted once.

    Raises:
        StoreError: another process compacts or erases, or the medium refused.
        Corrupt: a segment or part is not what was written.
    """
    with changing(folder):
        tell = Tell(folder, store, clock, actor)
        counts = tell(load(folder))
        done = Compacted()
        counts, done = take(folder, counts, done, progress)
        today = iso(clock())[:10]
        counts, done = _merge(folder, counts, done, today)
        if keep_us is not None:
            oldest = micros(clock()) - keep_us
            counts, done = _expire(folder, counts, done, oldest)
        tell(counts)
        return replace(done, waiting=not sweep(folder, patience=_PATIENCE))


def take(
    folder: Path, counts: Parts, done: Compacted, progress: Progress | None = None
) -> tuple[Parts, Compacted]:
    """Make parts of all segments that are closed, some at a time."""
    from headrace.logs.rewrite import added, write_parts

    closed = [p for p in fresh_segments(folder, counts) if not is_open(p)]
    torn: dict[str, int] = {}

    def told(path: Path, lost: int) -> None:
        torn[path.name] = lost

    for batch in _batches(closed):
        tables = [t for path in batch for t in segment_tables(path, told)]
        parts = write_parts(folder, tables)
        names = tuple(p.name for p in batch)
        lost = {n: torn[n] for n in names if n in torn}
        counts = replace(
            counts,
            parts=(*counts.parts, *parts),
            taken=(*counts.taken, *names),
            recent=(*counts.recent, *names)[-RECENT:],
            untold=(*counts.untold, *(added(p, (), names, lost) for p in parts)),
        )
        commit(folder, counts)
        rows = sum(p.rows for p in parts)
        done = replace(
            done, segments=done.segments + len(batch), rows=done.rows + rows, made=done.made + len(parts)
        )
        if progress is not None:
            progress("segments", done.segments, len(closed))
    return counts, replace(done, torn={**done.torn, **torn})


def _batches(closed: Sequence[Path]) -> list[list[Path]]:
    batches: list[list[Path]] = []
    room = 0
    for path in closed:
        size = size_of(path)
        if size > room or not batches:
            batches.append([])
            room = ROUND
        batches[-1].append(path)
        room -= size
    return batches


def segment_tables(path: Path, torn: Torn | None = None) -> list[pa.Table]:
    """A segment's entries as tables."""
    from headrace.logs.columns import to_table

    tables: list[pa.Table] = []
    chunk: list[Answered] = []
    for entry in of_segment(path, torn=torn):
        chunk.append(entry)
        if len(chunk) == CHUNK:
            tables.append(to_table(chunk, path.name))
            chunk = []
    return [*tables, to_table(chunk, path.name)] if chunk else tables


def _merge(folder: Path, counts: Parts, done: Compacted, today: str) -> tuple[Parts, Compacted]:
    """Put small parts of one day and route together."""
    from headrace.logs.rewrite import added, write_parts

    def key(part: Part) -> tuple[str, str]:
        return part.day, part.route

    for (day, _), group in groupby(sorted(counts.parts, key=lambda p: (*key(p), p.first)), key):
        small = [p for p in group if p.rows < SMALL_ROWS]
        while len(small) >= (2 if day < today else MANY):
            chosen = _some(small)
            small = small[len(chosen) :]
            if len(chosen) < 2:
                continue
            new = write_parts(folder, [t for p in chosen for t in part_tables(folder, p)])
            counts = replace(
                counts,
                parts=(*(p for p in counts.parts if p not in chosen), *new),
                untold=(*counts.untold, *(added(p, chosen) for p in new)),
            )
            commit(folder, counts)
            done = replace(done, merged=done.merged + len(chosen))
    return counts, done


def _some(small: Sequence[Part]) -> list[Part]:
    """The first parts that together are not too large; at least one."""
    chosen, rows = [small[0]], small[0].rows
    for part in small[1:]:
        if rows + part.rows > SMALL_ROWS:
            break
        chosen.append(part)
        rows += part.rows
    return chosen


def _expire(folder: Path, counts: Parts, done: Compacted, oldest: int) -> tuple[Parts, Compacted]:
    """Drop parts whose last answer is older. A part goes as a whole: a day stays until its end is too old."""
    old = [p for p in counts.parts if p.last < oldest]
    if not old:
        return counts, done
    rows = sum(p.rows for p in old)
    payload = {
        "before": oldest,
        "rows": rows,
        "digests": [p.digest for p in old],
        "first": min(p.first for p in old),
        "last": max(p.last for p in old),
    }
    counts = replace(
        counts,
        parts=tuple(p for p in counts.parts if p not in old),
        untold=(*counts.untold, Note("log.expired", "log", payload)),
    )
    commit(folder, counts)
    return counts, replace(done, expired=done.expired + rows)


def sweep(folder: Path, *, patience: float = 0.0) -> bool:
    """Remove what does not count: taken segments, parts that nobody names, what dead processes left. For
    whoever holds `changing`. False where readers held on to it."""
    counts = load(folder)
    named = {p.file for p in counts.parts}
    taken = frozenset(counts.taken)
    segments = folder / SEGMENTS
    here = list(segments.iterdir()) if segments.is_dir() else []
    gone = [p for p in here if p.name in taken or (p.suffix == ".new" and _left(p))]
    gone += [
        p for p in (folder / FOLDER).glob("*/*/*.parquet") if p.relative_to(folder).as_posix() not in named
    ]
    if gone and not remove(folder, gone, patience=patience):
        return False
    if taken:
        commit(folder, replace(counts, taken=()))
    return True


def _left(path: Path) -> bool:
    """Whether a segment in the making was left by a process that died."""
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED and not is_open(path)
    except FileNotFoundError:
        return False
