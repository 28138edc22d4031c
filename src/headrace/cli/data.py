"""`headrace data`: snapshots of tables, what differs between two, and what is personal in them."""

from __future__ import annotations

import click

from headrace.cli.common import Ticker, in_project, number, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.codec import to_plain
from headrace.data.versions import QUANTILES, ColumnDiff, TableDiff
from headrace.engine.data import PersonalColumn

_SHORT = 12
_MEDIAN = QUANTILES.index(0.5)


@click.group(cls=Hinting)
def data() -> None:
    """Snapshots of tables, what differs between two, and what is personal in them."""


@data.command("list", epilog="Example: headrace data list -C flights")
@in_project
@with_json
def list_(folder: str, as_json: bool) -> None:
    """List the snapshots of every table: rows, age, and the runs that used them."""
    found = open_project(folder).data()
    if as_json:
        print_json([to_plain(v) for v in found])
        return
    if not found:
        click.echo("no snapshots yet; `headrace run` takes them")
        return
    rows = [
        [v.table, v.artifact[:_SHORT], v.rows, v.columns, v.taken[:19], f"{v.age_days:.1f} days",
         (", ".join(v.runs) or "–") + ("" if v.kept else " (bytes no longer kept)")]
        for v in found
    ]  # fmt: skip
    click.echo(
        table(["table", "snapshot", "rows", "columns", "taken", "age", "used by"], rows, right=(2, 3, 5))
    )


@data.command(epilog="Example: headrace data diff run-1 run-2 -C flights")
@in_project
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@with_json
def diff(folder: str, first: str, second: str, as_json: bool) -> None:
    """Show what differs between two snapshots of a table, or between the tables of two runs.

    A and B are runs, or beginnings of snapshots' digests as `headrace data list` shows them. Columns are
    ordered by their population stability index (PSI), the most changed first.
    """
    found = open_project(folder).data_diff(first, second)
    if as_json:
        print_json([to_plain(t) for t in found])
        return
    click.echo("\n\n".join(render(t) for t in found))


def render(found: TableDiff) -> str:
    """One table's differences as text."""
    head = f"{found.table}: {found.a[:_SHORT]} → {found.b[:_SHORT]}"
    if found.a == found.b:
        return f"{head}: the same"
    rows = found.identity
    by = f"by {rows.by}" if rows.by else "as whole rows"
    changed = "" if rows.changed is None else f", {rows.changed:,} changed"
    parts = [
        f"{head}\nrows {found.rows[0]:,} → {found.rows[1]:,}; {by}: {rows.added:,} added, "
        f"{rows.removed:,} removed{changed}, {rows.same:,} the same"
    ]
    schema = [f"+ {c}" for c in found.gained] + [f"- {c}" for c in found.lost]
    schema += [f"{c}: {before} → {after}" for c, before, after in found.retyped]
    parts += ["columns: " + ", ".join(schema)] if schema else []
    ordered = sorted(found.columns, key=lambda c: -(c.psi if c.psi is not None else -1.0))
    lines = [
        [c.column, c.type.value, f"{c.missing[0]:.1%} → {c.missing[1]:.1%}", c.psi, c.ks, c.p, _shift(c)]
        for c in ordered
    ]
    if lines:
        parts.append(table(["column", "type", "missing", "PSI", "KS", "p", "shift"], lines, right=(3, 4, 5)))
    return "\n".join(parts)


def _shift(column: ColumnDiff) -> str:
    if column.quantiles is not None:
        if column.type.value == "time":
            return ""
        before, after = (q[_MEDIAN] for q in column.quantiles)
        return f"median {number(before)} → {number(after)}"
    parts = [f"+{column.gained_count}: {', '.join(column.gained[:3])}"] if column.gained else []
    parts += [f"-{column.lost_count}: {', '.join(column.lost[:3])}"] if column.lost else []
    return "; ".join(parts)


@data.command(epilog="Example: headrace data pii -C flights")
@in_project
@with_json
def pii(folder: str, as_json: bool) -> None:
    """Look through the sources as they stand for personal data, and say what is declared of it.

    Every row is read, and nothing is kept. Exit code 3 where a column looks personal and `data.pii` says
    nothing of it: the gate `pii` would block a run.
    """
    found = open_project(folder).personal(progress=Ticker(quiet=as_json))
    if as_json:
        print_json([to_plain(c) for c in found])
    else:
        click.echo(_render(found))
    raise SystemExit(3 if any(not c.do for c in found) else 0)


def _render(found: tuple[PersonalColumn, ...]) -> str:
    if not found:
        return "nothing looks personal, and nothing is declared"
    rows = [[c.name, c.do or "undeclared", "; ".join(c.found) or c.why or "–"] for c in found]
    text = table(["column", "treatment", "found"], rows)
    missing = [c.name for c in found if not c.do]
    if missing:
        text += (
            "\n\ndecide what becomes of each (drop, hash, mask, or keep with a reason), such as\n\n  pii:\n"
        )
        text += "\n".join(f"    {name}: drop" for name in missing)
    return text
