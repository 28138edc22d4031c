"""`headrace log`."""

from __future__ import annotations

import csv
import io
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import msgspec

from headrace.cli.common import Ticker, in_project, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.clock import from_micros, iso, parse_duration
from headrace.core.codec import to_json, to_plain
from headrace.core.errors import HeadraceError, UserError

if TYPE_CHECKING:
    from headrace.logs.compact import Compacted

_EVERY = 0.5


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


@log.command("tail", epilog="Example: headrace log tail --last '10 min' --follow")
@in_project
@click.option("--last", default="10 min", show_default=True, metavar="DURATION", help="How far to look back.")
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
def tail(folder: str, last: str, follow: bool) -> None:
    """Print the newest answers, one JSON object a line, oldest first."""
    following = open_project(folder).log_tail(last=_span(last, "--last"))
    try:
        while True:
            for entry in sorted(following.poll(), key=lambda e: (e.time, e.id)):
                click.echo(to_json(msgspec.structs.asdict(entry)))
            if not follow:
                return
            time.sleep(_EVERY)
    finally:
        following.close()


@log.command("status", epilog="Example: headrace log status -C flights")
@in_project
@with_json
def status(folder: str, as_json: bool) -> None:
    """Tell what the log holds, which files servers write, and how many labels wait for their prediction."""
    found = open_project(folder).log_status()
    if as_json:
        print_json(to_plain(found))
        return
    click.echo(
        f"{found.rows:,} answers in {found.size:,} bytes: {_moment(found.oldest)} to {_moment(found.newest)}"
    )
    click.echo(f"{found.labels:,} labels, {found.waiting:,} without their prediction")
    if found.parts:
        rows = [[p.day, p.route, p.rows, p.size, p.file] for p in found.parts]
        click.echo(table(["day", "route", "rows", "bytes", "file"], rows, right=(2, 3)))
    if found.segments:
        told = [
            [s.name, s.rows, s.size, "writing" if s.writing else "closed", s.torn] for s in found.segments
        ]
        click.echo(table(["segment", "rows", "bytes", "state", "torn bytes"], told, right=(1, 2, 4)))
    if found.untold:
        click.echo(f"{found.untold} events wait for the ledger; `headrace log compact` tells it")


def _moment(micros: int | None) -> str:
    return "–" if micros is None else iso(from_micros(micros))


@log.command("erase", epilog="Example: headrace log erase c-1042 --column customer -C churn")
@in_project
@click.argument("name", metavar="SUBJECT")
@click.option(
    "--column", metavar="NAME", help="The input that names it (default: serve: {log: {subject: ...}})."
)
@with_json
def erase(folder: str, name: str, column: str | None, as_json: bool) -> None:
    """Erase every answer and label about somebody, and leave a tombstone in the ledger.

    Servers that write the log go on with new files. Copies and backups are not reached, nor facts of tables
    or snapshots that training used.
    """
    done = open_project(folder).log_erase(name, column=column)
    if as_json:
        print_json(to_plain(done))
        return
    click.echo(
        f"{done.rows:,} answers and {done.labels:,} labels are erased; {done.parts} files were written anew"
    )
    if done.waiting:
        click.echo("a reader holds the old files: run `headrace log compact` when it is done", err=True)


@log.command("compact", epilog="Example: headrace log compact -C flights --every '10 min'")
@in_project
@click.option("--keep", metavar="DURATION", help="Drop what is older (default: serve: {log: {keep: ...}}).")
@click.option("--every", metavar="DURATION", help="Again and again, until Ctrl-C.")
@with_json
def compact(folder: str, keep: str | None, every: str | None, as_json: bool) -> None:
    """Turn what servers have finished writing into Parquet files, by day and route.

    With --every what fails once (the log is being erased from, the disk is full) is said, and tried again.
    """
    project = open_project(folder)
    pause = None if every is None else _span(every, "--every").total_seconds()
    if keep is not None:
        _span(keep, "--keep")
    while True:
        try:
            _say(project.log_compact(keep=keep, progress=Ticker(quiet=as_json)), as_json)
        except HeadraceError as error:
            if pause is None:
                raise
            click.echo(str(error), err=True)
        if pause is None:
            return
        time.sleep(pause)


def _span(text: str, option: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UserError(str(error), where=option) from None


def _say(done: Compacted, as_json: bool) -> None:
    if as_json:
        print_json(to_plain(done))
        return
    click.echo(f"{done.rows:,} answers (segments: {done.segments}) are in Parquet (new files: {done.made})")
    if done.merged:
        click.echo(f"{done.merged} small files were put together with others of their day")
    if done.expired:
        click.echo(f"{done.expired:,} answers were older than the log keeps")
    for name, lost in done.torn.items():
        click.echo(f"{name}: {lost:,} bytes are no whole answers (a process died while it wrote them)")
