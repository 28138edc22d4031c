"""A history: an aggregate over the rows of a table that were known at the moment of prediction.

A row r of the table counts for an event with the moment m = time - lead where all of these hold:

- its columns `by` equal the event's, and none of them is null (without `by` every row does),
- it was known strictly before m: known(r) < m, where known(r) is the later of `on` and `known_at`,
  and both are there,
- it lies in the window: m - window <= on(r) (without a window every row does),
- `where` is true of it (not false, not null),
- the value that is aggregated is not null.

Rows are taken in the order of (on, known, position in the table). No row gives 0 to `count` and `distinct`,
and null to everything else. A row of the events table never sees itself: it is not known before its moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from headrace.core.clock import format_duration
from headrace.core.schema import Type

HISTORY = "history"
"""The prefix of raw columns that histories fill (`history.late_3h`), and so the name of no table."""

FUNCTIONS = (
    "count", "sum", "avg", "min", "max", "stddev", "share", "first", "last", "distinct", "quantile",
    "since_last",
)  # fmt: skip
"""What can be computed over rows: see `data.history.kernel`."""


@dataclass(frozen=True)
class History:
    """One history with one window. It fills the raw column `column`, and the feature of its name.

    `name` bears the window where there are several (`late_3h`). `function` is one of `FUNCTIONS`, `argument`
    a quantile's q. `value` and `where` are SQL expressions over a row of `table` (None: rows themselves, and
    all of them), `value_type` the value's type. `on` and `known_at` are columns of times of the table,
    `window_us` is in microseconds (None: without end). `type` is the result's.
    """

    name: str
    function: str
    argument: float | None
    value: str | None
    value_type: Type | None
    where: str | None
    by: tuple[str, ...]
    table: str
    on: str
    known_at: str | None
    window_us: int | None
    type: Type
    feature: str = ""
    """The feature of the spec that declares it."""

    @property
    def column(self) -> str:
        """The raw column that it fills."""
        return f"{HISTORY}.{self.name}"

    @property
    def text(self) -> str:
        """The history in one line: `avg(delay) of flights by origin over 3 h where delay > 0`."""
        inner = self.value or ""
        if self.argument is not None:
            inner += f", {self.argument:g}"
        text = f"{self.function}({inner}) of {self.table}"
        text += f" by {', '.join(self.by)}" if self.by else ""
        if self.window_us is not None:
            text += f" over {format_duration(timedelta(microseconds=self.window_us))}"
        return text + (f" where {self.where}" if self.where else "")
