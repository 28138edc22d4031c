"""Histories: aggregates over the rows of a window that were known before the moment.

Where rows are known when they happen, one window over both tables computes all histories of the same rows:
`RANGE` over whole microseconds, up to the one before the moment. Where rows become known later, which of them
count differs from moment to moment, and a window can't say so; nor has every database distinct counts and
quantiles over windows. There each distinct (key, moment) is joined to its rows and grouped, and what comes
out, unique by key and moment, is joined back.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from headrace.core.history import History
from headrace.core.schema import Type
from headrace.data.pit_sql.plan import Plan
from headrace.data.pit_sql.writing import MOMENT, Steps, all_of, later_of, listed, micros_of, over
from headrace.expr import Expr, parse
from headrace.expr.dialects import POSTGRES
from headrace.expr.to_sql import to_sql

_BY_JOIN = ("distinct", "quantile")


def add_histories(steps: Steps, plan: Plan, histories: Sequence[History]) -> None:
    """Add `history.NAME` for each."""
    for _, group in groupby(sorted(histories, key=_base), key=_base):
        alike = list(group)
        rows = steps.add(f"rows_of_{alike[0].table}", _rows(steps, plan, alike[0]))
        late = alike[0].known_at not in (None, alike[0].on)
        joined = [h for h in alike if late or h.function in _BY_JOIN]
        windows = [h for h in alike if h not in joined]
        if windows:
            _add_windows(steps, windows, rows)
        for history in joined:
            _add_join(steps, history, rows)


def _base(history: History) -> tuple[str, ...]:
    """What histories of the same rows share."""
    by = ",".join(history.by)
    return (history.table, by, history.on, history.known_at or "", history.value or "", history.where or "")


def _rows(steps: Steps, plan: Plan, history: History) -> str:
    """The rows that count at some moment, numbered within their key by (on, known, position)."""
    named, dialect = steps.dialect.named, steps.dialect
    zone = plan.data.zone or "UTC"
    columns = plan.tables[history.table]
    read: list[Expr] = [parse(t, columns, zone=zone) for t in (history.value, history.where) if t is not None]
    texts = [to_sql(e, dialect) for e in read]
    value = texts[0] if history.value is not None else "1"
    by, on = steps.names(history.by), named(history.on)
    known_at = None if history.known_at in (None, history.on) else named(str(history.known_at))
    known = later_of(on, known_at)
    own = sorted({c for e in read for c in e.columns})
    place = [plan.position] if plan.position is not None else own
    order = listed([on, *([known] if known_at else []), *steps.names([p for p in place if p != history.on])])
    conditions = [f"{c} IS NOT NULL" for c in (*by, on, *([known_at] if known_at else []))]
    conditions += [f"({value}) IS NOT NULL"] if history.value is not None else []
    conditions += [f"({texts[-1]})"] if history.where is not None else []
    return (
        f"SELECT {listed([*by, f'{micros_of(dialect, on)} AS __at', f'{known} AS __known'])},\n"
        f"  {value} AS __v,\n  row_number() {over(by, order)} AS __rank\n"
        f"FROM {plan.relation(history.table, named(history.table))}\nWHERE {all_of(conditions)}"
    )


def _add_windows(steps: Steps, histories: Sequence[History], rows: str) -> None:
    dialect, by = steps.dialect, steps.names(histories[0].by)
    met = steps.add(
        f"met_{histories[0].table}",
        f"SELECT 1 AS __asks, {steps.carried()},\n  {micros_of(dialect, MOMENT)} AS __at, NULL AS __v, "
        f"NULL AS __rank\nFROM {steps.last}\nUNION ALL\n"
        f"SELECT 0 AS __asks, {steps.kept(histories[0].by)},\n  __at, __v, __rank\nFROM {rows}",
    )
    parts = []
    for i, history in enumerate(histories):
        back = "UNBOUNDED" if history.window_us is None else str(history.window_us)
        window = over(by, "__at", f"RANGE BETWEEN {back} PRECEDING AND 1 PRECEDING")
        parts.append(f"{_windowed(steps, history)} {window} AS __h{i}")
    seen = steps.add(
        f"windows_of_{histories[0].table}",
        f"SELECT __asks, {steps.carried()}, __at, __v, __rank,\n  " + ",\n  ".join(parts) + f"\nFROM {met}",
    )
    picked = [i for i, h in enumerate(histories) if h.function in ("first", "last")]
    if picked:
        # The row of that number, and those that ask for it: the row stands first.
        firsts = [
            "first_value(__v) "
            + over([*by, f"CASE WHEN __asks = 1 THEN __h{i} ELSE __rank END"], "__asks")
            + f" AS __f{i}"
            for i in picked
        ]
        seen = steps.add(
            f"picked_of_{histories[0].table}", "SELECT *,\n  " + ",\n  ".join(firsts) + f"\nFROM {seen}"
        )
    given = [f"{_given(steps, h, i)} AS {steps.dialect.named(h.column)}" for i, h in enumerate(histories)]
    steps.last = steps.add(
        "with_" + "_".join(h.name for h in histories)[:40],
        f"SELECT {steps.carried()},\n  " + ",\n  ".join(given) + f"\nFROM {seen}\nWHERE __asks = 1",
    )
    steps.columns += [h.column for h in histories]


def _windowed(steps: Steps, history: History) -> str:
    """The aggregate that stands before OVER."""
    match history.function:
        case "count":
            return "count(__rank)"
        case "first":
            return "min(__rank)"
        case "last":
            return "max(__rank)"
        case "since_last":
            return "max(CASE WHEN __asks = 0 THEN __at END)"
        case _:
            return _aggregate(steps, history)


def _aggregate(steps: Steps, history: History) -> str:
    match history.function:
        case "share":
            one, zero = steps.dialect.double(1.0), steps.dialect.double(0.0)
            return f"avg(CASE WHEN __v THEN {one} WHEN NOT __v THEN {zero} END)"
        case "stddev":
            return "stddev_samp(__v)"
        case function:
            return f"{function}(__v)"


def _given(steps: Steps, history: History, i: int) -> str:
    number = steps.dialect.types[Type.NUMBER]
    value = f"__h{i}"
    if history.function in ("first", "last"):
        value = f"__f{i}"
    if history.function == "since_last":
        value = f"(CAST(__at - __h{i} AS {number}) / {steps.dialect.double(1e6)})"
    if history.function == "count":
        zero = steps.dialect.double(0.0)
        return f"CASE WHEN {MOMENT} IS NOT NULL THEN CAST(__h{i} AS {number}) ELSE {zero} END"
    return f"CASE WHEN {MOMENT} IS NOT NULL THEN {value} END"


def _add_join(steps: Steps, history: History, rows: str) -> None:
    dialect = steps.dialect
    by = steps.names(history.by)
    asked = listed([*by, MOMENT])
    present = all_of([f"{c} IS NOT NULL" for c in (*by, MOMENT)])
    now = micros_of(dialect, f"a.{MOMENT}")
    within = [f"r.{c} = a.{c}" for c in by]
    within += [f"r.__known < a.{MOMENT}", f"r.__at < {now}"]
    if history.window_us is not None:
        within.append(f"r.__at >= {now} - {history.window_us}")
    past = steps.add(
        f"past_of_{history.name}",
        f"SELECT {listed([f'a.{c}' for c in (*by, MOMENT)])}, {_joined(steps, history)} AS __h\n"
        f"FROM (SELECT DISTINCT {asked} FROM {steps.last} WHERE {present}) a\n"
        f"JOIN {rows} r ON {all_of(within)}\nGROUP BY {listed([f'a.{c}' for c in (*by, MOMENT)])}",
    )
    value = "h.__h"
    if history.function in ("count", "distinct"):
        value = f"CAST(COALESCE(h.__h, 0) AS {dialect.types[Type.NUMBER]})"
    same = all_of([f"h.{c} = p.{c}" for c in (*by, MOMENT)])
    carried = listed([f"p.{dialect.named(c)}" for c in (*steps.columns, MOMENT)])
    steps.last = steps.add(
        f"with_{history.name}",
        f"SELECT {carried}, {value} AS {dialect.named(history.column)}\n"
        f"FROM {steps.last} p LEFT JOIN {past} h ON {same}",
    )
    steps.columns.append(history.column)


def _joined(steps: Steps, history: History) -> str:
    """The aggregate of grouped rows."""
    dialect = steps.dialect
    match history.function:
        case "count":
            return "count(*)"
        case "distinct":
            return "count(DISTINCT __v)"
        case "quantile":
            return f"percentile_cont({history.argument}) WITHIN GROUP (ORDER BY __v)"
        case "since_last":
            seconds = f"CAST({micros_of(dialect, f'a.{MOMENT}')} - max(__at) AS {dialect.types[Type.NUMBER]})"
            return f"{seconds} / {dialect.double(1e6)}"
        case "first" | "last" as end:
            if dialect is POSTGRES:
                return f"(array_agg(__v ORDER BY __rank {'ASC' if end == 'first' else 'DESC'}))[1]"
            return f"{'min_by' if end == 'first' else 'max_by'}(__v, __rank)"
        case _:
            return _aggregate(steps, history)
