"""`headrace alerts list|show|rows|review|ack|resolve|messages|try`."""

from __future__ import annotations

import sys

import click

from headrace.cli.common import in_project, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.codec import to_plain
from headrace.core.watching import AlertState, AlertView


@click.group(cls=Hinting, epilog="Example: headrace alerts list -C flights --state open")
def alerts() -> None:
    """Alerts: what changed beyond the budget of false alarms, why, and who sees to it."""


@alerts.command("list", epilog="Example: headrace alerts list --state open")
@in_project
@click.option("--state", type=click.Choice([s.value for s in AlertState]), help="In this state alone.")
@with_json
def list_(folder: str, state: str | None, as_json: bool) -> None:
    """List alerts, the newest last."""
    found = open_project(folder).alerts(state=state)
    if as_json:
        print_json([to_plain(a) for a in found])
        return
    if not found:
        click.echo("no alerts")
        return
    click.echo(table(["alert", "state", "since", "windows", "release", "what"], [_row(a) for a in found]))


def _row(alert: AlertView) -> list[object]:
    from headrace.watch.sinks.text import when

    mark = "! " if alert.harms else ""
    return [
        alert.alert,
        alert.state.value,
        when(alert.since),
        alert.windows,
        f"{alert.release} {alert.arm}",
        mark + alert.title,
    ]


@alerts.command(epilog="Example: headrace alerts show 3f2a")
@in_project
@click.argument("alert")
@with_json
def show(folder: str, alert: str, as_json: bool) -> None:
    """Show an alert: what moved, since when, why, and what it did."""
    found = open_project(folder).alert(alert)
    if as_json:
        print_json(to_plain(found))
        return
    from headrace.core.watching import Message, Told
    from headrace.watch.sinks.text import lines

    told = Told.RESOLVED if found.state is AlertState.RESOLVED else Told.OPENED
    click.echo(f"{found.alert}: {found.state.value}" + (" by " + found.by if found.by else ""))
    for line in lines(Message(found.alert, found.changed, told, "", found)):
        click.echo(line)


_everywhere = click.option(
    "--all", "everywhere", is_flag=True, help="All answers of its windows, not the slice's alone."
)


@alerts.command(epilog="Example: headrace alerts rows 3f2a -o rows.csv")
@in_project
@click.argument("alert")
@click.option("-o", "output", metavar="FILE", type=click.Path(dir_okay=False), help=".csv or .jsonl.")
@click.option("--most", type=click.IntRange(1), metavar="N", help="So many, evenly chosen over the time.")
@_everywhere
@with_json
def rows(
    folder: str, alert: str, output: str | None, most: int | None, everywhere: bool, as_json: bool
) -> None:
    """The answers behind an alert, with labels where known: of the slice that the change is in."""
    project = open_project(folder)
    if output:
        count = project.alert_export(alert, output, everywhere=everywhere, most=most)
        click.echo(f"{count} rows in {output}")
        return
    found = project.alert_rows(alert, everywhere=everywhere, most=most if as_json else most or 20)
    if as_json:
        print_json([{n: v if _plain(v) else str(v) for n, v in row.items()} for row in found])
        return
    if not found:
        click.echo("the log has no such answers any more")
        return
    names = [n for n in found[0] if n.startswith("input_")][:6]
    names = ["time", *names, "prediction", "label"]
    click.echo(table([n.removeprefix("input_") for n in names], [[row[n] for n in names] for row in found]))
    click.echo(f"{len(found)} shown; all of them: headrace alerts rows {alert} -o rows.csv")


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


@alerts.command(epilog="Example: headrace alerts review 3f2a --most 50")
@in_project
@click.argument("alert")
@click.option("--most", default=50, show_default=True, type=click.IntRange(1), help="So many at most.")
@_everywhere
@with_json
def review(folder: str, alert: str, most: int, everywhere: bool, as_json: bool) -> None:
    """Send answers of an alert that have no label yet to people (`headrace review`)."""
    sent = open_project(folder).alert_review(alert, most=most, everywhere=everywhere)
    if as_json:
        print_json(sent)
        return
    click.echo(f"{len(sent)} answers wait for a reviewer: headrace review next")


@alerts.command(epilog="Example: headrace alerts ack 3f2a --reason 'the feed is being mended'")
@in_project
@click.argument("alert")
@click.option("--reason", default="", help="What is being done.")
@click.option("--by", metavar="NAME", help="Who sees to it (default: you).")
def ack(folder: str, alert: str, reason: str, by: str | None) -> None:
    """Say that somebody sees to it: it is not told again, nor escalated."""
    found = open_project(folder).acknowledge(alert, reason=reason, by=by)
    click.echo(f"{found.alert} is acknowledged by {found.by}")


@alerts.command(epilog="Example: headrace alerts resolve 3f2a --reason 'the feed sends gusts again'")
@in_project
@click.argument("alert")
@click.option("--reason", required=True, help="What was done, or why it is none.")
@click.option("--by", metavar="NAME", help="Who says so (default: you).")
def resolve(folder: str, alert: str, reason: str, by: str | None) -> None:
    """Say that an alert is over, and why."""
    found = open_project(folder).resolve(alert, reason, by=by)
    click.echo(f"{found.alert} is resolved")


@alerts.command(epilog="Example: headrace alerts messages --json")
@in_project
@with_json
def messages(folder: str, as_json: bool) -> None:
    """List what was told to whom, and what waits for a receiver that is down."""
    found = open_project(folder).messages()
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("nothing was told yet")
        return
    rows = [
        [m["message"], m["receiver"], m["sent"] or f"waits, tried {m['tries']} times", m["trouble"]]
        for m in found
    ]
    click.echo(table(["message", "receiver", "sent", "trouble"], rows))


@alerts.command("try", epilog="Example: headrace alerts try -C flights")
@in_project
@with_json
def try_(folder: str, as_json: bool) -> None:
    """Send every receiver a message that says it is a trial. Exits with 1 where one did not take it."""
    found = open_project(folder).try_receivers()
    if as_json:
        print_json([to_plain(t) for t in found])
    else:
        for tested in found:
            click.echo(f"{tested.receiver}: {tested.trouble or 'taken'}")
    if any(t.trouble for t in found):
        sys.exit(1)
