"""`headrace init`, `check` and `schema`."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.cli.common import in_project, open_project, print_json, with_json
from headrace.core.codec import to_plain
from headrace.core.errors import SpecError, UserError


@click.command(epilog="Example: headrace init churn --from customers.csv --target churned")
@click.argument("name", metavar="DIR")
@click.option(
    "-C", "base", default=".", metavar="BASE", type=click.Path(), help="Where DIR is made (default: here)."
)
@click.option("--example", type=click.Choice(["flights", "housing"]), help="Write a worked example.")
@click.option("--data", type=click.Path(), metavar="FILE", help="The housing example's CSV file.")
@click.option(
    "--from",
    "from_file",
    type=click.Path(),
    metavar="FILE",
    help="Draft a spec from this CSV, Parquet or JSON-lines file.",
)
@click.option("--target", metavar="COLUMN", help="With --from: the column to predict.")
@with_json
def init(
    name: str,
    base: str,
    example: str | None,
    data: str | None,
    from_file: str | None,
    target: str | None,
    as_json: bool,
) -> None:
    """Start a project in DIR: an example, or a spec drafted from a file of yours.

    A drafted spec is commented and ready to run: task, time and id columns, split, expectations that the
    data meets, spellings and dates to clean, and suspects (constant, id-like, near-copy of the target,
    capped, personal data), each with its reason. The file is copied into DIR/data unless it lies in DIR.
    """
    from headrace.project import Project

    folder = Path(base, name)
    project = Project.init(folder, example=example, data=data, from_file=from_file, target=target)
    files = sorted(str(p.relative_to(project.root)) for p in project.root.rglob("*") if p.is_file())
    if as_json:
        print_json({"folder": str(project.root), "files": files})
        return
    click.echo(f"wrote {', '.join(files)} in {folder}")
    click.echo(f"next: read {folder / 'headrace.yaml'}, then")
    click.echo(f"  headrace check -C {folder}")
    click.echo(f"  headrace run -C {folder} --to evaluate   # as often as you like: the test stays sealed")
    click.echo(f"  headrace profile -C {folder} --html profile.html")
    click.echo(
        f"  headrace run -C {folder}                 # opens the test: its first opening shows an estimate"
    )


@click.command(epilog="Example: headrace check -C flights")
@in_project
@with_json
def check(folder: str, as_json: bool) -> None:
    """Check the spec against the data's columns, before any work: every mistake at once."""
    project = open_project(folder)
    try:
        compiled = project.check()
    except SpecError as error:
        if as_json:
            print_json({"ok": False, "problems": [to_plain(p) for p in error.problems]})
            raise SystemExit(error.exit_code) from None
        raise
    if as_json:
        warnings = [to_plain(p) for p in project.warnings()]
        print_json({"ok": True, "problems": [], "warnings": warnings, "features": list(compiled.names)})
        return
    for problem in project.warnings():
        click.echo(f"warning: {problem.where}: {problem.what}\n  fix: {problem.fix}")
    looked_up = ", ".join(compiled.lookups) or "none"
    features, expectations = len(compiled.names), len(compiled.expectations)
    if project.spec().spec.awaits_proposals:
        click.echo("features are proposed by `headrace run`, or by `headrace features propose`")
    histories = f", histories: {len(compiled.histories)}" if compiled.histories else ""
    click.echo(f"ok: {features} features, {expectations} expectations, lookups: {looked_up}{histories}")


@click.command(epilog="Example: headrace schema -o headrace.schema.json")
@in_project
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to FILE.")
def schema(folder: str, output: str | None) -> None:
    """Print the JSON Schema of headrace.yaml, for editors to complete and check it.

    With the YAML extension of an editor, put this line at the top of the spec:
    # yaml-language-server: $schema=headrace.schema.json
    """
    from headrace.core.spec.models import json_schema

    if output is None:
        print_json(json_schema())
        return
    import json

    try:
        Path(folder, output).write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output} can't be written: {error.strerror}", fix="choose another file") from error
    click.echo(f"wrote {output}")
