"""`headrace ablate`."""

from __future__ import annotations

import click

from headrace.cli.common import Ticker, in_project, number, open_project, print_json, span, table, with_json
from headrace.core.codec import to_plain
from headrace.policy.changes import Ablation, Arm


@click.command(epilog="Example: headrace ablate -C flights\n\nExample: headrace ablate run-7 --json")
@click.argument("run", required=False)
@in_project
@with_json
def ablate(run: str | None, folder: str, as_json: bool) -> None:
    """Run every change of RUN (default: the newest) against the champion alone: which did what?

    A component is data, features, model, tuning or code. Each arm is the champion with one of them changed,
    run to the end of `evaluate` (the test stays sealed), and measured on the same validation rows. The gate
    one-change then lets RUN pass: run `headrace run` again.
    """
    found = open_project(folder).ablate(run, progress=Ticker())
    if as_json:
        print_json(to_plain(found))
    else:
        click.echo(render(found))


def render(found: Ablation) -> str:
    """The arms, the total, and what is left over, as text."""
    head = (
        f"{found.run} against champion {found.champion}: {found.metric} on {found.rows:,} rows "
        f"({found.units:,} units) that none was trained on; above 0 is better"
    )
    rows = [_row(a) for a in (*found.arms, found.total, found.left_over)]
    parts = [head, table(["alone", "effect", "interval", "says", "run", "changed"], rows, right=(1,))]
    parts += [f"{a.component} can't be told apart: {a.why_none}" for a in found.arms if a.effect is None]
    if found.frame:
        parts.append(f"left over holds what the frame's changes did, too: {found.frame}")
    if not found.complete:
        parts.append("not every arm was measured: the gate one-change stays as it is")
    return "\n\n".join(parts)


def _row(a: Arm) -> list[str]:
    ends = span({"low": a.interval[0], "high": a.interval[1]}) if a.interval else "–"
    return [a.component, number(a.effect), ends, a.says or "–", a.run or "–", a.changed]
