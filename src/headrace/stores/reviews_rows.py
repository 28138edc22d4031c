"""What the review queue does to rows of its tables, inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from headrace.core.errors import DataError
from headrace.core.review import TRAFFIC, Item, Label, Remark, Reviewed, Said, State

STATES = (State.OPEN, State.DECIDED, State.EXPIRED)
_OPEN, _DECIDED, _EXPIRED = range(3)
NEVER = 2**62
_ASKS = 400  # items of one query
ROW = "number, state, wanted, made, held, due, decision, settled, body"
encode = msgspec.json.encode
body_of = msgspec.json.Decoder(Item).decode
label_of = msgspec.json.Decoder(Label).decode

Row = tuple[int, int, int, int, int, int, str | None, int, bytes]


def sent(db: sqlite3.Connection, start: int) -> tuple[int, int]:
    """Seats that were sent, and refused, in the period that began at `start`."""
    row = db.execute("SELECT seats, refused FROM sent WHERE start = ?", (start,)).fetchone()
    return row or (0, 0)


def note(db: sqlite3.Connection, start: int, seats: int, refused: int) -> None:
    """Write them down."""
    db.execute("INSERT OR REPLACE INTO sent VALUES (?,?,?)", (start, seats, refused))


def waiting(db: sqlite3.Connection, now: int) -> int:
    """Seats of traffic's items that no decision was made for, and that are not due."""
    query = "SELECT coalesce(sum(wanted - made), 0) FROM item WHERE state = 0 AND source = ? AND due > ?"
    return int(db.execute(query, (TRAFFIC, now)).fetchone()[0])


def free(db: sqlite3.Connection, now: int) -> None:
    """Free the seats whose lease has ended."""
    ended = db.execute(
        "SELECT item, reviewer FROM seat WHERE decision IS NULL AND until <= ?", (now,)
    ).fetchall()
    for item, reviewer in ended:
        db.execute("DELETE FROM seat WHERE item = ? AND reviewer = ?", (item, reviewer))
        db.execute("UPDATE item SET held = held - 1 WHERE number = ?", (item,))


def settle_due(db: sqlite3.Connection, now: int) -> int:
    """Settle what is due: by what everybody said that decided; how many expired, for lack of that."""
    due = db.execute(f"SELECT {ROW} FROM item WHERE state = 0 AND due <= ?", (now,)).fetchall()
    expired = 0
    for row in due:
        told = set(_decisions(db, row[0]))
        expired += len(told) != 1
        _end(db, row[0], *((_DECIDED, told.pop()) if len(told) == 1 else (_EXPIRED, None)), at=row[5])
    return expired


def settle(db: sqlite3.Connection, row: Row, now: int) -> None:
    """Settle an item that has all its decisions; ask a third where the first two differ."""
    number, _, wanted, made = row[:4]
    if made < wanted:
        return
    told = _decisions(db, number)
    if len(told) == 2 and told[0] != told[1]:
        db.execute("UPDATE item SET wanted = 3 WHERE number = ?", (number,))
        return
    _end(db, number, _DECIDED, told[-1], at=now)


def _decisions(db: sqlite3.Connection, number: int) -> list[str]:
    """The decisions of an item, in their order."""
    query = "SELECT decision FROM seat WHERE item = ? AND decision IS NOT NULL ORDER BY place"
    return [d for (d,) in db.execute(query, (number,))]


def _end(db: sqlite3.Connection, number: int, state: int, decision: str | None, *, at: int) -> None:
    db.execute(
        "UPDATE item SET state = ?, decision = ?, settled = ?, held = 0 WHERE number = ?",
        (state, decision, at, number),
    )
    db.execute("DELETE FROM seat WHERE item = ? AND decision IS NULL", (number,))


def mine(db: sqlite3.Connection, row: Row, reviewer: str) -> bool:
    """Whether a reviewer holds a seat of an item."""
    query = "SELECT 1 FROM seat WHERE item = ? AND reviewer = ? AND decision IS NULL"
    return db.execute(query, (row[0], reviewer)).fetchone() is not None


def require_seat(db: sqlite3.Connection, row: Row, reviewer: str) -> None:
    """An item has a seat for a reviewer who holds none.

    Raises:
        DataError: it is settled, or they decided it, or others hold it.
    """
    item = body_of(row[8])
    if row[1] != _OPEN:
        told = "was decided" if row[1] == _DECIDED else "expired: its deadline has passed"
        stands = {"model": "the model's answer stands", "none": "it stays without an answer"}[item.stands]
        raise DataError(
            f"{item.id} {told}", why="" if row[1] == _DECIDED else stands, fix="take the next one"
        )
    if db.execute("SELECT 1 FROM seat WHERE item = ? AND reviewer = ?", (row[0], reviewer)).fetchone():
        raise DataError(
            f"{reviewer} has decided {item.id} already",
            why="two people are to decide it" if row[2] > 1 else "",
            fix="leave it to somebody else",
        )
    if row[3] + row[4] >= row[2]:
        raise DataError(
            f"{item.id} is held by somebody else", why="nobody decides it twice", fix="take the next one"
        )


def sit(db: sqlite3.Connection, row: Row, reviewer: str, until: int) -> None:
    """Give a reviewer a free seat, or a longer lease of theirs."""
    if mine(db, row, reviewer):
        db.execute("UPDATE seat SET until = ? WHERE item = ? AND reviewer = ?", (until, row[0], reviewer))
        return
    db.execute("INSERT INTO seat VALUES (?,?,0,?,NULL,0)", (row[0], reviewer, until))
    db.execute("UPDATE item SET held = held + 1 WHERE number = ?", (row[0],))


def remark(db: sqlite3.Connection, number: int, reviewer: str, now: int, text: str) -> None:
    db.execute(
        "INSERT INTO remark (item, reviewer, at, said) VALUES (?,?,?,?)",
        (number, reviewer, now, text.strip()),
    )


def fitting(item: Item, decision: Label) -> Label:
    """The decision as one of the item's choices, or a finite number.

    Raises:
        DataError: it is neither.
    """
    if item.choices:
        for choice in item.choices:
            if choice == decision and isinstance(choice, bool) == isinstance(decision, bool):
                return choice
        named = {str(c).lower(): c for c in item.choices}
        if isinstance(decision, str) and decision.strip().lower() in named:
            return named[decision.strip().lower()]
        raise DataError(
            f"{decision!r} is no answer to {item.id}",
            where="decision",
            fix=f"decide {' or '.join(map(str, item.choices))}",
        )
    try:
        number = float(decision)
    except ValueError:
        number = float("nan")
    if isinstance(decision, bool) or number - number != 0.0:
        raise DataError(f"{decision!r} is no number", where="decision", fix="decide a number")
    return number


def unknown(name: str) -> DataError:
    """No item has this id."""
    return DataError(f"there is no item {name!r}", where="id", fix="`headrace review list` shows them")


def named(db: sqlite3.Connection, name: str) -> Row:
    row = db.execute(f"SELECT {ROW} FROM item WHERE id = ?", (name,)).fetchone()
    if row is None:
        raise unknown(name)
    found: Row = row
    return found


def numbered(db: sqlite3.Connection, number: int) -> Row:
    found: Row = db.execute(f"SELECT {ROW} FROM item WHERE number = ?", (number,)).fetchone()
    return found


def reviewed(db: sqlite3.Connection, row: Row) -> Reviewed:
    """A row of an item with what was said of it."""
    return reviewed_all(db, [row])[0]


def reviewed_all(db: sqlite3.Connection, rows: Sequence[Row]) -> list[Reviewed]:
    """Rows of items with what was said of them: two queries for every 400."""
    said: dict[int, list[Said]] = {}
    remarks: dict[int, list[Remark]] = {}
    for start in range(0, len(rows), _ASKS):
        numbers = [row[0] for row in rows[start : start + _ASKS]]
        those = f"item IN ({','.join('?' * len(numbers))})"
        for number, who, until, made, at in db.execute(
            f"SELECT item, reviewer, until, decision, at FROM seat WHERE {those}"
            " ORDER BY item, decision IS NULL, place",
            numbers,
        ):
            told = Said(who, until, None if made is None else label_of(made), at)
            said.setdefault(number, []).append(told)
        for number, who, at, text in db.execute(
            f"SELECT item, reviewer, at, said FROM remark WHERE {those} ORDER BY number", numbers
        ):
            remarks.setdefault(number, []).append(Remark(who, at, text))
    return [
        Reviewed(
            body_of(body),
            STATES[state],
            None if decision is None else label_of(decision),
            settled,
            tuple(said.get(number, ())),
            tuple(remarks.get(number, ())),
        )
        for number, state, _, _, _, _, decision, settled, body in rows
    ]
