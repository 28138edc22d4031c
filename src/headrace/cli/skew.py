"""`headrace skew`."""

from __future__ import annotations

import click

from headrace.cli.common import Ticker, in_project, number, open_project, print_json, table, with_json
from headrace.core.codec import to_plain
from headrace.core.errors import GateBlocked


@click.command(epilog="Example: headrace skew -C flights")
@in_project
@click.option("--release", metavar="NAME", help="Ask this release (default: the champion).")
@with_json
def skew(folder: str, release: str | None, as_json: bool) -> None:
    """Send validation rows as requests; compare features and scores with what training computed.

    A run asks before it promotes. This asks again, with the online store as it stands: facts that came
    since may say that they were known before. Nothing is written down.

    Exit code 0 where all agree, 3 where one differs.
    """
    verdicts = open_project(folder).skew(release, progress=Ticker(quiet=as_json))
    if as_json:
        print_json({"skew": to_plain(verdicts)})
    else:
        rows = [
            [v.gate, v.outcome.value, number(v.evidence.value), v.evidence.n, v.evidence.where or v.reason]
            for v in verdicts
        ]
        click.echo(table(["gate", "verdict", "rows that differ", "of", ""], rows, right=(2, 3)))
    if not all(v.allows for v in verdicts):
        raise SystemExit(GateBlocked.exit_code)
