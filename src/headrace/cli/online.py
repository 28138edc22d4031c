"""`headrace materialize`."""

from __future__ import annotations

import click

from headrace.cli.common import Ticker, in_project, open_project, print_json, table, with_json
from headrace.core.codec import to_plain


@click.command(epilog="Example: headrace materialize -C flights")
@in_project
@click.option("--release", metavar="NAME", help="What this release looks up (default: the champion).")
@with_json
def materialize(folder: str, release: str | None, as_json: bool) -> None:
    """Fill the online store, so that `headrace serve` looks rows and histories up by key at once.

    Its file, .headrace/online.db, then holds every row of the release's snapshots that a lookup or a history
    may need, and the facts that arrived since (POST /events). Run it again whenever there is a new release:
    what is there stays, facts count once.
    """
    done = open_project(folder).materialize(release, progress=Ticker(quiet=as_json))
    if as_json:
        print_json([to_plain(m) for m in done])
        return
    headers = ["table", "streams", "filled", "rows read", "new", "changed", "arrived"]
    rows = [[m.table, m.streams, m.filled, m.rows, m.new, m.changed, m.arrived] for m in done]
    click.echo(table(headers, rows, right=range(1, 7)))
    if any(m.changed for m in done):
        click.echo("changed: known by the same name with other values; what was known first stays")
