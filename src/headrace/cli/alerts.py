"""`headrace alerts list|show|ack|resolve|messages|try`."""

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
