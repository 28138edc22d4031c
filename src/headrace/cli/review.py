"""`headrace review list|next|decide|status|ask|export`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from headrace.cli.common import Ticker, in_project, number, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.review import TRAFFIC


@click.group(cls=Hinting, epilog="Example: headrace review next -C flights")
def review() -> None:
    """People in the loop: what they are to look at, and what they decided.

    Names on one machine are claims: headrace records who said they decided, it can't prove it.
    """


_by = click.option("--by", metavar="NAME", help="Who reviews (default: you).")
_source = click.option(
    "--source", metavar="NAME", help="Items of this source alone: traffic, or 'rows: RUN'."
)


@review.command("list", epilog="Example: headrace review list --state open")
@in_project
@click.option("--state", type=click.Choice(["open", "decided", "expired"]), help="Items in this state alone.")
@_source
@click.option("--limit", default=100, show_default=True, help="So many items at most.")
@with_json
def list_(folder: str, state: str | None, source: str | None, limit: int, as_json: bool) -> None:
    """List items in the order in which they came."""
    found = open_project(folder).review_list(state=state, source=source, limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("nothing is there to look at")
        return
    rows = [
        [i["id"], i["state"], i["answer"].get("prediction"), i["decision"], _short(i["deadline"]), i["why"]]
        for i in found
    ]
    click.echo(table(["item", "state", "answered", "decided", "due", "why"], rows))


@review.command("next", epilog="Example: headrace review next --by ann@example.com")
@in_project
@click.argument("item", required=False)
@_by
@_source
@click.option("--lease", default="15 min", show_default=True, help="How long it is kept for you.")
@with_json
def next_(
    folder: str, item: str | None, by: str | None, source: str | None, lease: str, as_json: bool
) -> None:
    """Take the item that is due first, or the named one. Nobody else gets it while the lease lasts."""
    found = open_project(folder).review_next(by=by, name=item, source=source, lease=lease)
    if as_json:
        print_json(found)
    elif found is None:
        click.echo("nothing is there to look at")
    else:
        _show(found)


@review.command(epilog="Example: headrace review decide 019a8b0c2f41 late --comment 'storm'")
@in_project
@click.argument("item")
@click.argument("decision")
@_by
@click.option("--comment", default="", metavar="TEXT", help="Why.")
@with_json
def decide(folder: str, item: str, decision: str, by: str | None, comment: str, as_json: bool) -> None:
    """Decide an item: one of its choices, or a number."""
    found = open_project(folder).review_decide(item, decision, by=by, comment=comment)
    if as_json:
        print_json(found)
    elif found["state"] == "decided":
        click.echo(f"{item}: {found['decision']} (answered: {found['answer'].get('prediction')})")
    else:
        click.echo(f"{item}: kept; {found['wanted'] - found['decisions']} more to decide it")


@review.command(epilog="Example: headrace review status --json")
@in_project
@click.option("--source", default=TRAFFIC, show_default=True, metavar="NAME", help="Items of this source.")
@with_json
def status(folder: str, source: str, as_json: bool) -> None:
    """Show the queue in numbers, how often reviewers overturn answers, and whether they agree."""
    told = open_project(folder).review_status(source=source)
    if as_json:
        print_json(told)
        return
    if source == TRAFFIC and told["plan"] is not None:
        click.echo(_plan(told["plan"]))
    click.echo(
        f"{told['open']:,} open ({told['taken']:,} taken), {told['decided']:,} decided,"
        f" {told['expired']:,} expired"
    )
    if told["sent"] or told["refused"]:
        click.echo(f"in this period {told['sent']:,} seats were sent, {told['refused']:,} were too many")
    for key, what in (
        ("overturned", "of what was sent"),
        ("overturned_by_chance", "of what is answered without a person, by the random share"),
    ):
        found = told[key]
        if found["share"] is not None:
            ends = f"[{number(found['low'])}, {number(found['high'])}]"
            click.echo(f"overturned {what}: {number(found['share'])} {ends} ({found['settled']:,} decided)")
    agreed = told["agreement"]
    if agreed["items"]:
        kappa = agreed["why_none"] or f"kappa {number(agreed['kappa'])}"
        click.echo(f"two reviewers agreed on {number(agreed['share'])} of {agreed['items']:,} items; {kappa}")
    for who, count in told["reviewers"].items():
        click.echo(f"{who}: {count:,} decided")


@review.command(epilog="Example: headrace review ask --uncertain 100 --slice \"origin = 'JFK'\"")
@in_project
@click.option("--run", metavar="RUN", help="Whose rows (default: the newest run's).")
@click.option(
    "--uncertain", type=click.IntRange(1), metavar="N", help="The rows that the model is least sure of."
)
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Rows drawn by chance.")
@click.option("--slice", "where", default="", metavar="SQL", help="Rows that meet a condition.")
@click.option(
    "--part", type=click.Choice(["validation", "train"]), default="validation", show_default=True,
    help="Of these rows.",
)  # fmt: skip
@click.option("--deadline", metavar="SPAN", help="By when (default: at any time).")
@click.option("--double", is_flag=True, help="Two reviewers decide each row.")
@with_json
def ask(
    folder: str,
    run: str | None,
    uncertain: int | None,
    sample: int | None,
    where: str,
    part: str,
    deadline: str | None,
    double: bool,
    as_json: bool,
) -> None:
    """Ask people about rows of a run, through the same queue."""
    found = open_project(folder).review_ask(
        run,
        uncertain=uncertain,
        sample=sample,
        where=where,
        part=part,
        deadline=deadline,
        double=double,
        progress=Ticker(quiet=as_json),
    )
    if as_json:
        print_json(found)
    else:
        click.echo(f"{len(found):,} rows are in the queue; next: headrace review next")


@review.command(epilog="Example: headrace review export decided.csv --source 'rows: RUN'")
@in_project
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_source
@with_json
def export(folder: str, file: Path, source: str | None, as_json: bool) -> None:
    """Write what was decided to a CSV or JSON-lines file, with weights and inputs."""
    count = open_project(folder).review_export(file, source=source)
    if as_json:
        print_json({"file": str(file), "rows": count})
    else:
        click.echo(f"{count:,} decisions in {file}")


def _show(item: Mapping[str, Any]) -> None:
    click.echo(f"{item['id']}: {item['why']}")
    click.echo(f"release {item['release']}, due {_short(item['deadline'])}")
    rows = [[n, v if isinstance(v, str) else json.dumps(v)] for n, v in item["inputs"].items()]
    click.echo("\n" + table(["input", "value"], rows))
    told = [[n, v if isinstance(v, str) else json.dumps(v)] for n, v in item["answer"].items()]
    click.echo("\n" + table(["answered", "value"], told))
    for remark in item["remarks"]:
        click.echo(f"\n{remark['reviewer']}: {remark['text']}")
    choices = " | ".join(map(str, item["choices"])) or "NUMBER"
    click.echo(f"\nnext: headrace review decide {item['id']} {choices}")


def _plan(plan: Mapping[str, Any]) -> str:
    """What the champion sends to people."""
    control = plan["control"]
    if control is None:
        return f"the champion sends: {plan['text']}"
    if control["threshold"] is None:
        return f"{plan['text']}: everything goes to people: {control['why_none']}"
    return (
        f"{plan['text']}: a confidence of {number(control['threshold'])} needs no person:"
        f" {control['auto']:.1%} of validation rows, {control['wrong']:.1%} of them wrong"
    )


def _short(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else "–"
