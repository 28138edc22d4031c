"""`headrace audit`."""

from __future__ import annotations

import click

from headrace.cli.common import in_project, open_project, print_json, with_json
from headrace.core.codec import to_plain


@click.command(epilog="Example: headrace audit -C flights")
@in_project
@with_json
def audit(folder: str, as_json: bool) -> None:
    """Verify the ledger's chain, every artifact's bytes and every file of the prediction log.

    It names the first that is broken.

    Exit code 0 when all is whole, 1 when something is not.
    """
    report = open_project(folder).audit()
    if as_json:
        print_json(to_plain(report))
    elif report.ok:
        parts = "1 part" if report.parts == 1 else f"{report.parts:,} parts"
        log = f", {parts} of the prediction log" if report.parts else ""
        click.echo(f"whole: {report.events:,} events, {report.artifacts:,} artifacts{log}")
    else:
        click.echo(f"broken: {report.first_broken}")
        for problem in report.problems:
            click.echo(f"  {problem}")
    raise SystemExit(0 if report.ok else 1)
