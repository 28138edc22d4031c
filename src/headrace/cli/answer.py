"""`headrace predict` and `serve`."""

from __future__ import annotations

import click

from headrace.cli.common import Ticker, in_project, open_project, print_json, with_json
from headrace.core.codec import to_plain


@click.command(epilog="Example: headrace predict new.csv -o scored.parquet -C flights")
@in_project
@click.argument("source", metavar="IN", type=click.Path())
@click.option("-o", "--output", required=True, metavar="OUT", type=click.Path(dir_okay=False))
@click.option("--release", metavar="NAME", help="Score with this release (default: the champion).")
@click.option(
    "--rejects",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Where bad rows go (default: OUT.rejects.csv).",
)
@with_json
def predict(
    folder: str, source: str, output: str, release: str | None, rejects: str | None, as_json: bool
) -> None:
    """Score a CSV, Parquet or JSON-lines file of any size, in bounded memory.

    Each row of OUT holds the input's row number, the prediction, its probability and the release. Rows
    that can't be scored go to the rejects file with their reasons; the rest is scored.
    """
    scored = open_project(folder).predict(
        source, output, release=release, rejects=rejects, progress=Ticker(quiet=as_json)
    )
    if as_json:
        print_json(to_plain(scored))
        return
    click.echo(f"scored {scored.rows:,} rows with {scored.release} → {scored.output}")
    if scored.rejected:
        click.echo(f"rejected {scored.rejected:,} rows → {scored.rejects}")


@click.command(epilog="Example: headrace serve -C flights --port 8000")
@in_project
@click.option("--release", metavar="NAME", help="Serve this release (default: the champion).")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
def serve(folder: str, release: str | None, host: str, port: int) -> None:
    """Answer over HTTP: POST /predict for one row or many, GET /schema, GET /health.

    Callers send the event's own columns; lookups are resolved here from the release's tables.
    """
    import uvicorn

    app = open_project(folder).app(release)
    click.echo(f"serving on http://{host}:{port} — POST /predict, GET /schema, GET /health", err=True)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
