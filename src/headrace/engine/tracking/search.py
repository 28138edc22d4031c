"""Runs by an expression over what is known of them: `metrics.f1 > 0.4 and tags.team = 'a'`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headrace.core.errors import UserError
from headrace.core.schema import Type
from headrace.core.views import RunView
from headrace.expr import parse
from headrace.expr.to_sql import to_sql

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
    expr = parse(where, types, zone="UTC")
    if expr.type is not Type.BOOL:
        raise UserError(f"{where!r} is {expr.type.value}, not true or false", fix="compare: metrics.f1 > 0.4")
    return [run for run, true in zip(seen, _answers(expr, rows, types), strict=True) if true]


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
            kind = (
                Type.BOOL
                if isinstance(value, bool)
                else Type.NUMBER
                if isinstance(value, int | float)
                else Type.TEXT
            )
            found[name] = kind if found.get(name, kind) is kind else Type.TEXT
    return found


def _answers(expr: Any, rows: Sequence[dict[str, Any]], types: dict[str, Type]) -> list[bool]:
    import duckdb
    import pyarrow as pa

    if not rows:
        return []
    columns = {}
    for name in expr.columns:
        values = [row.get(name) for row in rows]
        columns[name] = _column(values, types[name])
    table = pa.table({**columns, "at_": pa.array(range(len(rows)))})
    with duckdb.connect(":memory:", config={"enable_external_access": False}) as db:
        db.register("runs_", table)
        found = db.execute(f"select at_ from runs_ where {to_sql(expr)}").fetchall()
    true = {int(row[0]) for row in found}
    return [i in true for i in range(len(rows))]


def _column(values: list[Any], kind: Type) -> Any:
    import pyarrow as pa

    if kind is Type.TIME:
        moments = pa.array([v and v.replace("Z", "+00:00") for v in values], pa.string())
        return moments.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    if kind is Type.TEXT:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    if kind is Type.BOOL:
        return pa.array(values, pa.bool_())
    return pa.array([None if v is None else float(v) for v in values], pa.float64())
