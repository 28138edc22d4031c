"""`headrace reproduce`."""

from __future__ import annotations

import click

from headrace.cli.common import Ticker, in_project, open_project, print_json, table, with_json
from headrace.engine.reproduce import Reproduction

DIFFERS = 3
"""The exit code of a run that did not come out the same."""


@click.command(
    epilog="Example: headrace reproduce run-3\n\nExample: headrace reproduce --environment present --json"
)
@click.argument("run", required=False)
@in_project
@click.option(
    "--environment",
    type=click.Choice(["recorded", "present"]),
    default="recorded",
    show_default=True,
    help="A fresh virtual environment with the recorded versions, or the libraries that are here.",
)
@with_json
def reproduce(run: str | None, folder: str, environment: str, as_json: bool) -> None:
    """Do RUN (default: the newest) again from its snapshots, spec, commit and environment.

    It goes to the end of `evaluate`; the sealed test is not opened again. Says which digests and metrics
    agree. Exit codes: 0 everything agrees, 3 something differs, 2 it can't be done again.
    """
    found = open_project(folder).reproduce(run, new_environment=environment == "recorded", progress=Ticker())
    if as_json:
        print_json(found.plain())
    else:
        click.echo(render(found))
    raise SystemExit(0 if found.agrees else DIFFERS)


def render(found: Reproduction) -> str:
    """What agrees and what does not, as text."""
    verdict = "everything agrees" if found.agrees else "not everything agrees"
    parts = [f"{found.run} done again: {verdict}\ncode: {found.code}; Python {found.python}"]
    rows = [[s.stage, "same" if s.agrees else "differs", ", ".join(s.differs)] for s in found.stages]
    parts.append(table(["stage", "result", "what differs"], rows))
    if found.metrics:
        lines = [[m.name, m.then, m.now, "same" if m.agrees else "differs"] for m in found.metrics]
        parts.append(table(["validation metric", "then", "now", ""], lines, right=(1, 2)))
    if found.libraries:
        versions = [[n, then, now] for n, (then, now) in found.libraries.items()]
        parts.append(table(["library", "then", "now"], versions))
    parts += [f"it ended {found.status}: {p}" for p in found.problems]
    return "\n\n".join(parts)
