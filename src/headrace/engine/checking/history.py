"""The spec's histories, typed against the tables' columns, every mistake collected."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from headrace.core.clock import format_duration, parse_duration
from headrace.core.errors import did_you_mean
from headrace.core.history import HISTORY, History
from headrace.core.schema import Type
from headrace.core.spec import Spec
from headrace.core.spec.features import HistoryFeature
from headrace.data.history.parse import Aggregate, parse_aggregate
from headrace.engine.checking.checker import Checker
from headrace.expr import Expr, parse
from headrace.expr.nodes import Node

_LONGEST = timedelta(days=365_000)


def type_histories(check: Checker, target: Expr | None) -> tuple[tuple[History, ...], Mapping[str, Type]]:
    """Every history of the spec with each of its windows, by name, and the raw columns that they fill. Those
    with mistakes are left out; their columns count as numbers, so that one mistake is not told twice."""
    specs = check.parsed.spec.feature_specs()
    if HISTORY in check.parsed.spec.data.tables:
        check.add(
            f"a table can't be called {HISTORY!r}",
            *("data", "tables", HISTORY),
            why=f"expressions read histories as {HISTORY}.NAME",
            fix="give the table another name",
        )
    found: dict[str, History] = {}
    columns: dict[str, Type] = {}
    for feature, spec in sorted(specs.items()):
        if not isinstance(spec, HistoryFeature):
            continue
        columns |= {f"{HISTORY}.{n}": Type.NUMBER for n in _names(feature, spec)}
        for history in _History(check, feature, spec, target).typed():
            if history.name in found or (history.name != feature and history.name in specs):
                check.add(
                    f"feature {feature!r} makes {history.name!r}, which there is already",
                    *("features", feature),
                    fix="rename one, or remove a window",
                )
                continue
            found[history.name] = history
    histories = tuple(found[n] for n in sorted(found))
    return histories, columns | {h.column: h.type for h in histories}


def _names(feature: str, spec: HistoryFeature) -> list[str]:
    """What a feature's histories are called."""
    if not isinstance(spec.window, tuple):
        return [feature]
    return [f"{feature}_{window_name(parse_duration(w))}" for w in spec.window]


def shown_of(spec: Spec, histories: Iterable[History]) -> list[History]:
    """Those that are features themselves."""
    features = spec.feature_specs()
    return [h for h in histories if not getattr(features[h.feature], "hide", False)]


def check_hidden(check: Checker, histories: Iterable[History], columns: Collection[str]) -> None:
    """Histories that are no features have to be among the `columns` that features read. Said last: a feature
    with a mistake may read them."""
    if check.problems:
        return
    shown = {h.name for h in shown_of(check.parsed.spec, histories)}
    for history in histories:
        if history.name not in shown and history.column not in columns:
            check.add(
                f"nothing reads {history.column}",
                *("features", history.feature),
                fix=f"write a feature that does, such as {history.column} / 60, or remove `hide`",
            )


def declared_histories(spec: Spec) -> dict[str, Any]:
    """What a stage's key has to hold of the histories: all of them as they are declared."""
    return {
        name: feature.model_dump(mode="json", exclude={"description", "owner"})
        for name, feature in spec.feature_specs().items()
        if isinstance(feature, HistoryFeature)
    }


def expression_of(history: History, zone: str) -> Expr:
    """The feature that is the history itself."""
    node = Node("col", history.type, param=history.column)
    return Expr(history.text, node, history.type, (history.column,), zone)


class _History:
    """One feature's declaration, and what is wrong with it."""

    def __init__(self, check: Checker, name: str, spec: HistoryFeature, target: Expr | None) -> None:
        self._check, self._name, self._spec, self._target = check, name, spec, target
        self._data = check.parsed.spec.data
        self._zone = self._data.zone or "UTC"
        self._table = self._data.events if spec.over is None else spec.over
        self._events = {c.name: c.type for c in check.tables.get(self._data.events, ())}
        self._columns = {c.name: c.type for c in check.tables.get(self._table, ())}

    def _wrong(self, what: str, *path: str | int, why: str = "", fix: str = "") -> None:
        self._check.add(f"feature {self._name!r}: {what}", "features", self._name, *path, why=why, fix=fix)

    def typed(self) -> list[History]:
        """A history for each window; none where there is a mistake."""
        if self._table not in self._data.tables:
            self._wrong(
                f"there is no table {self._table!r}",
                "over",
                fix=did_you_mean(self._table, self._data.tables),
            )
            return []
        if not self._columns:
            return []  # it can't be read; that problem is already told
        before = len(self._check.problems)
        on, by, windows = self._on(), self._by(), self._windows()
        made = self._check.attempt(
            lambda: parse_aggregate(self._spec.aggregate, self._columns, zone=self._zone),
            *("features", self._name, "aggregate"),
        )
        where = self._where()
        known_at = self._known_at()
        if self._data.time is None:
            self._wrong(
                "a history needs data.time",
                why="it sees what was known at the moment of prediction",
                fix="name the events' column of times in data.time",
            )
        self._check_target([e for e in (made.value if made else None, where) if e is not None], known_at)
        if len(self._check.problems) > before or made is None or on is None:
            return []
        return [self._made(made, where, by, on, known_at, n, w) for n, w in windows.items()]

    def _made(
        self,
        made: Aggregate,
        where: Expr | None,
        by: tuple[str, ...],
        on: str,
        known_at: str | None,
        name: str,
        window: int | None,
    ) -> History:
        value = made.value
        return History(
            name=name,
            function=made.function,
            argument=made.argument,
            value=None if value is None else value.text,
            value_type=None if value is None else value.type,
            where=None if where is None else where.text,
            by=by,
            table=self._table,
            on=on,
            known_at=None if known_at == on else known_at,
            window_us=window,
            type=made.type,
            feature=self._name,
        )

    def _on(self) -> str | None:
        """The column that windows are measured on."""
        own = self._data.tables[self._table].time
        declared = self._data.time if self._table == self._data.events else own
        on = self._spec.on or declared
        if on is None:
            self._wrong(
                f"table {self._table!r} has no time",
                why="a history sees what was known at the moment of prediction",
                fix=f"add `time:` under data.tables.{self._table}, or `on:` here",
            )
            return None
        return on if self._is_time(on, "on" if self._spec.on else "over") else None

    def _known_at(self) -> str | None:
        known_at = self._data.tables[self._table].known_at
        if known_at is not None and self._table == self._data.events:
            self._is_time(known_at, "over")
        return known_at

    def _is_time(self, column: str, key: str) -> bool:
        kind = self._columns.get(column)
        if kind is Type.TIME:
            return True
        if kind is None:
            what, fix = f"table {self._table!r} has no column {column!r}", did_you_mean(column, self._columns)
        else:
            what = f"column {column!r} of table {self._table!r} is {kind.value}, not a time"
            fix = "name a column of timestamps"
        self._wrong(what, key, fix=fix)
        return False

    def _by(self) -> tuple[str, ...]:
        given = (self._spec.by,) if isinstance(self._spec.by, str) else self._spec.by
        if len(set(given)) < len(given):
            self._wrong("a column is named twice", "by", fix="name each once")
        for column in given:
            self._check_by(column)
        return given

    def _check_by(self, column: str) -> None:
        for name, columns in ((self._data.events, self._events), (self._table, self._columns)):
            if columns and column not in columns:
                self._wrong(
                    f"table {name!r} has no column {column!r}",
                    "by",
                    why="a history is of the rows that have the event's own values there",
                    fix=did_you_mean(column, columns),
                )
                return
        here, there = self._events.get(column), self._columns.get(column)
        if here is not None and there is not None and here is not there:
            self._wrong(
                f"column {column!r} is {there.value} in {self._table!r} and {here.value} in the events",
                "by",
                fix="give both the same type in the source",
            )

    def _windows(self) -> Mapping[str, int | None]:
        """Each window in microseconds by the name of its history."""
        given = self._spec.window
        if given is None:
            return {self._name: None}
        several = given if isinstance(given, tuple) else (given,)
        if not several:
            self._wrong("there is no window in the list", "window", fix="write one, such as 3 h, or none")
        found: dict[str, int | None] = {}
        for text in several:
            span = self._span(text)
            if span is None:
                continue
            name = f"{self._name}_{window_name(span)}" if isinstance(given, tuple) else self._name
            if name in found:
                self._wrong(f"the window {text!r} is given twice", "window", fix="name each once")
            found[name] = span // timedelta(microseconds=1)
        return found

    def _span(self, text: str) -> timedelta | None:
        span = parse_duration(text)
        if not span:
            self._wrong(f"the window {text!r} holds nothing", "window", fix="write a span such as 3 h")
        elif span > _LONGEST:
            self._wrong(f"the window {text!r} is too long", "window", fix="leave it out: all there is")
        else:
            return span
        return None

    def _where(self) -> Expr | None:
        text = self._spec.where
        if text is None:
            return None
        path = ("features", self._name, "where")
        where = self._check.attempt(lambda: parse(text, self._columns, zone=self._zone), *path)
        if where is not None and where.type is not Type.BOOL:
            self._wrong(
                f"where is {where.type.value}, not true or false",
                "where",
                fix="write a condition: amount > 0",
            )
        elif where is not None and not where.columns:
            self._wrong(f"`{text}` reads no column", "where", fix="write a condition, or remove it")
        return where

    def _check_target(self, reads: list[Expr], known_at: str | None) -> None:
        """Outcomes of other rows: when they are known has to be said, and the seal has to hold."""
        if self._table != self._data.events or self._target is None:
            return
        held = sorted({c for e in reads for c in e.columns} & set(self._target.columns))
        if not held:
            return
        if known_at is None:
            self._wrong(
                f"it reads the target's column {held[0]!r} of earlier rows",
                "aggregate",
                why="without `known_at` an outcome would count as known from the event on; it came later",
                fix=f"declare `known_at:` under data.tables.{self._table}: when a row's outcome was known",
            )
        by = self._check.parsed.spec.split.by
        if by != "time":
            self._wrong(
                f"it reads the target's column {held[0]!r}, and the split is by {by}",
                "aggregate",
                why="outcomes of test rows would reach training rows that happened later",
                fix="split by time, or read other columns",
            )


def window_name(span: timedelta) -> str:
    """A window as the end of a name: `3h`, `90min`, `7d`.

    >>> window_name(timedelta(days=7))
    '7d'
    """
    return format_duration(span).replace("days", "d").replace(" ", "")
