"""From an alert back into the work: its rows, what people say of them, and the run that mends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.core.clock import from_micros, micros
from headrace.core.errors import UserError
from headrace.core.review import Item, Label
from headrace.core.sql import quoted, sql_text
from headrace.core.task import labels
from headrace.core.watching import AlertView
from headrace.engine.context import Caused
from headrace.project.alerting import Alerting
from headrace.project.reviewing import Reviewing, write_rows

_MOST = 100_000
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
        return self._rows(self.alert(name), everywhere, most)

    def alert_export(self, name: str, file: str | Path, **which: Any) -> int:
        """Write what `alert_rows` gives to a CSV or JSON-lines file. Returns how many rows there are.

        Raises:
            UserError: the file has another ending, or can't be written.
        """
        return write_rows(file, lambda: self.alert_rows(name, **which), "rows", ["id"])

    def alert_review(self, name: str, *, most: int = 50, everywhere: bool = False) -> list[str]:
        """Send rows of an alert that have no label yet to people: what they decide are labels of these
        answers. Returns the items' ids; rows that are in the queue already are not sent again.

        Raises:
            NotFound: as `alert`.
            UserError: no row is without a label.
        """
        alert = self.alert(name)
        rows = self._rows(alert, everywhere, most, "label IS NULL")
        if not rows:
            raise UserError(
                f"no row of the alert {alert.alert} is without its label",
                fix=f"train again: headrace run --because {alert.alert}",
            )
        classes = labels(self.release(alert.release)[1].serving.task)
        now = micros(self._clock())
        items = [_item(alert, row, classes, now) for row in rows]
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

    def _rows(
        self, alert: AlertView, everywhere: bool, most: int | None, *conditions: str
    ) -> list[dict[str, Any]]:
        found = None if everywhere else alert.why.get("found")

        def select(columns: Sequence[str]) -> str:
            where = " AND ".join([*_where(alert), *conditions, *_slice(found, columns)])
            some = f"__total <= {_MOST} OR __place = 0"  # one tells how many there are
            some = some if most is None else f"__place % ceil(__total / {most:d}) = 0"
            return (
                "SELECT * EXCLUDE (__place) FROM (SELECT count(*) OVER () AS __total,"
                f" row_number() OVER (ORDER BY time, id) - 1 AS __place, * FROM answered WHERE {where})"
                f" WHERE {some} ORDER BY __place"
            )

        told = self.log_query(select)
        if most is None and told.rows and told.rows[0][0] > _MOST:
            raise UserError(f"there are {told.rows[0][0]:,} rows", fix="say how many are wanted: --most 1000")
        return [dict(zip(told.names[1:], row[1:], strict=True)) for row in told.rows]


def _where(alert: AlertView) -> list[str]:
    """The conditions of an alert's windows."""
    first, last = (from_micros(m).strftime("%Y-%m-%d %H:%M:%S.%f") for m in (alert.since, alert.seen))
    return [
        f"release = {sql_text(alert.release)}",
        f"arm = {sql_text(alert.arm)}",
        f"time >= TIMESTAMP '{first}'",
        f"time < TIMESTAMP '{last}'",
    ]


def _slice(found: Mapping[str, Any] | None, names: Sequence[str]) -> list[str]:
    """The condition of a slice, as `watch.why.Found` has it; none where there is none, or the log can't
    tell."""
    if not found:
        return []
    column = next((n for n in (f"input_{found['of']}", f"filled_{found['of']}") if n in names), "")
    value = str(found["value"])
    if not column or value in ("other", "new"):
        return []
    name = quoted(column)
    if value == "null":
        return [f"{name} IS NULL"]
    ends = value.split(" to ")
    try:
        numbers = [float(e) for e in ends]
    except ValueError:
        return [f"CAST({name} AS VARCHAR) = {sql_text(value)}"]
    if len(numbers) == 2:
        return [f"TRY_CAST({name} AS DOUBLE) BETWEEN {numbers[0]!r} AND {numbers[1]!r}"]
    return [f"(TRY_CAST({name} AS DOUBLE) = {numbers[0]!r} OR CAST({name} AS VARCHAR) = {sql_text(value)})"]


def _item(alert: AlertView, row: Mapping[str, Any], choices: tuple[Label, ...], now: int) -> Item:
    inputs = {n.removeprefix("input_"): v for n, v in row.items() if n.startswith("input_") and v is not None}
    answer = {n: row[n] for n in _ANSWER if row.get(n) is not None}
    return Item(
        row["shadow_of"] or row["id"],  # labels are of the answer that was returned
        alert.release,
        {n: v if isinstance(v, str | int | float | bool) else str(v) for n, v in inputs.items()},
        {n: v if isinstance(v, str | int | float | bool) else str(v) for n, v in answer.items()},
        f"alert {alert.alert}: {alert.title}",
        now,
        choices=choices,
    )
