"""As-of lookups: the newest row of a key that was known at the moment.

By windows alone, which every database has: the rows of a side table are numbered within their key by (time,
known, position), and the highest number that was known by the moment is the row that is found. So a late
correction of an old row hides no newer one, ties are decided, and a row whose values are null is found as any
other.

DuckDB has an as-of join, which is several times as fast. It is given one row for each key and moment at which
something became known: the one that is found from then on.
"""

from __future__ import annotations

from headrace.core.clock import duration_micros
from headrace.core.spec.tables import TableSpec
from headrace.data.pit_sql.plan import Plan
from headrace.data.pit_sql.writing import MOMENT, NO_TIME, Steps, all_of, earlier, later_of, listed, over
from headrace.expr.to_sql import DUCKDB


def add_lookup(steps: Steps, plan: Plan, table: str, columns: tuple[str, ...]) -> None:
    """Add `table.column` for each of the columns."""
    spec = plan.data.tables[table]
    if steps.dialect is DUCKDB and (spec.time is not None or spec.known_at is not None):
        _add_asof(steps, plan, table, columns)
    else:
        _add_windows(steps, plan, table, columns)


def _add_windows(steps: Steps, plan: Plan, table: str, columns: tuple[str, ...]) -> None:
    spec, named = plan.data.tables[table], steps.dialect.named
    key = _names(spec)
    found = [f"__v{i}" for i in range(len(columns))]
    timed = spec.time is not None or spec.known_at is not None
    rows = steps.add(f"rows_of_{table}", _rows(steps, plan, table, spec, key, columns))
    # Rows of the table stand before a row that asks at the same moment: known at the moment is known.
    met = steps.add(
        f"met_{table}",
        f"SELECT 1 AS __asks, {steps.carried()},\n  {MOMENT} AS __at, NULL AS __rank, NULL AS __time, "
        f"{listed([f'NULL AS {v}' for v in found])}\nFROM {steps.last}\nUNION ALL\n"
        f"SELECT 0 AS __asks, {steps.kept(key)},\n  __known AS __at, __rank, __time, {listed(found)}\n"
        f"FROM {rows}",
    )
    order = "__at, __asks" if timed else "__asks"
    best = over(steps.names(key), order, "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW")
    best = steps.add(f"best_of_{table}", f"SELECT *, max(__rank) {best} AS __best\nFROM {met}")
    first = over([*steps.names(key), "__best"], "CASE WHEN __rank = __best THEN 0 ELSE 1 END")
    firsts = [f"first_value({v}) {first} AS {v}f" for v in (*found, "__time")]
    seen = steps.add(
        f"found_in_{table}",
        f"SELECT __asks, {steps.carried()},\n  " + ",\n  ".join(firsts) + f"\nFROM {best}",
    )
    usable = _usable(steps, spec, MOMENT, "__timef") if timed else ""
    given = [
        f"CASE WHEN {usable} THEN {v}f END AS {named(f'{table}.{c}')}" if usable
        else f"{v}f AS {named(f'{table}.{c}')}"
        for v, c in zip(found, columns, strict=True)
    ]  # fmt: skip
    steps.last = steps.add(
        f"with_{table}",
        f"SELECT {steps.carried()},\n  " + ",\n  ".join(given) + f"\nFROM {seen}\nWHERE __asks = 1",
    )
    steps.columns += [f"{table}.{c}" for c in columns]


def _rows(
    steps: Steps, plan: Plan, table: str, spec: TableSpec, key: tuple[str, ...], columns: tuple[str, ...]
) -> str:
    """The rows that can be found, numbered within their key."""
    named = steps.dialect.named
    times = [named(c) for c in (spec.time, spec.known_at) if c is not None]
    place = steps.names([plan.position] if plan.position is not None else columns)
    known = later_of(times[0], times[1] if len(times) > 1 else None) if times else NO_TIME
    order = listed([*([times[0], known] if len(times) > 1 else times), *place])
    values = [f"{named(c)} AS __v{i}" for i, c in enumerate(columns)]
    needed = all_of([f"{c} IS NOT NULL" for c in (*steps.names(key), *times)])
    return (
        f"SELECT {listed(steps.names(key))},\n"
        f"  {times[0] if times else NO_TIME} AS __time, {known} AS __known, {listed(values)},\n"
        f"  row_number() {over(steps.names(key), order)} AS __rank\n"
        f"FROM {plan.relation(table, named(table))}\nWHERE {needed}"
    )


def _usable(steps: Steps, spec: TableSpec, moment: str, time: str) -> str:
    ttl = duration_micros(spec.ttl)
    conditions = [f"{moment} IS NOT NULL"]
    if ttl is not None:
        conditions.append(f"{time} >= {earlier(steps.dialect, moment, ttl)}")
    return all_of(conditions)


def _add_asof(steps: Steps, plan: Plan, table: str, columns: tuple[str, ...]) -> None:
    spec, named = plan.data.tables[table], steps.dialect.named
    key = steps.names(_names(spec))
    seen = (
        _corrected(steps, plan, table, columns)
        if spec.time and spec.known_at
        else _last_of_each(steps, plan, table, columns)
    )
    usable = _usable(steps, spec, f"p.{MOMENT}", "r.__time")
    given = [
        f"CASE WHEN {usable} THEN r.__v{i} END AS {named(f'{table}.{c}')}" for i, c in enumerate(columns)
    ]
    same = all_of([f"p.{k} = r.{k}" for k in key])
    steps.last = steps.add(
        f"with_{table}",
        f"SELECT {listed([f'p.{c}' for c in steps.names((*steps.columns, MOMENT))])},\n  "
        + ",\n  ".join(given)
        + f"\nFROM {steps.last} p ASOF LEFT JOIN {seen} r ON {same} AND p.{MOMENT} >= r.__since",
    )
    steps.columns += [f"{table}.{c}" for c in columns]


def _last_of_each(steps: Steps, plan: Plan, table: str, columns: tuple[str, ...]) -> str:
    """A table with one column of times: of rows with equal times the last."""
    spec, key = plan.data.tables[table], steps.names(_names(plan.data.tables[table]))
    time = steps.dialect.named(str(spec.time or spec.known_at))
    place = steps.names([plan.position] if plan.position is not None else columns)
    values = [f"{steps.dialect.named(c)} AS __v{i}" for i, c in enumerate(columns)]
    return steps.add(
        f"rows_of_{table}",
        f"SELECT {listed([*key, f'{time} AS __time', f'{time} AS __since', *values])}\n"
        f"FROM {plan.relation(table, steps.dialect.named(table))}\n"
        f"WHERE {all_of([f'{c} IS NOT NULL' for c in (*key, time)])}\n"
        f"QUALIFY lead({time}) {over(key, listed([time, *place]))} IS DISTINCT FROM {time}",
    )


def _corrected(steps: Steps, plan: Plan, table: str, columns: tuple[str, ...]) -> str:
    """A table whose rows become known later: which of them is found from when on."""
    spec = plan.data.tables[table]
    key = steps.names(_names(spec))
    rows = steps.add(f"rows_of_{table}", _rows(steps, plan, table, spec, _names(spec), columns))
    # Rows that became known at one moment are peers: each of them bears the best of all of them.
    best = f"max(__rank) {over(key, '__known')} AS __best"
    since = steps.add(
        f"since_when_of_{table}",
        f"SELECT DISTINCT {listed(key)}, __known AS __since, __best FROM (SELECT *, {best} FROM {rows})",
    )
    same = all_of([f"r.{k} = s.{k}" for k in key])
    return steps.add(
        f"found_in_{table}",
        f"SELECT s.__since, r.*\nFROM {since} s JOIN {rows} r ON {same} AND r.__rank = s.__best",
    )


def _names(spec: TableSpec) -> tuple[str, ...]:
    return (spec.key,) if isinstance(spec.key, str) else spec.key or ()
