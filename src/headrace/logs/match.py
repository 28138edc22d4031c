"""Which prediction a label is about that was sent by inputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from headrace.core.sql import quoted
from headrace.logs.label_tables import label_tables
from headrace.logs.labels import Label, LabelBook
from headrace.logs.query import Opened, Select, Told, ask, opened

_LARGEST = 1 << 63
_JSON = "as JSON"


@dataclass(frozen=True)
class Matched:
    """How waiting labels fared: those matched with a prediction now; those whose inputs no prediction has;
    those whose inputs several have. The latter two stay and are tried again."""

    matched: int = 0
    unknown: int = 0
    ambiguous: int = 0


def matched_query(folder: Path, book: LabelBook, sql: Select, *, until: int | None = None) -> Told:
    """Match what waits, then ask one SELECT (see `logs.query`); the log is opened once. With `until` (UTC
    microseconds) labels that had arrived then.

    Raises:
        UserError: it is no single SELECT, or DuckDB refuses it.
        StoreError: the log or the labels can't be read or written.
    """
    with opened(folder) as log:
        _match(log, book, book.waiting())
        return ask(log.db, sql, label_tables(book.labels(until=until)))


def match(folder: Path, book: LabelBook) -> Matched:
    """Find the predictions whose inputs waiting labels name. A shadow's answers are none: they have the label
    of the answer that was returned. Numbers match numbers however they are spelled, times too; other texts
    letter by letter.

    Raises:
        StoreError: the log or the labels can't be read or written.
    """
    waiting = book.waiting()
    if not waiting:
        return Matched()
    with opened(folder) as log:
        return _match(log, book, waiting)


def _match(log: Opened, book: LabelBook, waiting: Sequence[Label]) -> Matched:
    if not waiting:
        return Matched()
    groups: dict[tuple[str, ...], list[Label]] = defaultdict(list)
    for label in waiting:
        groups[tuple(sorted(label.inputs or {}))].append(label)
    found: dict[int, str] = {}
    ambiguous = 0
    kinds = {r[0]: r[1] for r in log.db.execute("DESCRIBE predictions").fetchall()}
    kinds |= dict.fromkeys(log.as_json, _JSON)
    for names, labels in groups.items():
        if all(f"input_{n}" in kinds for n in names):
            one, several = _find(log.db, names, labels, kinds)
            found |= one
            ambiguous += several
    book.match(found)
    return Matched(len(found), len(waiting) - len(found) - ambiguous, ambiguous)


def _find(
    db: duckdb.DuckDBPyConnection, names: Sequence[str], labels: Sequence[Label], kinds: dict[str, str]
) -> tuple[dict[int, str], int]:
    """Prediction by label number where there is exactly one; and for how many labels there are several."""
    asked: dict[str, Any] = {"number": pa.array([label.number for label in labels], pa.int64())}
    for i, name in enumerate(names):
        values = [(label.inputs or {}).get(name) for label in labels]
        asked[f"k{i}"] = pa.array([None if v is None else _text(v) for v in values], pa.string())
        numbers = [_number(v) for v in values]
        asked[f"w{i}"] = pa.array([whole for whole, _ in numbers], pa.int64())
        asked[f"d{i}"] = pa.array([double for _, double in numbers], pa.float64())
    db.register("asked", pa.table(asked))
    equal = " AND ".join(_equal(i, f"input_{n}", kinds[f"input_{n}"]) for i, n in enumerate(names))
    rows = db.execute(
        f"SELECT number, min(p.id), count(DISTINCT p.id) FROM asked JOIN predictions p ON {equal} "
        "WHERE p.shadow_of = '' GROUP BY number"
    ).fetchall()
    db.unregister("asked")
    return {n: i for n, i, count in rows if count == 1}, sum(count > 1 for _, _, count in rows)


def _equal(i: int, column: str, kind: str) -> str:
    """The condition that the i-th of a label's inputs says what a column holds: equations, which can be
    joined by their hashes. Nothing but null says null."""
    name = f"p.{quoted(column)}"
    told = {"BIGINT": f"w{i}", "DOUBLE": f"d{i}", "BOOLEAN": f"TRY_CAST(k{i} AS BOOLEAN)"}.get(kind)
    if told is not None:
        return f"{told} IS NOT DISTINCT FROM {name} AND (k{i} IS NULL) = ({name} IS NULL)"
    if kind == _JSON:
        return f"{_plainest(f'k{i}')} IS NOT DISTINCT FROM {_plainest(_unquoted(name))}"
    one, other = (f"coalesce({_moment(x)}, {x})" for x in (f"k{i}", f"CAST({name} AS VARCHAR)"))
    return f"{one} IS NOT DISTINCT FROM {other}"


def _moment(text: str) -> str:
    return f"CAST(TRY_CAST({text} AS TIMESTAMP) AS VARCHAR)"


def _plainest(text: str) -> str:
    """One spelling of what may be a time, a number or another text."""
    whole = f"CASE WHEN regexp_full_match({text}, '-?[0-9]+') THEN {text} END"
    number = f"regexp_replace(CAST(TRY_CAST({text} AS DOUBLE) AS VARCHAR), '[.]0$', '')"
    return f"coalesce({_moment(text)}, {whole}, {number}, {text})"


def _unquoted(json: str) -> str:
    """The text of a JSON text that has no quotes or backslashes in it; what is none stays as it is."""
    inner = f"substring({json}, 2, length({json}) - 2)"
    return f'CASE WHEN regexp_full_match({json}, \'"[^"\\\\]*"\') THEN {inner} ELSE {json} END'


def _number(value: str | float | bool | None) -> tuple[int | None, float | None]:
    """The number that a value is, however it is spelled: as a whole one of 64 bits, and as a double. A double
    can't tell whole numbers above 2^53 from their neighbours."""
    if value is None or isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        return None, None
    try:
        number = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        return None, None
    if not number.is_finite():
        return None, None
    small = -_LARGEST <= number < _LARGEST
    whole = int(number) if small and number == number.to_integral_value() else None
    return whole, float(number)


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
