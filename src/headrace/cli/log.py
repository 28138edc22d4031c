"""`headrace log`."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import click

from headrace.cli.common import Ticker, in_project, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.codec import to_plain


@click.group(
    cls=Hinting, epilog='Example: headrace log query "SELECT release, count(*) FROM predictions GROUP BY 1"'
)
def log() -> None:
    """The prediction log: every answer that was given, with its inputs."""


@log.command(
    "query",
    epilog='Example: headrace log query "SELECT release, avg(prediction) FROM predictions GROUP BY 1"',
)
@in_project
@click.argument("sql", metavar="SELECT")
@click.option(
    "--as-of", type=click.DateTime(), metavar="MOMENT", help="Labels as they were known then (UTC)."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@with_json
def query(folder: str, sql: str, as_of: datetime | None, as_csv: bool, as_json: bool) -> None:
    """Ask the log one SELECT, in DuckDB's SQL.

    Tables: predictions (an answer a row: id, time, route, release, arm, unit, answered_by, prediction,
    probability, ..., input_NAME, ...), labels (every label, with its time of arrival), and answered
    (predictions with their newest label). Times are UTC. What servers are writing now is there too.
    """
    moment = None if as_of is None else as_of.replace(tzinfo=UTC)
    told = open_project(folder).log_query(sql, as_of=moment)
    rows = [[_plain(v) for v in row] for row in told.rows]
    if as_json:
        print_json({"columns": told.names, "types": told.types, "rows": rows})
    elif as_csv:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([told.names, *rows])
        click.echo(out.getvalue(), nl=False)
    else:
        click.echo(table(told.names, rows))


def _plain(value: Any) -> Any:
    return value.isoformat(sep=" ") if isinstance(value, datetime) else value


@log.command("compact", epilog="Example: headrace log compact -C flights")
@in_project
@click.option("--keep", metavar="DURATION", help="Drop what is older (default: serve: {log: {keep: ...}}).")
@with_json
def compact(folder: str, keep: str | None, as_json: bool) -> None:
    """Turn what servers have finished writing into Parquet files, by day and route."""
    done = open_project(folder).log_compact(keep=keep, progress=Ticker(quiet=as_json))
    if as_json:
        print_json(to_plain(done))
        return
    click.echo(f"{done.rows:,} answers of {done.segments} segments are in {done.made} new files")
    if done.merged:
        click.echo(f"{done.merged} small files were put together")
    if done.expired:
        click.echo(f"{done.expired:,} answers were older than the log keeps")
    for name, lost in done.torn.items():
        click.echo(f"{name}: {lost:,} bytes are no whole answers (a process died while it wrote them)")
