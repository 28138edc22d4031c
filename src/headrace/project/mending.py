"""From an alert back into the work: its rows, what people say of them, and the run that mends it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.core.clock import from_micros, micros
from headrace.core.errors import UserError
from headrace.core.review import Item
from headrace.core.watching import AlertView
from headrace.engine.context import Caused
from headrace.project.alerting import Alerting
from headrace.project.reviewing import Reviewing

_TOO_MANY = 100_000
_ANSWER = ("prediction", "probability", "lower", "upper")


class Mending(Reviewing, Alerting):
    """What is done about an alert by people."""

    def alert_rows(
        self, name: str, *, everywhere: bool = False, most: int | None = None
    ) -> list[dict[str, Any]]:
        """The answers of an alert's windows, with their labels as far as they are known, the oldest first:
        those of the slice that the change is in, where one was found.

        Args:
            name: of the alert.
            everywhere: all answers, whatever their slice.
            most: so many, evenly chosen over the time.

        Raises:
            NotFound: as `alert`.
            UserError: there are more than 100,000, and `most` does not say how many are wanted.
        """
        alert = self.alert(name)
        where = self._where(alert, everywhere)
        (count,) = self.log_query(f"SELECT count(*) FROM answered WHERE {where}").rows[0]
        if most is None and count > _TOO_MANY:
            raise UserError(f"there are {count:,} rows", fix="say how many are wanted: --most 1000")
        every = 1 if most is None or not most else max(1, -(-count // most))
        told = self.log_query(
            "SELECT * EXCLUDE (place) FROM (SELECT *, row_number() OVER (ORDER BY time, id) AS place"
            f" FROM answered WHERE {where}) WHERE (place - 1) % {every} = 0 ORDER BY place"
        )
        return [dict(zip(told.names, row, strict=True)) for row in told.rows]

    def alert_export(self, name: str, file: str | Path, **which: Any) -> int:
        """Write what `alert_rows` gives to a CSV or JSON-lines file. Returns how many rows there are.

        Raises:
            UserError: the file has another ending, or can't be written.
        """
        path = Path(file)
        if path.suffix not in (".csv", ".jsonl"):
            raise UserError(f"{path.name} is neither .csv nor .jsonl", fix="name the file so")
        rows = self.alert_rows(name, **which)
        try:
            with path.open("w", newline="", encoding="utf-8") as out:
                if path.suffix == ".csv":
                    writer = csv.DictWriter(out, list(rows[0]) if rows else ["id"])
                    writer.writeheader()
                    writer.writerows(rows)
                else:
                    out.writelines(json.dumps(row, default=str, ensure_ascii=False) + "\n" for row in rows)
        except OSError as error:
            why = error.strerror or str(error)
            raise UserError("the rows can't be written", where=str(path), why=why) from error
        return len(rows)

    def alert_review(self, name: str, *, most: int = 50, everywhere: bool = False) -> list[str]:
        """Send rows of an alert that have no label yet to people: what they decide are labels of these
        answers. Returns the items' ids; rows that are in the queue already are not sent again.

        Raises:
            NotFound: as `alert`.
            UserError: no row is without a label.
        """
        alert = self.alert(name)
        rows = [r for r in self.alert_rows(name, everywhere=everywhere) if r.get("label") is None]
        if not rows:
            raise UserError(
                f"every row of the alert {alert.alert} has its label", fix="train again: headrace run"
            )
        step = max(1, -(-len(rows) // most))
        classes = self.release(alert.release)[1].serving.task.classes
        now = micros(self._clock())
        items = [_item(alert, row, classes, now) for row in rows[::step]]
        queue = self.reviews()
        new = [i for i in items if queue.get(i.id) is None]
        queue.put(new)
        return [i.id for i in new]

    def because(self, name: str) -> Caused:
        """What a run is told that mends an alert: its name says so.

        Raises:
            NotFound: as `alert`.
        """
        alert = self.alert(name)
        return Caused(f"mend {alert.title}", "", alert.alert)

    def _where(self, alert: AlertView, everywhere: bool) -> str:
        first, last = (from_micros(m).strftime("%Y-%m-%d %H:%M:%S.%f") for m in (alert.since, alert.seen))
        told = [
            f"release = {_text(alert.release)}",
            f"arm = {_text(alert.arm)}",
            f"time >= TIMESTAMP '{first}'",
            f"time < TIMESTAMP '{last}'",
        ]
        found = alert.why.get("found")
        if found and not everywhere:
            told.append(_slice(found, self.log_query("SELECT * FROM predictions LIMIT 0").names))
        return " AND ".join(t for t in told if t)


def _slice(found: Mapping[str, Any], names: Sequence[str]) -> str:
    """The condition of a slice, as `watch.why.Found` has it; empty where the log can't tell."""
    column = next((n for n in (f"input_{found['of']}", f"filled_{found['of']}") if n in names), "")
    value = str(found["value"])
    if not column or value in ("other", "new"):
        return ""
    quoted = '"' + column.replace('"', '""') + '"'
    if value == "null":
        return f"{quoted} IS NULL"
    ends = value.split(" to ")
    try:
        numbers = [float(e) for e in ends]
    except ValueError:
        return f"CAST({quoted} AS VARCHAR) = {_text(value)}"
    if len(numbers) == 2:
        return f"TRY_CAST({quoted} AS DOUBLE) BETWEEN {numbers[0]!r} AND {numbers[1]!r}"
    return f"(TRY_CAST({quoted} AS DOUBLE) = {numbers[0]!r} OR CAST({quoted} AS VARCHAR) = {_text(value)})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _item(alert: AlertView, row: Mapping[str, Any], classes: Sequence[Any], now: int) -> Item:
    inputs = {n.removeprefix("input_"): v for n, v in row.items() if n.startswith("input_") and v is not None}
    answer = {n: row[n] for n in _ANSWER if row.get(n) is not None}
    return Item(
        str(row["id"]),
        alert.release,
        {n: v if isinstance(v, str | int | float | bool) else str(v) for n, v in inputs.items()},
        {n: v if isinstance(v, str | int | float | bool) else str(v) for n, v in answer.items()},
        f"alert {alert.alert}: {alert.title}",
        now,
        choices=tuple(classes),
    )
