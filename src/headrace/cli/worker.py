"""`headrace worker` and `headrace jobs list|show|approve|refuse`."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

import click

from headrace.cli.common import Ticker, in_project, open_project, print_json, table, told_warnings, with_json
from headrace.cli.hints import Hinting
from headrace.core.clock import parse_duration
from headrace.core.codec import to_plain
from headrace.core.errors import HeadraceError
from headrace.core.jobs import Job

BLOCKED, ASKED = 3, 4
"""Exit codes of `worker --once`: a gate blocked the job, or a person is asked."""


@click.command(epilog="Example: headrace worker -C flights --every 10s")
@in_project
@click.option("--once", is_flag=True, help="Do what is to be done now, and end: for cron.")
@click.option("--every", default="10 s", show_default=True, metavar="SPAN", help="How often to look.")
@with_json
def worker(folder: str, once: bool, every: str, as_json: bool) -> None:
    """Carry out what the policy decides: retraining, thresholds, rollbacks.

    Looks at alerts, labels and the clock, queues jobs, and does them one at a time. Any number of workers may
    run, on any machine that has the project's folder; none of them answers requests. Ctrl-C, or SIGTERM,
    gives the job in the making back to the others.
    """
    try:
        span = parse_duration(every).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--every") from None
    ended = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        ended.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        _work(folder, span, once=once, as_json=as_json)
    except ImportError as error:
        if not ended.is_set():
            raise
        raise KeyboardInterrupt from error  # what comes of it in the middle of loading a compiled library


def _work(folder: str, span: float, *, once: bool, as_json: bool) -> None:
    project = open_project(folder)
    wait = threading.Event()
    code = 0
    while True:
        job = None
        try:
            with told_warnings():
                for new in project.react():
                    if not as_json:
                        click.echo(f"queued {new.job}: {new.do.value}, {new.reason}")
                job = project.work(progress=Ticker(quiet=as_json))
        except HeadraceError as error:
            if once:
                raise
            # A full disk, a spec that somebody is writing: nothing is lost, and it is tried again.
            click.echo(f"error: {error}", err=True)
        if job is not None:
            _tell(job, as_json)
            code = {"blocked": BLOCKED, "asked": ASKED, "failed": 2}.get(job.status, code)
        elif once:
            sys.exit(code)
        else:
            wait.wait(span)


def _tell(job: Job, as_json: bool) -> None:
    if as_json:
        print_json(_plain(job))
        return
    made = job.result.get("release")
    end = f": {job.tells}" if job.tells else f", release {made}" if made else ""
    click.echo(f"{job.job}: {job.result.get('status', job.status)}{end}")
    if job.status == "asked":
        click.echo(f"  say yes: headrace jobs approve {job.job} --by NAME")


@click.group(cls=Hinting, epilog="Example: headrace jobs list")
def jobs() -> None:
    """What the policy decided, and what became of it.

    A job is queued, taken by a worker, and done; or a gate blocks it, or a person is asked.
    """


@jobs.command("list", epilog="Example: headrace jobs list")
@in_project
@click.option("--all", "every", is_flag=True, help="Those that are long over, too (default: the newest 20).")
@with_json
def list_(folder: str, every: bool, as_json: bool) -> None:
    """List jobs, newest first."""
    found = list(open_project(folder).jobs().values())[::-1]
    shown = found if every else found[:20]
    if as_json:
        print_json([_plain(j) for j in shown])
        return
    if not shown:
        click.echo("no jobs: the policy has decided on nothing")
        return
    rows = [
        [j.job, j.queued[:16], j.status, j.do.value, j.result.get("release"), j.tells or j.reason]
        for j in shown
    ]
    click.echo(table(["job", "queued", "status", "does", "release", "why"], rows))


@jobs.command(epilog="Example: headrace jobs show retrain-4f")
@in_project
@click.argument("job")
@with_json
def show(folder: str, job: str, as_json: bool) -> None:
    """Show one job."""
    found = open_project(folder).job(job)
    if as_json:
        print_json(_plain(found))
        return
    click.echo(f"{found.job}: {found.do.value}, {found.status}")
    lines: list[tuple[str, Any]] = [
        ("because", found.reason),
        ("cause", found.cause),
        ("champion then", found.release),
        ("queued", found.queued[:19]),
        ("worker", found.worker and f"{found.worker} until {found.until[:19]}, try {found.tries}"),
        ("asks", found.ask),
        ("approved by", found.approved),
        ("ended", found.finished[:19]),
        *((n, _shown(v)) for n, v in sorted(found.result.items())),
    ]
    for name, value in lines:
        if value:
            click.echo(f"  {name:<14} {value}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{n} {v}" for n, v in value.items())
    if isinstance(value, list):
        return "; ".join(_length(v) for v in value)
    return str(value)


def _length(value: Any) -> str:
    """A length of history and how good the model was with it."""
    days = value["micros"] / 86_400_000_000
    mean = sum(value["values"]) / len(value["values"]) if value["values"] else None
    return f"{days:g} days: {value['why_none'] if mean is None else f'{mean:.4g}'}"


@jobs.command(epilog="Example: headrace jobs approve retrain-4f --by you@example.com")
@in_project
@click.argument("job")
@click.option(
    "--by", metavar="NAME", help="Who says so (default: HEADRACE_USER, git's user.email, the login)."
)
@click.option("--reason", default="", metavar="TEXT", help="Why.")
@click.option("--do", "do", metavar="WHAT", help="What is to be done, where that is the question.")
@with_json
def approve(folder: str, job: str, by: str | None, reason: str, do: str | None, as_json: bool) -> None:
    """Say yes to what a job asks; a worker goes on with it.

    Where it asks whether a release may answer, this approves the release, too.
    """
    done = open_project(folder).approve_job(job, by=by, reason=reason, do=do)
    if as_json:
        print_json(_plain(done))
        return
    click.echo(f"{done.job}: approved by {done.approved}; a worker goes on with it (headrace worker)")


@jobs.command(
    epilog="Example: headrace jobs refuse retrain-4f --reason 'the feed is mended' --by you@example.com"
)
@in_project
@click.argument("job")
@click.option(
    "--by", metavar="NAME", help="Who says so (default: HEADRACE_USER, git's user.email, the login)."
)
@click.option("--reason", required=True, metavar="TEXT", help="Why not.")
@with_json
def refuse(folder: str, job: str, by: str | None, reason: str, as_json: bool) -> None:
    """Say no to what a job asks, or take back one that no worker has begun."""
    done = open_project(folder).refuse_job(job, by=by, reason=reason)
    if as_json:
        print_json(_plain(done))
        return
    click.echo(f"{done.job}: refused")


def _plain(job: Job) -> dict[str, Any]:
    return {**to_plain(job), "tells": job.tells}
