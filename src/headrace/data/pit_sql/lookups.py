"""As-of lookups: the newest row of a key that was known at the moment, by windows alone.

The rows of a side table are numbered within their key by (time, known, position): the highest number that was
known by the moment is the row that is found. So a late correction of an old row hides no newer one, ties are
decided, and a row whose values are null is found as any other.
"""

from __future__ import annotations

from headrace.core.spec.tables import TableSpec
from headrace.data.pit_sql.plan import Plan, micros
from headrace.data.pit_sql.writing import MOMENT, NO_TIME, Steps, all_of, earlier, later_of, listed, over


def add_lookup(steps: Steps, plan: Plan, table: str, columns: tuple[str, ...]) -> None:
    """Add `table.column` for each of the columns."""
    spec, named = plan.data.tables[table], steps.dialect.named
    key = (spec.key,) if isinstance(spec.key, str) else spec.key or ()
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
    usable = _usable(steps, spec, timed)
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


def _usable(steps: Steps, spec: TableSpec, timed: bool) -> str:
    if not timed:
        return ""
    ttl = micros(spec.ttl)
    conditions = [f"{MOMENT} IS NOT NULL"]
    if ttl is not None:
        conditions.append(f"__timef >= {earlier(steps.dialect, MOMENT, ttl)}")
    return all_of(conditions)
