"""`headrace report`: documents that are made from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headrace.cli.common import in_project, number, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.engine.health import Health, Share

if TYPE_CHECKING:
    from headrace.report.made import Report


@click.group(cls=Hinting)
def report() -> None:
    """Documents made from the ledger."""


@report.command(epilog="Example: headrace report health -C flights")
@in_project
@with_json
def health(folder: str, as_json: bool) -> None:
    """How well the project is kept: lineage, reproducibility, gates, waivers, times, cadence, coverage."""
    found = open_project(folder).health()
    if as_json:
        print_json(found.plain())
    else:
        click.echo(render(found))


@report.command("run", epilog="Example: headrace report run run-3 -o run-3.html --open")
@in_project
@click.argument("run", required=False, metavar="[RUN]")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Where to write the page (default: RUN.html, here).",
)
@click.option("--open", "opened", is_flag=True, help="Show it in the browser.")
@with_json
def of_run(folder: str, run: str | None, output: str | None, opened: bool, as_json: bool) -> None:
    """A run as one HTML page that needs nothing beside it (default: the newest run).

    Runs that were blocked, failed or stopped have theirs too, and so have those of scripts. `--json` prints
    what the page is made of, and writes no page.
    """
    project = open_project(folder)
    if as_json:
        print_json(project.told(run))
        return
    name = project.show(run).run
    _write(project.report(name), output or f"{name}.html", opened)


@report.command(epilog="Example: headrace report card champion -o card.md")
@in_project
@click.argument("release", required=False, metavar="[RELEASE]")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Where to write it, as Markdown where the name ends in .md, else as HTML (default: "
    "card-RELEASE.html, here).",
)
@click.option("--open", "opened", is_flag=True, help="Show it in the browser.")
@with_json
def card(folder: str, release: str | None, output: str | None, opened: bool, as_json: bool) -> None:
    """The model card of a release (default: the champion): what it is for, for whom it was measured, and
    what to beware of (Mitchell et al. 2019).

    `--json` prints the manifest that it is made of, and writes no card.
    """
    project = open_project(folder)
    found, manifest = project.release(release)
    if as_json:
        print_json(manifest)
        return
    name = found.release
    _write(project.card(name), output or f"card-{name}.html", opened)


def _write(made: Report, output: str, opened: bool) -> None:
    file = made.save(output)
    click.echo(f"wrote {file}")
    if opened:
        click.launch(str(file))


def render(found: Health) -> str:
    """A project's health as text."""
    cadence = found.cadence
    facts = [
        ["lineage: artifacts kept", _share(found.lineage)],
        ["stages that worked twice and made the same", _share(found.rework)],
        ["runs done again that agreed", _share(found.reproduced)],
        ["gates that gave a verdict in the newest run", _share(found.evaluators)],
        ["runs, releases, promotions", f"{cadence.runs}, {cadence.releases}, {cadence.promotions}"],
        ["runs a week", number(cadence.runs_a_week)],
        ["days since the last promotion", number(cadence.days_since_promotion)],
    ]
    gates = [[g.gate, g.judged, g.passed, g.waived, g.not_applicable] for g in found.gates]
    stages = [[s.stage, s.times, s.median, s.p95] for s in found.stages]
    parts = [
        table(["health", ""], facts),
        table(["gate", "judged", "passed", "waived", "not applicable"], gates, right=(1, 2, 3, 4)),
        table(["stage", "worked", "median s", "95% s"], stages, right=(1, 2, 3)),
    ]
    if found.waivers:
        rows = [[w.gate, w.by, w.days_old, w.days_left, w.reason] for w in found.waivers]
        parts.append(table(["waived", "by", "days old", "days left", "reason"], rows, right=(2, 3)))
    if found.silent:
        parts.append("without a verdict in the newest run: " + ", ".join(found.silent))
    return "\n\n".join(parts)


def _share(share: Share) -> str:
    return f"{share.good} of {share.of} ({share.value:.0%})" if share.value is not None else "none yet"
