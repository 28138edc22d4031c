"""`headrace ab plan|start|status|stop|list`."""

from __future__ import annotations

import math

import click

from headrace.cli.common import in_project, number, open_project, print_json, span, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.codec import to_plain
from headrace.core.errors import UserError
from headrace.core.experiments import Experiment
from headrace.core.spec.scalars import parse_rate


@click.group(
    cls=Hinting, epilog="Example: headrace ab plan --baseline 0.2 --effect 0.02 --pace '2,000 / day'"
)
def ab() -> None:
    """Experiments: units divided between the champion and another release, looked at as often as you like.

    Intervals hold at every look, so that peeking is free. A decision is kept with what was seen.
    """


@ab.command(epilog="Example: headrace ab plan --baseline 0.2 --effect 0.02 --pace '2,000 / day'")
@in_project
@click.option(
    "--baseline", type=float, metavar="SHARE", help="The champion's share, where the outcome is one."
)
@click.option(
    "--spread", type=float, metavar="SD", help="Standard deviation between units, where it is a mean."
)
@click.option(
    "--ratio",
    nargs=2,
    type=float,
    metavar="CV CORR",
    help="A ratio of sums: the coefficient of variation of both sums by unit, and their correlation.",
)
@click.option("--effect", type=float, metavar="DIFF", help="The smallest difference worth finding.")
@click.option("--traffic", type=click.FloatRange(0, 1, True, True), metavar="SHARE", help="Of the treatment.")
@click.option("--alpha", type=click.FloatRange(0, 1, True, True), metavar="P", help="Chance of a false win.")
@click.option(
    "--power", type=click.FloatRange(0, 1, True, True), metavar="P", help="Chance to find the effect."
)
@click.option("--cuped", type=click.FloatRange(0, 1, False, True), metavar="CORR", default=0.0,
              help="Correlation of the outcome with what is known beforehand.")  # fmt: skip
@click.option("--pace", metavar="RATE", help="New units, such as '2,000 / day'.")
@with_json
def plan(
    folder: str,
    baseline: float | None,
    spread: float | None,
    ratio: tuple[float, float] | None,
    effect: float | None,
    traffic: float | None,
    alpha: float | None,
    power: float | None,
    cuped: float,
    pace: str | None,
    as_json: bool,
) -> None:
    """Say how many units an experiment needs, and how many days that is at your traffic.

    What is not given comes from the spec's `experiment`. With --ratio the effect is relative: 0.02 is 2% of
    the ratio.
    """
    from headrace.engine.ab_plan import Question, answer

    told = answer(
        Question(baseline, spread, ratio, effect, traffic, alpha, power, cuped, _daily(pace)),
        open_project(folder).spec,
    )
    if as_json:
        print_json(to_plain(told))
        return
    click.echo(
        f"{told.units:,} units of both arms ({told.treatment:,} in the treatment) to see {told.effect:+g} "
        f"with a chance of {told.power:.0%}, looking whenever you like at level {told.alpha:g}"
    )
    click.echo(f"{told.single_look:,} would do for one single look at the end")
    if told.days is not None:
        click.echo(f"that is {math.ceil(told.days):,} days at {told.pace:,.0f} units a day")


@ab.command(epilog="Example: headrace ab start 3f2a --name shorter-form")
@in_project
@click.argument("release")
@click.option("--name", metavar="NAME", help="What the experiment is called (default: ab-…).")
@click.option("--route", default="default", show_default=True, metavar="ROUTE")
@click.option("--units", type=click.IntRange(2), metavar="N", help="Of both arms, with which it ends.")
@with_json
def start(folder: str, release: str, name: str | None, route: str, units: int | None, as_json: bool) -> None:
    """Divide a route's units between the champion and RELEASE, by the spec's `experiment`.

    RELEASE has to be one that could be promoted. Servers follow within a second.
    """
    started = open_project(folder).start_experiment(release, name=name, route=route, units=units or 0)
    if as_json:
        print_json(to_plain(started))
        return
    until = f", until {started.plan['planned']:,} units are there" if started.plan.get("planned") else ""
    click.echo(
        f"{started.name}: {started.share:.0%} of the units to {started.treatment}, the others to "
        f"{started.control}{until}"
    )


@ab.command(epilog="Example: headrace ab status")
@in_project
@click.argument("name", required=False)
@click.option("--keep", is_flag=True, help="Write this look down in the ledger.")
@with_json
def status(folder: str, name: str | None, keep: bool, as_json: bool) -> None:
    """Say what an experiment shows by now (default: the one that runs)."""
    told = open_project(folder).experiment_status(name, keep=keep)
    if as_json:
        print_json(to_plain(told))
        return
    x, seen = told.experiment, told.look
    state = f"stopped {x.stopped[:19]}: {x.decision}" if x.stopped else f"runs since {x.started[:19]}"
    click.echo(f"{x.name} on {x.route}: {x.treatment} against {x.control}, {state}")
    click.echo(f"units: {seen.units[0]:,} control, {seen.units[1]:,} treatment (split: p {seen.uneven:.2g})")
    rows = []
    if seen.effect is not None:
        means = [number(m) for m in seen.effect.means]
        rows.append(["all", *means, number(seen.effect.difference), span(seen.effect.interval)])
    rows += [
        [value, *(number(m) for m in e.means), number(e.difference), span(e.interval)]
        for value, e in seen.slices.items()
    ]
    if rows:
        click.echo(
            "\n" + table(["units", "control", "treatment", "difference", "interval"], rows, right=(1, 2, 3))
        )
    if seen.effect is not None and seen.effect.reduction:
        click.echo(f"\nthe covariate took out {seen.effect.reduction:.0%} of the variance")
    for text, held in seen.guardrails.items():
        mark = "broken" if held.broken else "holds"
        click.echo(f"guardrail {text}: {number(held.value)} {span(held.interval)}: {mark}")
    click.echo(f"\n{seen.verdict.value}: {seen.reason}")
    if told.days is not None and not x.stopped:
        click.echo(f"the planned units are there in {math.ceil(told.days):,} days at this pace")
    for note in (*told.notes, *([seen.novelty] if seen.novelty else [])):
        click.echo(f"note: {note}")


@ab.command(epilog="Example: headrace ab stop --ship")
@in_project
@click.argument("name", required=False)
@click.option("--ship", "decision", flag_value="ship", help="The treatment is to become champion.")
@click.option("--keep", "decision", flag_value="keep", help="The champion stays.")
@click.option("--none", "decision", flag_value="none", help="Nothing was learnt.")
@click.option("--reason", default="", metavar="TEXT", help="Why; needed to ship what was not shown.")
@with_json
def stop(folder: str, name: str | None, decision: str | None, reason: str, as_json: bool) -> None:
    """End an experiment with a decision, which is kept with what was seen.

    All units go back to the champion. --ship promotes nothing by itself: `headrace release promote` does.
    """
    if decision is None:
        raise UserError("say what is decided", fix="add --ship, --keep or --none")
    stopped = open_project(folder).stop_experiment(decision, name, reason=reason)
    if as_json:
        print_json(to_plain(stopped))
        return
    click.echo(f"{stopped.name}: {stopped.decision} ({stopped.verdict}: {stopped.reason})")
    if decision == "ship":
        click.echo(f"now: headrace release promote {stopped.treatment}")


@ab.command("list", epilog="Example: headrace ab list")
@in_project
@with_json
def list_(folder: str, as_json: bool) -> None:
    """List experiments and what was decided."""
    found = open_project(folder).experiments()
    if as_json:
        print_json([to_plain(x) for x in found])
        return
    if not found:
        click.echo("no experiments yet; start one with `headrace ab start RELEASE`")
        return
    headers = ["name", "route", "treatment", "control", "share", "started", "state"]
    click.echo(table(headers, [_line(x) for x in found]))


def _line(x: Experiment) -> list[str]:
    state = f"{x.decision} ({x.verdict})" if x.stopped else "runs"
    return [x.name, x.route, x.treatment, x.control, f"{x.share:.0%}", x.started[:19], state]


def _daily(pace: str | None) -> float | None:
    try:
        return None if pace is None else parse_rate(pace) * 86_400
    except ValueError as error:
        raise UserError(str(error)) from None
