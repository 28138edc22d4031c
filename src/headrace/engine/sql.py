"""The spec's lookups and histories as one SQL query, for a database that holds the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace.core.spec import ParsedSpec
from headrace.data.pit_sql.emit import pit_sql
from headrace.data.pit_sql.plan import Plan
from headrace.data.privacy.redact import Redaction
from headrace.data.read import describe
from headrace.engine.check import check
from headrace.engine.privacy import treatments_of


def spec_sql(
    parsed: ParsedSpec,
    root: Path,
    dialect: str,
    *,
    relations: Mapping[str, str] | None = None,
    position: str | None = None,
) -> str:
    """The query (see `data.pit_sql.emit`). Reads the tables' columns, not their rows.

    Raises:
        SpecError: the spec has mistakes.
        UserError: there is no such dialect or table.
        ExprError: the dialect has no exact form of an operation.
    """
    compiled = check(parsed, root)
    data, treated = parsed.spec.data, treatments_of(parsed.spec)
    tables = {}
    for name, table in data.tables.items():
        times = (data.time,) if name == data.events and data.time is not None else ()
        columns = describe(
            name,
            table,
            root=root,
            zone=table.zone or data.zone,
            times=times,
            redaction=Redaction(treated.get(name, {})),
        )
        tables[name] = {c.name: c.type for c in columns}
    notes = [
        f"{column} of {table} is here as it lies in the database; a run keeps it {how.do}ed"
        for table, columns in treated.items()
        for column, how in columns.items()
        if how.do in ("hash", "mask")
    ]
    notes += [
        f"{', '.join(columns)} of {table}: a run fills nulls forward before it looks rows up"
        for table, columns in parsed.spec.clean.forward_fill.items()
    ]
    plan = Plan(data, tables, compiled.lookups, compiled.histories, relations, position, tuple(notes))
    return pit_sql(plan, dialect)
