"""`headrace predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.common import Ticker, in_project, open_project, print_json, with_json
from headrace.core.codec import to_plain
from headrace.core.errors import UserError

if TYPE_CHECKING:
    from headrace.project import Project

_FILES = (".csv", ".parquet", ".pq")


@click.command(epilog="Example: headrace predict new.csv -o scored.parquet -C flights")
@in_project
@click.argument("source", metavar="IN")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    type=click.Path(),
    help="Where scores go: a .csv or .parquet file, or a folder that takes them in parts.",
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
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 256), help="A folder: so many processes.  [default: 1]"
)
@click.option(
    "--format",
    "ending",
    type=click.Choice(["parquet", "csv"]),
    help="A folder: of parts.  [default: parquet]",
)
@click.option("--query", default="", metavar="SQL", help="What a database is asked, in place of a table.")
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="A folder: carry this column of IN along (may be repeated).",
)
@click.option(
    "--to", default="", metavar="TABLE", help="Put the answers there too: duckdb:FILE#TABLE, '$VAR#TABLE'."
)
@click.option(
    "--key",
    multiple=True,
    metavar="COLUMN",
    help="--to: names a row (may be repeated).  [default: source, row]",
)
@click.option("--log", is_flag=True, help="Keep the answers in the prediction log, too.")
@click.option("--again", is_flag=True, help="A folder: throw away what it holds of another batch.")
@with_json
def predict(
    folder: str,
    source: str,
    output: str,
    release: str | None,
    rejects: str | None,
    explain: bool,
    top: int | None,
    workers: int | None,
    ending: str | None,
    query: str,
    keep: tuple[str, ...],
    to: str,
    key: tuple[str, ...],
    log: bool,
    again: bool,
    as_json: bool,
) -> None:
    """Score a CSV, Parquet or JSON-lines file of any size, in bounded memory.

    Each row of OUT holds the input's row number, the prediction, its probability and the release. Rows
    that can't be scored go to the rejects file with their reasons; the rest is scored. A release with
    `uncertainty` adds lower and upper, or a column set_… a class and abstain.

    With --explain the columns why_1, why_2, … say in words what added most to each answer, as in
    `distance = 1,200: +0.080`; they, why_base and why_rest add up to it. A row then takes thousands of
    answers instead of one.

    IN may be a folder, a pattern ('in/*.parquet') or a table ('$SHOP#orders', shop.sqlite#orders): then OUT
    is a folder of parts, `source` says which file a row is of, and --workers share the work. Killed, it goes
    on where it was when it is started again: each row is written once.
    """
    if top is not None and not explain:
        raise UserError("--top says how many columns --explain names", fix="add --explain")
    named = (top or 5) if explain else 0
    project, ticker = open_project(folder), Ticker(quiet=as_json)
    if Path(output).suffix.lower() in _FILES:
        wide = {
            "--workers": workers,
            "--format": ending,
            "--query": query,
            "--keep": keep,
            "--to": to,
            "--key": key,
            "--log": log,
            "--again": again,
        }
        _one(
            project,
            source,
            output,
            release,
            rejects,
            named,
            [n for n, v in wide.items() if v],
            ticker,
            as_json,
        )
        return
    if rejects:
        raise UserError("a folder holds its rejects itself", fix="leave --rejects out")
    done = project.score(
        source,
        output,
        release=release,
        workers=workers or 1,
        explain=named,
        query=query,
        ending=f".{ending or 'parquet'}",
        keep=keep,
        to=to,
        key=key,
        log=log,
        again=again,
        progress=ticker,
    )
    if as_json:
        print_json({**to_plain(done), "rows_per_second": done.speed})
        return
    parts = "1 part" if done.parts == 1 else f"{done.parts} parts"
    click.echo(f"scored {done.rows:,} rows with {done.release} → {done.output} ({parts})")
    now = done.rows + done.rejected - done.before
    if done.before:
        click.echo(f"{done.before:,} of all rows were done before")
    if now:
        click.echo(f"{done.speed:,.0f} rows/s")
    if to:
        click.echo(f"{done.loaded:,} rows are in {to.rpartition('#')[2]}")
    if log:
        click.echo("the answers are in the prediction log")
    if done.rejected:
        click.echo(f"rejected {done.rejected:,} rows → {done.output}/part-….rejects.csv")


def _one(
    project: Project,
    source: str,
    output: str,
    release: str | None,
    rejects: str | None,
    explain: int,
    wide: list[str],
    ticker: Ticker,
    as_json: bool,
) -> None:
    """One file into another."""
    from headrace.serve.batch.plan import is_many

    if wide or is_many(source):
        what = wide[0] if wide else f"{source} is more than one file, which"
        raise UserError(f"{what} needs a folder to write to", where=output, fix=f"-o {Path(output).stem}")
    scored = project.predict(
        source, output, release=release, rejects=rejects, explain=explain, progress=ticker
    )
    if as_json:
        print_json(to_plain(scored))
        return
    click.echo(f"scored {scored.rows:,} rows with {scored.release} → {scored.output}")
    if scored.rejected:
        click.echo(f"rejected {scored.rejected:,} rows → {scored.rejects}")
