"""`headrace features` and `headrace features propose`."""

from __future__ import annotations

from pathlib import Path
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
from headrace.core.errors import NotFound, UserError, did_you_mean
from headrace.core.spec import LOCK_NAME

if TYPE_CHECKING:
    from headrace.core.catalogue import FeatureTold
    from headrace.core.spec import ParsedLock
    from headrace.core.spec.lock import Gain


@click.group(
    invoke_without_command=True,
    epilog="Example: headrace features -C housing --why near_target --plot features.html",
)
@in_project
@click.option("--why", "name", metavar="NAME", help="Explain one feature.")
@click.option("--dropped", is_flag=True, help="List proposals that were not kept too.")
@click.option(
    "--plot", metavar="FILE", type=click.Path(dir_okay=False), help="Write a page with figures to FILE."
)
@with_json
@click.pass_context
def features(
    ctx: click.Context, folder: str, name: str | None, dropped: bool, plot: str | None, as_json: bool
) -> None:
    """Every feature: what it is, where it comes from, what it gained, and its risk of leakage.

    With --why NAME: its definition, how its values lie over the training rows of the newest run, its gain
    with the interval, and which releases use it. `headrace features propose` makes proposals.
    """
    ctx.ensure_object(dict)["folder"] = folder
    if ctx.invoked_subcommand is not None:
        return
    project = open_project(folder)
    with told_warnings():
        found = project.features()
    if plot is not None:
        _write(plot, found, project.spec().spec.project)
    if name is not None:
        one = _one(found, name)
        if as_json:
            print_json(one.plain())
        else:
            click.echo(why_text(one))
    elif as_json:
        print_json(
            {"features": [f.plain() for f in found], "awaits_proposals": project.spec().spec.awaits_proposals}
        )
    else:
        click.echo(list_text(found, dropped=dropped))
        if project.spec().spec.awaits_proposals:
            click.echo("proposals are asked for and not made yet: headrace features propose, or headrace run")
    if plot is not None and not as_json:
        click.echo(f"wrote {plot}")


@features.command(epilog="Example: headrace features propose -C housing --budget '30 s' --again")
@click.option("-C", "folder", metavar="DIR", type=click.Path(file_okay=False), help="The project's folder.")
@click.option("--budget", metavar="TIME", help="The time that choosing may take, such as '60 s'.")
@click.option("--again", is_flag=True, help=f"Make a {LOCK_NAME} that is there anew; what it pins stays.")
@with_json
@click.pass_context
def propose(ctx: click.Context, folder: str | None, budget: str | None, again: bool, as_json: bool) -> None:
    """Propose features and keep those that earn their place, in features.lock.yaml.

    Works on training rows alone. A proposal is kept when it lessens the loss out of fold beyond noise, and
    by more than shuffled copies of it.
    """
    if budget is not None:
        _check_budget(budget)
    project = open_project(folder or ctx.ensure_object(dict).get("folder", "."))
    with told_warnings():
        lock = project.propose(again=again, budget=budget, progress=Ticker())
    if as_json:
        print_json({"lock": str(project.root / LOCK_NAME), **lock.lock.model_dump(mode="json")})
    else:
        click.echo(lock_summary(lock))


def _check_budget(budget: str) -> None:
    from headrace.core.clock import parse_duration

    try:
        parse_duration(budget)
    except ValueError as error:
        raise UserError(f"--budget: {error}", fix="write a time such as '60 s'") from None


def lock_summary(lock: ParsedLock) -> str:
    """What was kept, in a few lines."""
    found = lock.lock
    tried = [n for n in found.features if n in found.about and found.about[n].measured is not None]
    plain = [n for n in found.features if n not in tried]
    lines = [f"wrote {lock.name}: {len(tried)} of {found.made.tried} proposals kept ({found.made.ended})"]
    rows = [[n, found.about[n].form, gain_text(found.about[n].measured), _short(n, lock)] for n in tried]
    if rows:
        lines.append(table(["feature", "form", "loss less by", "definition"], rows))
    if plain:
        lines.append(f"taken as they are: {', '.join(plain)}")
    return "\n".join(lines)


def _short(name: str, lock: ParsedLock) -> str:
    return lock.lock.feature_specs()[name].text


def _one(found: tuple[FeatureTold, ...], name: str) -> FeatureTold:
    by_name = {f.name: f for f in found}
    if name not in by_name:
        raise NotFound(f"there is no feature {name!r}", fix=did_you_mean(name, by_name))
    return by_name[name]


def _write(file: str, found: tuple[FeatureTold, ...], project: str) -> None:
    from headrace.report.features import features_page

    try:
        Path(file).write_text(features_page(found, title=f"Features of {project}"), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}", fix="choose another file") from error


def gain_text(gain: Gain | None) -> str:
    """A gain with its interval, in percent of the loss."""
    return "–" if gain is None else f"{gain.gain:.2%} [{gain.low:.2%}, {gain.high:.2%}]"


def list_text(found: tuple[FeatureTold, ...], *, dropped: bool = False) -> str:
    """The features as a table."""
    shown = [f for f in found if dropped or f.state != "dropped"]
    rows: list[list[Any]] = [
        [f.name, f.form, f.type or "–", ", ".join(f.source) or "–", f.state, gain_text(f.measured),
         f.risk.partition(":")[0] or "–", f.why or f.description or f.definition]
        for f in shown
    ]  # fmt: skip
    heads = ["feature", "form", "type", "source", "state", "loss less by", "leakage risk", "about"]
    told = table(heads, rows)
    left = len(found) - len(shown)
    return told + (f"\n{left} proposals were not kept: --dropped lists them" if left else "")


def why_text(f: FeatureTold) -> str:
    """One feature explained."""
    told = {
        "definition": f.definition,
        "description": f.description,
        "state": f.state + (f": {f.why}" if f.why else ""),
        "form": f.form,
        "type": f.type,
        "source": ", ".join(f.source),
        "loss less by": _gain(f.measured),
        "leakage risk": f.risk,
        "owner": f.owner,
        "releases": ", ".join(f.releases),
    }
    lines = [f.name] + [f"  {k:<13} {v or '–'}" for k, v in told.items()]
    if f.spreads:
        lines.append(f"  values        over the training rows of {f.run}")
    heads = ["column", "missing", "mean", "low", "5%", "25%", "median", "75%", "95%", "high"]
    numbers = [
        [s.column, f"{s.missing:.1%}", number(s.mean), *(number(q) for q in s.quantiles)]
        for s in f.spreads
        if s.quantiles
    ]
    if numbers:
        lines.append(table(heads, numbers, right=range(1, 10)))
    for s in f.spreads:
        if s.values:
            most = ", ".join(f"{n} {share:.1%}" for n, share in s.values)
            lines.append(f"  {s.column}: {s.missing:.1%} missing; {most}")
    return "\n".join(lines)


def _gain(gain: Gain | None) -> str:
    if gain is None:
        return "not measured: taken as it is"
    probe = f"; the best shuffled copy: {gain.probe:.2%}" if gain.probe is not None else ""
    return f"{gain_text(gain)} (90%, over whole units){probe}"
