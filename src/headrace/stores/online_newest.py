"""Rows of lookups, one by one, clustered by key and time; and of each key the newest once more, apart.

Most who ask, ask about now: then the newest row of a key is the answer, if all rows of the key were known by
that moment (`seen` is when the last of them was). The table of newest rows is small: a hundred keys are found
there in two thirds of the time that a hundred searches through all rows take. Where the first key has rows
that were known later than asked, the question is about the past, and most likely of the other keys too: then
all of them are searched for, which answers for any moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain

import msgspec

from headrace.core.online import Found
from headrace.core.schema import NULL_TIME

Row = tuple[int, bytes, int, int, int, bytes]
"""Stream, key, on, known, position and payload."""

_ASKS = 400  # of one statement
_OF_KEY = (
    'WHERE stream = {} AND key = {} AND "on" <= {} AND known <= {} '
    'ORDER BY "on" DESC, known DESC, pos DESC LIMIT 1'
)
_ONE = "SELECT payload FROM row " + _OF_KEY.format(*"????")
_EACH = f"SELECT (SELECT payload FROM row {_OF_KEY.format('?1', 'q.k', 'q.m', 'q.m')}) FROM q"
_EACH_AT = f"SELECT (SELECT payload FROM row {_OF_KEY.format('?1', 'q.k', '?2', '?2')}) FROM q"
_SEEN = "SELECT seen FROM latest WHERE stream = ? AND key = ?"
_LATEST = "SELECT key, payload, seen FROM latest WHERE stream = ? AND key IN ({})"
_ADD = "INSERT OR IGNORE INTO row VALUES (?,?,?,?,?,?)"
_ADD_LATEST = (
    "INSERT INTO latest VALUES (?1,?2,?3,?4,?5,?6,?4) "
    "ON CONFLICT DO UPDATE SET seen = max(seen, excluded.seen)"
)
_REPLACE_LATEST = (
    'UPDATE latest SET "on" = ?3, known = ?4, pos = ?5, payload = ?6 '
    'WHERE stream = ?1 AND key = ?2 AND ("on", known, pos) < (?3, ?4, ?5)'
)
_NOBODY = (b"", NULL_TIME)
_NO_ROW = (None, NULL_TIME)

# A row's payload, with its times in it: a subquery gives one column alone.
_packed = msgspec.msgpack.Encoder().encode
_found = msgspec.msgpack.Decoder(Found).decode
_list_found = msgspec.msgpack.Decoder(list[Found]).decode


def read_newest(db: sqlite3.Connection, stream: int, asks: Sequence[tuple[bytes, int]]) -> list[Found | None]:
    """For each key and moment the newest row that was known then."""
    if len(asks) == 1:
        ((key, moment),) = asks
        one = db.execute(_ONE, (stream, key, moment, moment)).fetchone()
        return [None if one is None else _found(one[0])]
    answers: list[Found | None] = []
    for start in range(0, len(asks), _ASKS):
        answers += _many(db, stream, asks[start : start + _ASKS])
    return answers


def _many(db: sqlite3.Connection, stream: int, asks: Sequence[tuple[bytes, int]]) -> list[Found | None]:
    seen = db.execute(_SEEN, (stream, asks[0][0])).fetchone()
    if seen is not None and seen[0] > asks[0][1]:
        return _searched(db, stream, asks)
    # Few sizes of statement, so that each is prepared once; what is asked too much finds nothing.
    spare = _size(len(asks)) - len(asks)
    keys = [key for key, _ in asks]
    rows = db.execute(_latest(len(asks) + spare), (stream, *keys, *[b""] * spare))
    newest = {key: (payload, seen) for key, payload, seen in rows}
    packed: list[bytes | None] = []
    earlier = []
    for i, (key, moment) in enumerate(asks):
        payload, seen = newest.get(key, _NO_ROW)
        packed.append(payload if seen <= moment else None)
        if seen > moment:
            earlier.append(i)
    answers = _all_found(packed)
    if earlier:
        for i, found in zip(earlier, _searched(db, stream, [asks[i] for i in earlier]), strict=True):
            answers[i] = found
    return answers


def _searched(db: sqlite3.Connection, stream: int, asks: Sequence[tuple[bytes, int]]) -> list[Found | None]:
    """The same, of moments at which not all rows of the key were known."""
    size, moment = _size(len(asks)), asks[0][1]
    if all(m == moment for _, m in asks):
        values = [stream, moment, *(k for k, _ in asks), *[b""] * (size - len(asks))]
        rows = db.execute(_search_at(size), values).fetchall()
    else:
        values = [stream, *chain.from_iterable(asks), *_NOBODY * (size - len(asks))]
        rows = db.execute(_search(size), values).fetchall()
    return _all_found([r[0] for r in rows[: len(asks)]])


def _all_found(packed: Sequence[bytes | None]) -> list[Found | None]:
    """Rows unpacked: as one list, which takes two thirds of the time of one by one."""
    some = [p for p in packed if p is not None]
    found = _list_found(b"\xdd" + len(some).to_bytes(4, "big") + b"".join(some))
    if len(some) == len(packed):
        return [*found]
    each = iter(found)
    return [None if p is None else next(each) for p in packed]


def _size(asks: int) -> int:
    return -(-asks // 4) * 4 if asks <= 32 else -(-asks // 20) * 20


@cache
def _latest(size: int) -> str:
    return _LATEST.format(",".join("?" * size))


@cache
def _search(size: int) -> str:
    marks = ",".join(f"(?{2 * i + 2},?{2 * i + 3})" for i in range(size))
    return f"WITH q(k, m) AS (VALUES {marks}) {_EACH}"


@cache
def _search_at(size: int) -> str:
    marks = ",".join(f"(?{i + 3})" for i in range(size))
    return f"WITH q(k) AS (VALUES {marks}) {_EACH_AT}"


def add_newest(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Put rows where they belong. Those that are there already change nothing."""
    packed = [(*row[:5], _packed((row[5], row[2], row[3]))) for row in rows]
    db.executemany(_ADD, packed)
    db.executemany(_ADD_LATEST, packed)
    db.executemany(_REPLACE_LATEST, packed)
