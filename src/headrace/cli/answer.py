"""`headrace predict`."""

from __future__ import annotations

import click

from headrace.cli.common import Ticker, in_project, open_project, print_json, with_json
from headrace.core.codec import to_plain
from headrace.core.errors import UserError


@click.command(epilog="Example: headrace predict new.csv -o scored.parquet -C flights")
@in_project
@click.argument("source", metavar="IN", type=click.Path())
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    type=click.Path(dir_okay=False),
    help="Where scores go: a .csv or .parquet file.",
)
@click.option("--release", metavar="NAME", help="Score with this release (default: the champion).")
@click.option(
    "--rejects",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Where bad rows go (default: OUT.rejects.csv).",
)
@click.option("--explain", is_flag=True, help="Say why: what the most important columns added.")
@click.option(
    "--top", metavar="N", type=click.IntRange(1, 1000), help="Columns to name with --explain.  [default: 5]"
)
@with_json
def predict(
    folder: str,
    source: str,
    output: str,
    release: str | None,
    rejects: str | None,
    explain: bool,
    top: int | None,
    as_json: bool,
) -> None:
    """Score a CSV, Parquet or JSON-lines file of any size, in bounded memory.

    Each row of OUT holds the input's row number, the prediction, its probability and the release. Rows
    that can't be scored go to the rejects file with their reasons; the rest is scored. A release with
    `uncertainty` adds lower and upper, or a column set_… a class and abstain.

    With --explain the columns why_1, why_2, … say in words what added most to each answer, as in
    `distance = 1,200: +0.080`; they, why_base and why_rest add up to it. A row then takes thousands of
    answers instead of one.
    """
    if top is not None and not explain:
        raise UserError("--top says how many columns --explain names", fix="add --explain")
    scored = open_project(folder).predict(
        source,
        output,
        release=release,
        rejects=rejects,
        explain=(top or 5) if explain else 0,
        progress=Ticker(quiet=as_json),
    )
    if as_json:
        print_json(to_plain(scored))
        return
    click.echo(f"scored {scored.rows:,} rows with {scored.release} → {scored.output}")
    if scored.rejected:
        click.echo(f"rejected {scored.rejected:,} rows → {scored.rejects}")
