"""`headrace profile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.common import in_project, number, open_project, print_json, table, with_json
from headrace.core.codec import to_plain
from headrace.core.errors import UserError

if TYPE_CHECKING:
    from headrace.data.profile.record import ColumnProfile, Profile, TableProfile


@click.command(epilog="Example: headrace profile -C flights --table weather --html weather.html")
@in_project
@click.argument("file", required=False, metavar="[FILE]", type=click.Path())
@click.option("--table", "only", metavar="NAME", help="This table alone.")
@click.option(
    "--html", metavar="OUT", type=click.Path(dir_okay=False), help="Write a page with plots to this file."
)
@with_json
def profile(folder: str, file: str | None, only: str | None, html: str | None, as_json: bool) -> None:
    """What the tables hold: types, missing, distinct, ranges, shapes, correlations, copies, gaps in time.

    Of the project's tables: the training rows of the events, all rows of side tables, as the newest run read
    them; validation and test rows are seen from outside and blind to the target. With FILE: every row of a
    CSV, Parquet or JSON-lines file, in or out of a project.
    """
    descriptions: dict[str, str] = {}
    if file is not None:
        from headrace.data.profile.file import profile_file

        found, title = profile_file(Path(file)), f"Profile of {Path(file).name}"
    else:
        project = open_project(folder)
        spec = project.spec().spec
        found, title = project.profile(), f"Profile of {spec.project}"
        descriptions = dict(spec.problem.columns)
    if only is not None:
        found = _one(found, only)
    if html is not None:
        _write(html, found, title, descriptions)
    if as_json:
        print_json(to_plain(found))
        return
    for one in found.tables:
        _print(one)
    if html is not None:
        click.echo(f"wrote {html}")


def _one(found: Profile, name: str) -> Profile:
    from headrace.core.errors import did_you_mean
    from headrace.data.profile.record import Profile

    tables = {t.table: t for t in found.tables}
    if name not in tables:
        raise UserError(f"there is no table {name!r}", fix=did_you_mean(name, tables))
    return Profile((tables[name],))


def _write(file: str, found: Profile, title: str, descriptions: dict[str, str]) -> None:
    from headrace.report.profile import profile_page

    try:
        Path(file).write_text(profile_page(found, title=title, descriptions=descriptions), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}", fix="choose another file") from error


def _print(one: TableProfile) -> None:
    whose = {"train": "training rows", "all": "rows"}.get(one.whose, "rows, not split yet")
    copies = f", {one.duplicates.rows:,} repeat an earlier one" if one.duplicates else ""
    click.echo(f"{one.table}: {one.rows:,} {whose}{copies}")
    if one.columns:
        rows = [_row(c) for c in one.columns]
        headers = ["column", "type", "missing", "distinct", "low", "median", "high", "most frequent"]
        click.echo(table(headers, rows, right=(2, 3, 4, 5, 6)))
    for c in one.columns:
        for note in c.notes:
            click.echo(f"  {c.name}: {note.text}")
    for part in one.parts:
        missing = sum(c.missing for c in part.columns)
        click.echo(f"  {part.name}: {part.rows:,} rows, {missing:,} values missing, the target not looked at")
    click.echo("")


def _row(c: ColumnProfile) -> list[Any]:
    from headrace.data.profile.notes import share
    from headrace.data.profile.record import LEVELS
    from headrace.data.profile.values import end_of

    middle = c.quantiles[LEVELS.index(0.5)] if c.quantiles else None
    ends = [end_of(middle, c.type) if middle is not None else None, c.high]
    shown = [v if isinstance(v, str) else number(v) for v in (c.low, *ends)]
    most = c.top[0] if c.top and c.top[0].rows > 1 else None
    frequent = "" if most is None else f"{_brief(most.value)} ({share(most.rows, c.rows - c.missing)})"
    about = "~" if c.distinct_error else ""
    return [c.name, str(c.type), share(c.missing, c.rows), f"{about}{c.distinct:,}", *shown, frequent]


def _brief(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value) if value != value.strip() or not value else value[:24]
    return number(value)
