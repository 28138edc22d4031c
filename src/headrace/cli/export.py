"""`headrace export`."""

from __future__ import annotations

import click

from headrace.cli.common import in_project, open_project, print_json, with_json
from headrace.core.codec import to_plain
from headrace.core.errors import UserError

TARGETS = ("docker", "compose", "kubernetes", "client")


@click.command(epilog="Example: headrace export kubernetes champion -o deploy -C flights")
@in_project
@click.argument("target", type=click.Choice(TARGETS))
@click.argument("release", default="champion")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    type=click.Path(),
    help="A new folder; for client a .py file.",
)
@click.option(
    "--claim",
    default="",
    metavar="NAME",
    help="kubernetes: the volume claim that logs are kept on, one folder a pod.",
)
@with_json
def export(folder: str, target: str, release: str, output: str, claim: str, as_json: bool) -> None:
    """Write a release as files that run elsewhere.

    docker: a folder that serves the release by itself: recipe, pinned requirements, headrace's wheel, the
    release with the artifacts that serving reads. compose and kubernetes: the same, with compose.yaml or the
    objects of a deployment, from the targets under `serve`. client: a typed Python client in one file.
    """
    if claim and target != "kubernetes":
        raise UserError("--claim is for kubernetes", fix="leave it out")
    made = open_project(folder).export(target, output, release, claim=claim)
    if as_json:
        print_json(to_plain(made))
        return
    count = "1 file" if len(made.files) == 1 else f"{len(made.files)} files"
    click.echo(f"{made.release} → {made.folder}: {count}, {made.bytes / 1e6:.1f} MB")
