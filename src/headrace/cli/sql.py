"""`headrace sql`."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.cli.common import in_project, open_project, print_json, with_json
from headrace.core.errors import UserError


@click.command(epilog="Example: headrace sql -C flights --dialect postgres --table flights=raw.flights")
@in_project
@click.option(
    "--dialect", default="duckdb", show_default=True, metavar="NAME", help="duckdb, postgres or spark."
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME=RELATION",
    help="What a table of the spec is called in the database (default: the same).",
)
@click.option(
    "--position",
    metavar="COLUMN",
    help="A column of the tables that says a row's place: it decides between rows of the same time.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to FILE.")
@with_json
def sql(
    folder: str,
    dialect: str,
    tables: tuple[str, ...],
    position: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Print the lookups and histories of the spec as one SQL query.

    It gives every row of the events with what was known at its moment of prediction, in a database that holds
    the tables: as-of lookups and windows, in a form that loses and doubles no row. PostgreSQL and DuckDB are
    tested to give what headrace gives; Spark's text is only tested by way of a parser, not on Spark.
    """
    text = open_project(folder).sql(dialect, tables=dict(_pair(t) for t in tables), position=position)
    if output is not None:
        try:
            Path(folder, output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"{output} can't be written: {error.strerror}", fix="choose another file"
            ) from error
    if as_json:
        print_json({"dialect": dialect, "sql": text, "file": output})
    else:
        click.echo(text if output is None else f"wrote {output}", nl=output is not None)


def _pair(text: str) -> tuple[str, str]:
    name, equals, relation = text.partition("=")
    if not (name.strip() and equals and relation.strip()):
        raise UserError(
            f"--table {text!r} is no pair", fix="write NAME=RELATION, such as flights=raw.flights"
        )
    return name.strip(), relation.strip()
