"""`headrace policy show|simulate`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.common import in_project, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.codec import to_plain
from headrace.core.errors import UserError

if TYPE_CHECKING:
    from headrace.core.spec.watching import Policy, Reaction
    from headrace.project import Project


@click.group(cls=Hinting, epilog="Example: headrace policy simulate --from 2026-01-01")
def policy() -> None:
    """What is done about what is seen: the spec's `policy`.

    `show` says what it would do now, `simulate` what it would have done. Neither changes anything.
    """


@policy.command(epilog="Example: headrace policy show")
@in_project
@with_json
def show(folder: str, as_json: bool) -> None:
    """Show the reactions, and what each would do now."""
    project = open_project(folder)
    wanted, found = project.policy(), project.considered()
    if as_json:
        print_json({"policy": wanted.model_dump(mode="json"), "considered": [to_plain(c) for c in found]})
        return
    if not wanted.reactions:
        click.echo("no reactions: alerts are told, and nothing is done (policy.reactions in the spec)")
        return
    rows = []
    for number, reaction in enumerate(wanted.reactions):
        mine = [c for c in found if c.number == number]
        now = "; ".join(f"{c.action.reason}: {c.hold or 'now'}" for c in mine)
        rows.append([_on(reaction), reaction.do, now or "nothing calls for it"])
    click.echo(table(["on", "do", "now"], rows))
    asks = "a person is asked" if wanted.approval == "ask" else "the gates alone decide"
    click.echo(f"\nbefore a retrained release answers: {asks}")


def _on(reaction: Reaction) -> str:
    more = [reaction.cron, f"{reaction.count:,}" if reaction.count else "", reaction.age or ""]
    told = " ".join(m for m in (reaction.on, *more) if m)
    return f"{told}, {reaction.least} windows in a row" if reaction.least > 1 else told


@policy.command(epilog="Example: headrace policy simulate --from 2026-01-01 --policy other.yaml")
@in_project
@click.option("--from", "start", required=True, metavar="DATE", help="The first day, or moment, in UTC.")
@click.option("--to", "end", metavar="DATE", help="The last (default: now).")
@click.option(
    "--policy", "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
    help="Another spec, whose policy is asked (default: the project's).",
)  # fmt: skip
@with_json
def simulate(folder: str, start: str, end: str | None, file: str | None, as_json: bool) -> None:
    """Replay the ledger, and say what the policy would have done when, and what was done in fact.

    Alerts, labels and champions are taken as they were: what would have come of an action is not guessed.
    """
    project = open_project(folder)
    wanted = _policy(project, file)
    done = project.simulate(_moment(start, "--from"), _moment(end, "--to") if end else None, policy=wanted)
    if as_json:
        print_json(to_plain(done))
        return
    from headrace.policy.simulate import matched

    lines: list[list[Any]] = [[at[:16], would, did] for at, would, did in matched(done)]
    if not lines:
        click.echo("the policy would have done nothing, and nothing was done")
        return
    click.echo(table(["at", "the policy would have", "what was done"], lines))


def _policy(project: Project, file: str | None) -> Policy | None:
    return None if file is None else project.policy(Path(file).read_text(encoding="utf-8"))


def _moment(text: str, option: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{text!r} is no date", fix=f"write {option} 2026-01-31, or 2026-01-31T12:00"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
