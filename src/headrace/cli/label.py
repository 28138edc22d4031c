"""`headrace label`."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.cli.common import Ticker, in_project, open_project, print_json, with_json


@click.command(epilog="Example: headrace label outcomes.csv -C flights")
@in_project
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", default="", metavar="NAME", help="Who says so, where the rows don't.")
@with_json
def label(folder: str, file: Path, source: str, as_json: bool) -> None:
    """Tell what turned out to be true of predictions: a CSV, Parquet or JSON-lines file.

    A row has a `label` and either the prediction's `id` or columns `input_NAME` that tell it; also `weight`,
    `source` and `event_id`. The same file twice changes nothing; another label later is a correction.
    """
    taken, matched = open_project(folder).label_file(file, source=source, progress=Ticker(quiet=as_json))
    if as_json:
        print_json(
            {**taken.plain(), "matched": matched.matched, "unmatched": matched.unknown + matched.ambiguous}
        )
    else:
        click.echo(f"{taken.new:,} new, {taken.corrected:,} corrected, {taken.known:,} known")
        if matched.matched:
            click.echo(f"{matched.matched:,} matched with a prediction by their inputs")
        if matched.unknown:
            click.echo(f"{matched.unknown:,} not matched: no prediction has these inputs (yet)")
        if matched.ambiguous:
            click.echo(f"{matched.ambiguous:,} not matched: several predictions have these inputs")
        for problem in taken.problems[:20]:
            click.echo(f"refused: {problem}", err=True)
        if taken.refused:
            click.echo(f"{taken.refused:,} refused", err=True)
    raise SystemExit(2 if taken.refused else 0)
