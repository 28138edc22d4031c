"""`headrace schedule add|list|run|line|remove`."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from headrace.cli.common import Ticker, in_project, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.clock import iso
from headrace.core.codec import to_plain


@click.group(cls=Hinting, epilog="Example: headrace schedule run -C flights")
def schedule() -> None:
    """Batches that are run again and again.

    `add` says what and when, `run` does what is due: call it every minute, from cron or systemd (`line`
    prints what to write there). A moment is run once, whoever calls and however often.
    """


@schedule.command(
    epilog="Example: headrace schedule add nightly '0 2 * * *' 'in/{due:%Y-%m-%d}/*.parquet' -o 'out/{due}'"
)
@in_project
@click.argument("name")
@click.argument("cron")
@click.argument("source", metavar="IN")
@click.option("-o", "--output", required=True, metavar="OUT", help="A folder with {due} in it.")
@click.option("--zone", default="UTC", show_default=True, help="Of the cron expression.")
@click.option("--every", is_flag=True, help="Make up for all moments that were missed, not the newest alone.")
@click.option("--release", metavar="NAME", help="Score with this release (default: who is champion then).")
@click.option("--workers", default=1, show_default=True, metavar="N", type=click.IntRange(1, 256))
@click.option("--query", default="", metavar="SQL", help="What a database is asked, in place of a table.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="Carry this column of IN along.")
@click.option(
    "--to", default="", metavar="TABLE", help="Answers go there too: duckdb:FILE#TABLE or '$VAR#TABLE'."
)
@click.option("--key", multiple=True, metavar="COLUMN", help="Names a row of --to.")
@with_json
def add(
    folder: str,
    name: str,
    cron: str,
    source: str,
    output: str,
    zone: str,
    every: bool,
    release: str | None,
    workers: int,
    query: str,
    keep: tuple[str, ...],
    to: str,
    key: tuple[str, ...],
    as_json: bool,
) -> None:
    """Put a batch on a schedule, in place of one of that name.

    {due} and {due:%Y-%m-%d} in IN and OUT are the moment that a run is for. Both lie in the project's folder.
    """
    given = {
        "release": release,
        "workers": workers,
        "query": query,
        "keep": list(keep),
        "to": to,
        "key": list(key),
    }
    options = {n: v for n, v in given.items() if v}
    made = open_project(folder).set_schedule(
        name, cron, source, output, zone=zone, every=every, options=options
    )
    if as_json:
        print_json(to_plain(made))
        return
    click.echo(
        f"{name}: next at {_shown(made.next(datetime.now(UTC)))}; `headrace schedule run` does what is due"
    )


@schedule.command("list", epilog="Example: headrace schedule list")
@in_project
@with_json
def list_(folder: str, as_json: bool) -> None:
    """List schedules, when each is next, and what it ran last."""
    found = open_project(folder).schedules()
    now = datetime.now(UTC)
    if as_json:
        print_json([{**to_plain(s), "next": iso(s.next(now))} for s in found.values()])
        return
    if not found:
        click.echo("no schedules")
        return
    rows = [
        [s.name, s.cron, s.zone, _shown(s.next(now)), s.ran[:16] or None, s.source, s.output]
        for s in found.values()
    ]
    click.echo(table(["name", "cron", "zone", "next", "ran last", "in", "out"], rows))


@schedule.command(epilog="Example: headrace schedule run -C flights")
@in_project
@click.argument("names", nargs=-1)
@with_json
def run(folder: str, names: tuple[str, ...], as_json: bool) -> None:
    """Run what is due now, once."""
    done = open_project(folder).run_schedules(names, progress=Ticker(quiet=as_json))
    if as_json:
        print_json([{"name": n, "due": due, **to_plain(batch)} for n, due, batch in done])
        return
    for name, due, batch in done:
        click.echo(f"{name}, due {due[:16]}: {batch.rows:,} rows → {batch.output}")
    if not done:
        click.echo("nothing is due")


@schedule.command(epilog="Example: headrace schedule line --as systemd")
@in_project
@click.option("--as", "kind", type=click.Choice(["cron", "systemd"]), default="cron", show_default=True)
def line(folder: str, kind: str) -> None:
    """Print what calls `run` every minute: a line of crontab, or a service and timer of systemd."""
    root = open_project(folder).root
    command = [str(Path(sys.argv[0]).resolve()), "schedule", "run", "-C", str(root)]
    if kind == "cron":
        click.echo(f"* * * * * {shlex.join(command).replace('%', chr(92) + '%')}")
        return
    words = " ".join('"' + w.replace("%", "%%").replace('"', '\\"') + '"' for w in command)
    click.echo(
        "# headrace.service\n[Unit]\nDescription=headrace: batches that are due\n\n[Service]\nType=oneshot\n"
        f"ExecStart={words}\n\n# headrace.timer\n[Timer]\nOnCalendar=minutely\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target"
    )


@schedule.command(epilog="Example: headrace schedule remove nightly")
@in_project
@click.argument("name")
def remove(folder: str, name: str) -> None:
    """Take a schedule away; what it has made stays."""
    open_project(folder).remove_schedule(name)
    click.echo(f"removed {name}")


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"
