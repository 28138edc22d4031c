"""`headrace watch`, `headrace watch windows|readings`."""

from __future__ import annotations

import csv
import io
import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.common import (
    Ticker,
    in_project,
    number,
    open_project,
    print_json,
    table,
    told_warnings,
    with_json,
)
from headrace.cli.hints import Hinting
from headrace.core.clock import from_micros, iso, parse_duration
from headrace.core.codec import to_json, to_plain
from headrace.core.errors import HeadraceError, UserError
from headrace.core.watching import Family

if TYPE_CHECKING:
    from headrace.watch.readings import Found
    from headrace.watch.tick import Ticked

_LOG = logging.getLogger("headrace.watch")

_LEAST = 0.5
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"])


@click.group(
    cls=Hinting,
    invoke_without_command=True,
    epilog="Example: headrace watch -C flights --once && headrace watch readings -C flights --exceeding",
)
@in_project
@click.option("--once", is_flag=True, help="Judge what is complete now, and end: for cron.")
@click.option("--every", default="60 s", show_default=True, metavar="DURATION", help="How often to look.")
@click.option("--attached", is_flag=True, hidden=True, help="End when standard input does.")
@with_json
@click.pass_context
def watch(ctx: click.Context, folder: str, once: bool, every: str, attached: bool, as_json: bool) -> None:
    """Watch live traffic: count it by windows, judge each window once, open alerts and tell them.

    What is new in the prediction log is counted in the bins of the release's reference; a window that is over
    gets its readings, and the ledger says so. It may be killed at any moment, and any number may run: one at
    a time does it. `headrace serve` does this by itself.
    """
    if ctx.invoked_subcommand is not None:
        given = {"folder": folder, "as_json": as_json}
        ctx.default_map = {"windows": given, "readings": given}
        return
    # Before numpy comes in: threads that wait for each other cost more than they bring, beside a server.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    span = _span(every)
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, _ending(ended))
    if attached:
        threading.Thread(target=_until_eof, daemon=True).start()
    project = open_project(folder)
    _ = project.store  # says what is missing
    try:
        while True:
            try:
                with told_warnings():
                    _say(project.watch(progress=Ticker(quiet=as_json or attached)), as_json, quiet=not once)
            except HeadraceError as error:
                if once:
                    raise
                # A full disk, a part that is being restored: nothing is lost, and it is tried again.
                click.echo(f"error: {error}", err=True)
            except Exception:  # the watch tick: one look that fails must not end all that would follow
                if once:
                    raise
                _LOG.exception("a look at the traffic failed")
            if once or ended.wait(span):
                return
    finally:
        signal.signal(signal.SIGTERM, before)


def _ending(ended: threading.Event) -> Any:
    def stop(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    return stop


def _until_eof() -> None:
    """End with whoever started this: a tick may be killed at any moment."""
    try:
        while sys.stdin.buffer.read(4096):
            pass
    finally:
        os._exit(0)


def _say(done: Ticked, as_json: bool, *, quiet: bool) -> None:
    if as_json:
        click.echo(to_json(done.plain()))
        return
    if done.busy:
        if not quiet:
            click.echo("another process is watching")
        return
    if done.arrived or done.labelled or not quiet:
        click.echo(
            f"{done.taken.rows:,} new answers counted; windows judged: {done.arrived} by their answers, "
            f"{done.labelled} by their labels; readings beyond their threshold: {done.exceeding}"
        )
    if done.late:
        click.echo(f"{done.late:,} answers came after their window was judged: counted, and not judged again")
    for who, why in done.trouble.items():
        click.echo(f"{who}: {why}", err=True)


def _utc(_ctx: click.Context, _option: click.Parameter, moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _filters(command: Any) -> Any:
    """Which windows: options with the names of what `Project.windows` and `.readings` take."""
    since, until = "Windows that end at this moment (UTC) or later.", "Windows that end by this moment (UTC)."
    for option in reversed(
        (
            click.option("--since", type=_MOMENT, callback=_utc, help=since),
            click.option("--until", type=_MOMENT, callback=_utc, help=until),
            click.option("--release", default="", metavar="NAME", help="Of this release."),
            click.option("--arm", default="", metavar="ARM", help="Of this arm: champion, canary, …"),
            click.option("--last", type=click.IntRange(1), metavar="N", help="The newest N windows."),
            click.option("--csv", "as_csv", is_flag=True, help="Print CSV."),
        )
    ):
        command = option(command)
    return command


@watch.command("windows", epilog="Example: headrace watch windows -C flights --last 14")
@in_project
@_filters
@with_json
def windows(folder: str, as_csv: bool, as_json: bool, **which: Any) -> None:
    """List judged windows, oldest first."""
    found = open_project(folder).windows(**which)
    if as_json:
        print_json([to_plain(w) for w in found])
        return
    names = ["from", "to", "release", "arm", "rows", "late", "labels", "exceeding"]
    rows = [
        [_when(w.start), _when(w.end), w.release, w.arm, w.rows, w.late, "judged" if w.labelled else "",
         w.exceeding]
        for w in found
    ]  # fmt: skip
    if as_csv:
        _print_csv(names, rows)
    elif not found:
        click.echo("no window was judged yet: `headrace watch --once`")
    else:
        click.echo(table(names, rows, right=(4, 5, 7)))


@watch.command("readings", epilog="Example: headrace watch readings -C flights --of dep_delay --check ks")
@in_project
@_filters
@click.option("--family", type=click.Choice([f.value for f in Family]), help="Of this family of checks.")
@click.option("--check", default="", metavar="NAME", help="Of this check: ks, missing, p99, …")
@click.option("--of", metavar="NAME", help="Of this column, output or slice.")
@click.option("--exceeding", is_flag=True, help="Only those beyond their threshold.")
@with_json
def readings(folder: str, family: str | None, as_csv: bool, as_json: bool, **which: Any) -> None:
    """List what checks said of windows, oldest first."""
    from headrace.project.watching import plain

    found = open_project(folder).readings(family=family or "", **which)
    if as_json:
        print_json(list(plain(found)))
        return
    names = ["window", "release", "arm", "check", "of", "value", "threshold", "!", "p", "n", "where"]
    if as_csv:
        _print_csv(names, [_row(f, exact=True) for f in found])
    elif not found:
        click.echo("no such readings")
    else:
        click.echo(table(names, [_row(f) for f in found], right=(5, 6, 8, 9)))


def _row(found: Found, *, exact: bool = False) -> list[Any]:
    w, r = found.window, found.reading
    told = (lambda v: v) if exact else _number
    return [
        _when(w.start),
        w.release,
        w.arm,
        r.check,
        r.of,
        told(r.value),
        told(r.threshold),
        "!" if r.exceeds else "",
        told(r.p),
        r.n,
        r.where or r.why_none,
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else number(value)


def _print_csv(names: list[str], rows: list[list[Any]]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([names, *rows])
    click.echo(out.getvalue(), nl=False)


def _when(moment: int) -> str:
    return iso(from_micros(moment))[:16].replace("T", " ")


def _span(text: str) -> float:
    try:
        span = parse_duration(text).total_seconds()
    except ValueError as error:
        raise UserError(str(error), where="--every") from None
    if span < _LEAST:
        raise UserError(f"{text} is too often", where="--every", fix=f"wait {_LEAST} s at least")
    return span
