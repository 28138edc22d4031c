"""Erasing what is about somebody: from parts, segments and labels, with a tombstone in the ledger.

The tombstone says how many rows went, from which files, and a slow salted hash of who it was: whoever knows
the name can show that it was erased, nobody reads it there. A name with few possible values (a number of six
digits) can be found by trying them all. Files are unlinked, not overwritten; copies elsewhere are not
reached.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.core.clock import Clock, system_clock
from headrace.core.errors import StoreError
from headrace.core.ports import Store
from headrace.core.spelled import spelled
from headrace.logs.columns import FILLED, INPUT, plain_values, true_name
from headrace.logs.compact import Compacted, Tell, sweep, take
from headrace.logs.labels import LabelBook
from headrace.logs.match import match
from headrace.logs.parts import Note, Part, Parts, changing, commit, load
from headrace.logs.read import fresh_segments, part_tables
from headrace.logs.rewrite import write_parts
from headrace.logs.segment import ask_to_rotate, is_open

_ROUNDS = 200_000
_PATIENCE = 10.0
_STEP = 0.05


@dataclass(frozen=True)
class Subject:
    """Whom to erase: rows whose `column`, sent or filled in, has one of these values as text (the first is
    the name; others are how the log has it, hashed), and with `units` those drawn by one of them."""

    column: str
    values: tuple[str, ...]
    units: bool = False


@dataclass(frozen=True)
class Erased:
    """What went: rows, labels, and how many files were written anew. waiting: somebody was reading all the
    while, so that files that no longer count are still there; compacting later removes them."""

    rows: int = 0
    labels: int = 0
    parts: int = 0
    waiting: bool = False


def erase(
    folder: Path,
    subject: Subject,
    store: Store | None,
    book: LabelBook,
    *,
    clock: Clock = system_clock,
    actor: str = "log",
    patience: float = _PATIENCE,
) -> Erased:
    """Erase a subject from all that was answered before, also what buffered writers still held: all writers
    have to begin new segments first, whether theirs have entries or not. What they are given meanwhile may
    stay. Done again it finds nothing, and says nothing to the ledger.

    Raises:
        StoreError: another process compacts or erases; a writer does not let go of its segment within
            `patience` seconds, as when its disk has no room for what it was given; the medium refused.
            Whatever was done by then is sound: do it again.
        Corrupt: a part or segment is not what was written.
    """
    with changing(folder):
        tell = Tell(folder, store, clock, actor)
        counts = tell(load(folder))
        _settled(folder, counts, patience)
        counts, _ = take(folder, counts, Compacted())
        match(folder, book)  # labels that were sent by other inputs of theirs go, too
        holding = {p: ids for p in counts.parts if (ids := _ids(folder, p, subject))}
        ids = sorted({i for found in holding.values() for i in found})
        labels = book.erase(ids, subject.column, subject.values)
        new = [w for p in holding for w in write_parts(folder, _without(folder, p, subject))]
        rows = sum(p.rows for p in holding) - sum(p.rows for p in new)
        if rows or labels:
            kept = tuple(p for p in counts.parts if p not in holding)
            note = _tombstone(subject, rows, labels, list(holding), new)
            counts = replace(counts, parts=(*kept, *new), untold=(*counts.untold, note))
            commit(folder, counts)
        tell(counts)
        return Erased(rows, labels, len(holding), not sweep(folder, patience=patience))


def _settled(folder: Path, counts: Parts, patience: float) -> None:
    """Wait until all that was answered before is in closed segments.

    Twice: a segment's end says that what was answered before its beginning is written, as a writer writes all
    that waits between the two. So those that follow the ones that are open now have to end, too.
    """
    deadline = time.monotonic() + patience
    for _ in range(2):
        _closed(folder, counts, deadline)


def _closed(folder: Path, counts: Parts, deadline: float) -> None:
    """Wait until no segment is open that is now. Empty ones, too: their writer may hold answers in memory."""
    live = [p for p in fresh_segments(folder, counts) if is_open(p)]
    if not live:
        return
    ask_to_rotate(folder)
    while live := [p for p in live if is_open(p)]:
        if time.monotonic() > deadline:
            raise StoreError(
                "nothing was erased: a writer does not begin a new segment",
                where=str(live[0]),
                why="it hangs, or its disk has no room: answers that it holds can't be taken out",
                fix="free some space, or stop the process that writes it; then try again",
            )
        time.sleep(_STEP)


def _ids(folder: Path, part: Part, subject: Subject) -> list[str]:
    """The predictions in a part that are about the subject. Reads no other columns."""
    path = folder / part.file
    with pq.ParquetFile(path) as file:
        fields = [f.name for f in file.schema_arrow if _is_about(f, subject)]
        found: list[str] = []
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["id", "unit", *fields])
            about = _about(table, subject)
            found += [str(i) for i, mine in zip(table.column("id").to_pylist(), about, strict=True) if mine]
    return found


def _is_about(field: pa.Field[pa.DataType], subject: Subject) -> bool:
    return field.name.startswith((INPUT, FILLED)) and true_name(field) == subject.column


def _about(table: pa.Table, subject: Subject) -> list[bool]:
    """Which rows are about the subject."""
    about = np.zeros(table.num_rows, dtype=bool)
    fields = [f for f in table.schema if _is_about(f, subject)] + [table.schema.field("unit")] * subject.units
    for field in fields:
        values = plain_values(field, table.column(field.name))
        about |= np.array([v is not None and spelled(v) in subject.values for v in values], dtype=bool)
    return [bool(a) for a in about]


def _without(folder: Path, part: Part, subject: Subject) -> Sequence[pa.Table]:
    """A part's rows that stay."""

    def stay() -> Iterator[pa.Table]:
        for table in part_tables(folder, part):
            keep = table.filter(pa.array([not mine for mine in _about(table, subject)], pa.bool_()))
            if keep.num_rows:
                yield keep

    return list(stay())


def _tombstone(
    subject: Subject, rows: int, labels: int, before: Sequence[Part], after: Sequence[Part]
) -> Note:
    salt = secrets.token_hex(16)
    payload = {
        "column": subject.column,
        "salt": salt,
        "subject": fingerprint(salt, subject.values[0]),
        "rows": rows,
        "labels": labels,
        "before": [p.digest for p in before],
        "after": [p.digest for p in after],
    }
    return Note("log.erased", "log", payload)


def fingerprint(salt: str, name: str) -> str:
    """What a tombstone calls a subject: PBKDF2-HMAC-SHA256 (RFC 8018) of the name, 200,000 rounds, hex."""
    return hashlib.pbkdf2_hmac("sha256", name.encode(), bytes.fromhex(salt), _ROUNDS).hex()
