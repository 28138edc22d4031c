"""Runs by an expression over what is known of them: `metrics.f1 > 0.4 and tags.team = 'a'`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.core.errors import UserError
from headrace.core.schema import Type
from headrace.core.views import RunView
from headrace.expr import parse
from headrace.expr.nodes import Expr
from headrace.expr.to_sql import to_sql

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

FIELDS = {
    "run": Type.TEXT,
    "name": Type.TEXT,
    "kind": Type.TEXT,
    "status": Type.TEXT,
    "author": Type.TEXT,
    "started": Type.TIME,
    "commit": Type.TEXT,
    "release": Type.TEXT,
    "group": Type.TEXT,
    "model": Type.TEXT,
    "seconds": Type.NUMBER,
}
"""What every run has; beside them there are `tags.X`, `params.X`, `metrics.X`, `validation.X`, `test.X`."""


def find_runs(seen: Sequence[RunView], where: str) -> list[RunView]:
    """The runs for which the expression is true, in their order.

    A field that a run does not have is null there, and null is not true.

    Raises:
        UserError: the expression has a mistake, or names a field that no run has.
    """
    rows = [fields(run) for run in seen]
    types = {**FIELDS, **_types(rows)}
    expr = parse_where(where, types)
    columns = {name: [row.get(name) for row in rows] for name in expr.columns}
    with engine() as db:
        return [seen[i] for i in answers(db, expr, columns, types, len(rows))]


def parse_where(where: str, types: Mapping[str, Type]) -> Expr:
    """The expression, over fields of these types.

    Raises:
        UserError: it has a mistake, names a field that no run has, or is not true or false.
    """
    expr = parse(where, dict(types), zone="UTC")
    if expr.type is not Type.BOOL:
        raise UserError(f"{where!r} is {expr.type.value}, not true or false", fix="compare: metrics.f1 > 0.4")
    return expr


def fields(run: RunView) -> dict[str, Any]:
    """Everything that a run can be found by."""
    s = run.summary
    test = s.get("test") or {}
    flat: dict[str, Any] = {
        "run": run.run,
        "name": run.name,
        "kind": "script" if run.script else "spine",
        "status": run.status,
        "author": run.author,
        "started": run.started,
        "commit": run.commit or None,
        "release": run.release or None,
        "group": run.group or None,
        "model": s.get("model") or next((m["model"] for m in s.get("leaderboard", ())), None),
        "seconds": s.get("seconds"),
        **{f"tags.{n}": v for n, v in run.tags.items()},
        **{f"params.{n}": v for n, v in s.get("params", {}).items()},
        **{f"metrics.{n}": v for n, v in s.get("metrics", {}).items()},
        **{f"validation.{n}": m["value"] for n, m in s.get("validation", {}).items()},
    }
    if test.get("value") is not None:
        flat[f"test.{test['metric']}"] = test["value"]
    return flat


def _types(rows: Iterable[dict[str, Any]]) -> dict[str, Type]:
    """The types of the fields that only some runs have; text where runs disagree."""
    found: dict[str, Type] = {}
    for row in rows:
        for name, value in row.items():
            if name in FIELDS or value is None:
                continue
            kind = type_of(value)
            found[name] = kind if found.get(name, kind) is kind else Type.TEXT
    return found


def type_of(value: Any) -> Type:
    """The type of a field's value."""
    if isinstance(value, bool):
        return Type.BOOL
    return Type.NUMBER if isinstance(value, int | float) else Type.TEXT


def engine() -> duckdb.DuckDBPyConnection:
    """What evaluates expressions; it reaches nothing but what it is given. To open it takes longer than most
    answers."""
    import duckdb

    return duckdb.connect(":memory:", config={"enable_external_access": False, "threads": 1})


def answers(
    db: duckdb.DuckDBPyConnection,
    expr: Expr,
    columns: Mapping[str, Sequence[Any]],
    types: Mapping[str, Type],
    rows: int,
) -> NDArray[np.int64]:
    """The numbers of the rows, ascending, for which an expression over columns is true."""
    import numpy as np
    import pyarrow as pa

    if not rows:
        return np.zeros(0, dtype=np.int64)
    arrays = {name: _column(columns[name], types[name]) for name in expr.columns}
    table = pa.table({**arrays, "at_": pa.array(range(rows))})
    db.register("runs_", table)
    try:
        found = db.execute(f"select at_ from runs_ where {to_sql(expr)} order by at_").fetchnumpy()
    finally:
        db.unregister("runs_")
    return np.asarray(found["at_"], dtype=np.int64)


def _column(values: Sequence[Any], kind: Type) -> Any:
    import pyarrow as pa

    if kind is Type.TIME:
        moments = pa.array([v and v.replace("Z", "+00:00") for v in values], pa.string())
        return moments.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    if kind is Type.TEXT:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    if kind is Type.BOOL:
        return pa.array([None if v is None else bool(v) for v in values], pa.bool_())
    return pa.array([None if v is None else float(v) for v in values], pa.float64())
