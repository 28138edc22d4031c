"""`headrace runs`, `show` and `compare`."""

from __future__ import annotations

import click

from headrace.cli.cleaning import cleaning_text
from headrace.cli.common import Ticker, in_project, number, open_project, print_json, span, table, with_json
from headrace.cli.comparison import comparison_text
from headrace.cli.evaluation import evaluation_text
from headrace.cli.run import findings_text, gates_table, tables_table
from headrace.cli.verdict import advice_text, columns_text, leaderboard_text, worth_text
from headrace.core.codec import to_plain
from headrace.core.errors import UserError


@click.command(epilog="Example: headrace runs -C flights")
@in_project
@click.option(
    "-n",
    "most",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Show at most this many, newest last.",
)
@click.option(
    "--where", metavar="EXPR", help="Only runs for which this is true: metrics.f1 > 0.4 and tags.team = 'a'."
)
@with_json
def runs(folder: str, most: int, where: str | None, as_json: bool) -> None:
    """List the project's runs, those of scripts among them.

    --where knows run, name, kind (spine or script), status, author, started, commit, release, group, model
    and seconds, and tags.X, params.X, metrics.X, validation.X and test.X.
    """
    project = open_project(folder)
    seen = (project.find(where) if where else project.runs())[-most:]
    if as_json:
        print_json([to_plain(r) for r in seen])
        return
    if not seen:
        click.echo("no such runs" if where else "no runs yet; start one with `headrace run`")
        return
    rows = []
    for r in seen:
        test = r.summary.get("test") or {}
        shown = f"{test['metric']} {number(test['value'])}" if test.get("value") is not None else "–"
        rows.append([r.run, r.started[:19], r.status, shown, r.release or "–", r.name])
    click.echo(table(["run", "started", "status", "test", "release", "name"], rows))


@click.command(epilog="Example: headrace note run-3 'the new weather feed' --tag team=a --group weather")
@click.argument("run")
@click.argument("text", required=False, default="")
@in_project
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag; an empty value removes it.")
@click.option("--group", default="", help="The group of experiments that the run belongs to.")
@with_json
def note(run: str, text: str, folder: str, tags: tuple[str, ...], group: str, as_json: bool) -> None:
    """Add a note, tags or a group to RUN."""
    wrong = [t for t in tags if "=" not in t]
    if wrong:
        raise UserError(f"{wrong[0]!r} is no tag", fix="write --tag NAME=VALUE")
    split = dict(t.split("=", 1) for t in tags)
    noted = open_project(folder).note(run, text, tags=split, group=group)
    if as_json:
        print_json(to_plain(noted))
        return
    said = [f"group {noted.group}"] if noted.group else []
    said += [f"{n}={v}" for n, v in noted.tags.items()]
    click.echo(f"{noted.run}: " + ", ".join([*said, f"{len(noted.notes)} notes"]))


@click.command(epilog="Example: headrace show run-3")
@in_project
@click.argument("run", required=False)
@with_json
def show(folder: str, run: str | None, as_json: bool) -> None:
    """Show one run (default: the newest): stages, leaderboard, gates, test."""
    r = open_project(folder).show(run)
    if as_json:
        print_json(to_plain(r))
        return
    s = r.summary
    dirty = " (uncommitted changes)" if r.dirty else ""
    click.echo(f"{r.run}: {r.name}\nstatus {r.status}, started {r.started} by {r.author}")
    if r.commit:
        click.echo(f"commit {r.commit[:12]}{dirty}")
    if s.get("tables"):
        click.echo("\n" + tables_table(s["tables"]))
    stages = [[t["name"], t["status"], t["seconds"], t["key"][:12]] for t in s.get("stages", ())]
    click.echo("\n" + table(["stage", "status", "seconds", "key"], stages, right=(2,)))
    cleaned = cleaning_text(s)
    if cleaned:
        click.echo("\n" + cleaned)
    board = leaderboard_text(s)
    if board:
        click.echo("\n" + board)
    validation = [[n, m["value"], span(m["interval"])] for n, m in s.get("validation", {}).items()]
    if validation:
        click.echo("\n" + table(["validation", "value", "interval"], validation, right=(1,)))
    evaluated = evaluation_text(s)
    if evaluated:
        click.echo("\n" + evaluated)
    click.echo("\n" + gates_table(list(s.get("gates", ()))))
    told = findings_text(s.get("findings", ()))
    if told:
        click.echo("\n" + told)
    test = s.get("test")
    if test and test["value"] is not None:
        click.echo(f"\ntest: {test['metric']} {number(test['value'])} {span(test['interval'])}")
    for text in (worth_text(s), advice_text(s), columns_text(s)):
        if text:
            click.echo("\n" + text)
    for p in s.get("problems", ()):
        click.echo(f"\n{p['what']}\n  why: {p['why']}\n  fix: {p['fix']}")


@click.command(
    epilog="Example: headrace compare run-1 run-2\n\nExample: headrace compare champion run-7 --json"
)
@click.argument("names", nargs=-1, required=True)
@in_project
@with_json
def compare(names: tuple[str, ...], folder: str, as_json: bool) -> None:
    """Show what differs between runs or releases, NAMES: each against the first.

    Spec, data, stages, artifacts, metrics and gates; and on validation rows that none was trained on, whether
    the metric differs beyond noise.
    """
    found = open_project(folder).compare(*names, progress=Ticker(quiet=as_json))
    if as_json:
        print_json(found)
        return
    click.echo(comparison_text(found))
