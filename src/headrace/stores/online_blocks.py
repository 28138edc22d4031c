"""Rows of windows, in blocks: up to 128 rows of a key, four 64-bit numbers each (on, known, position, cell),
in the order of the first three. A block lies under its first row's; blocks of a key don't overlap.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MOST = 128
"""Rows of a block: 4 KB."""

WIDTH = 4
_TIMES = struct.Struct("<qqq")
_ROW = 8 * WIDTH

# Rows of `on = start` may be the last of a block that begins before it.
_BETWEEN = (
    'SELECT rows FROM block WHERE stream = ?1 AND key = ?2 AND "on" < ?4 AND "on" >= coalesce('
    '(SELECT "on" FROM block WHERE stream = ?1 AND key = ?2 AND "on" < ?3 ORDER BY "on" DESC LIMIT 1), ?3) '
    'ORDER BY "on", known, pos'
)
_FIRSTS = 'SELECT "on", known, pos FROM block WHERE stream = ? AND key = ? ORDER BY "on", known, pos'
_LAST = (
    'SELECT "on", known, pos, rows FROM block WHERE stream = ? AND key = ? '
    'ORDER BY "on" DESC, known DESC, pos DESC LIMIT 1'
)
_ONE = 'SELECT rows FROM block WHERE stream = ? AND key = ? AND "on" = ? AND known = ? AND pos = ?'
_REMOVE = 'DELETE FROM block WHERE stream = ? AND key = ? AND "on" = ? AND known = ? AND pos = ?'
_KEEP = "INSERT OR REPLACE INTO block VALUES (?,?,?,?,?,?)"


def read_rows(db: sqlite3.Connection, stream: int, key: bytes, start: int, moment: int) -> Ints:
    """The rows [n, 4] with `start <= on` and `known < moment` (and so `on < moment`)."""
    found = db.execute(_BETWEEN, (stream, key, start, moment)).fetchall()
    data = found[0][0] if len(found) == 1 else b"".join([f[0] for f in found])
    rows: Ints = np.frombuffer(data, np.int64).reshape(-1, WIDTH)
    if not len(rows):
        return rows
    rows = rows[rows[:, 0].searchsorted(start) :]
    in_time = (rows[:, 1] < moment).nonzero()[0]
    return rows if len(in_time) == len(rows) else rows.take(in_time, axis=0)


def add_rows(
    db: sqlite3.Connection, stream: int, key: bytes, rows: Sequence[tuple[int, int, int, bytes]]
) -> None:
    """Put rows (on, known, position, cell) where they belong. Those that are there already change nothing."""
    rows = sorted(rows)
    packed = b"".join([_TIMES.pack(*row[:3]) + row[3] for row in rows])
    last = db.execute(_LAST, (stream, key)).fetchone()
    if last is None or rows[0][:3] > _TIMES.unpack_from(last[3], len(last[3]) - _ROW):
        # Behind all that is there, as facts come mostly: no block is taken apart.
        _append(db, stream, key, packed if last is None else last[3] + packed)
        return
    new = np.frombuffer(packed, np.int64).reshape(-1, WIDTH)
    firsts = db.execute(_FIRSTS, (stream, key)).fetchall()
    for block, part in _parted(firsts, new):
        if block is None:
            _keep(db, stream, key, part, appended=True)
            continue
        (data,) = db.execute(_ONE, (stream, key, *block)).fetchone()
        old = np.frombuffer(data, np.int64).reshape(-1, WIDTH)
        merged = _merged(old, part)
        if len(merged) == len(old):
            continue
        if tuple(merged[0, :3].tolist()) != tuple(block):
            db.execute(_REMOVE, (stream, key, *block))
        _keep(db, stream, key, merged, appended=tuple(part[0, :3]) > tuple(old[-1, :3]))


def _append(db: sqlite3.Connection, stream: int, key: bytes, data: bytes) -> None:
    """Rows in order as full blocks, and one more; the first may be there already."""
    size = MOST * _ROW
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    for part in parts:
        db.execute(_KEEP, (stream, key, *_TIMES.unpack_from(part), part))


def _sorted(rows: Ints) -> Ints:
    return rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]


def _parted(
    firsts: Sequence[tuple[int, int, int]], rows: Ints
) -> list[tuple[tuple[int, int, int] | None, Ints]]:
    """Sorted rows by the block that they belong to; None where there is no block yet."""
    if not firsts:
        return [(None, rows)]
    parts: list[tuple[tuple[int, int, int] | None, Ints]] = []
    begin, block = 0, 0
    for i, row in enumerate(rows[:, :3].tolist()):
        at = block
        while at + 1 < len(firsts) and tuple(row) >= tuple(firsts[at + 1]):
            at += 1
        if at != block and i > begin:
            parts.append((firsts[block], rows[begin:i]))
            begin = i
        block = at
    parts.append((firsts[block], rows[begin:]))
    return parts


def _merged(old: Ints, new: Ints) -> Ints:
    """Both in order, rows of equal (on, known, position) once: the old one."""
    rows = _sorted(np.concatenate([old, new]))  # a stable sort: the old one first
    double = np.zeros(len(rows), np.bool_)
    double[1:] = (rows[1:, :3] == rows[:-1, :3]).all(axis=1)
    return rows[~double]


def _keep(db: sqlite3.Connection, stream: int, key: bytes, rows: Ints, *, appended: bool) -> None:
    """Rows as blocks: full ones where they were appended, as more will come behind them; else halves."""
    size = MOST if appended or len(rows) <= MOST else (len(rows) + 1) // (1 + len(rows) // MOST)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        db.execute(_KEEP, (stream, key, *part[0, :3].tolist(), part.tobytes()))
