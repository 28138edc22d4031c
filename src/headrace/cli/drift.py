"""`headrace drift`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.common import in_project, number, open_project, print_json, table, with_json
from headrace.core.codec import to_plain
from headrace.core.errors import UserError

if TYPE_CHECKING:
    from headrace.checks.compared import ColumnDrift, Compared

_SHOWN = 20


@click.command(epilog="Example: headrace drift -C flights january.parquet --html drift.html")
@in_project
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--release", metavar="NAME", help="Against this release's reference (default: the champion's).")
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Share of files that are called drifted while nothing changes.",
)
@click.option(
    "--html", metavar="OUT", type=click.Path(dir_okay=False), help="Write a page with plots to this file."
)
@with_json
def drift(folder: str, file: str, release: str | None, level: float, html: str | None, as_json: bool) -> None:
    """Every column of a file of rows against what a release was made on: Parquet, CSV, JSON lines.

    The worst column comes first, each with the statistic that is the least likely while nothing changes, and
    the value from which on it is beyond chance. Thresholds are drawn from the reference at the file's size
    and hold for all columns together.

    Exit code 0 when no column is beyond its threshold, 1 when one is.
    """
    # Matrices are small here: threads of theirs would take longer to wake than to work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = open_project(folder).drift(file, release, level=level)
    if html is not None:
        _write(html, found)
    if as_json:
        print_json(to_plain(found))
    else:
        _print(found)
        if html is not None:
            click.echo(f"wrote {html}")
    raise SystemExit(1 if found.drifted else 0)


def _write(file: str, found: Compared) -> None:
    from headrace.report.drift import drift_page

    try:
        Path(file).write_text(drift_page(found), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}", fix="choose another file") from error


def _print(found: Compared) -> None:
    click.echo(
        f"{found.what}: {found.rows:,} rows against the {found.reference_rows:,} of release {found.release}"
    )
    if found.why_none:
        click.echo(f"no thresholds: {found.why_none}")
    else:
        of = f"{len(found.drifted)} of {len(found.columns)}"
        click.echo(f"{of} columns are beyond what {found.level:.0%} of unchanged files show")
    headers = ["column", "", "check", "value", "threshold", "p", "what moved"]
    rows = [_row(c) for c in found.columns[:_SHOWN]]
    click.echo(table(headers, rows, right=(3, 4, 5)))
    if len(found.columns) > _SHOWN:
        click.echo(f"… and {len(found.columns) - _SHOWN} more columns: --json has all")
    for name, told in (("not in the file", found.absent), ("ignored", found.ignored)):
        if told:
            click.echo(f"{name}: {', '.join(told)}")


def _row(column: ColumnDrift) -> list[str]:
    told = column.leading
    if told is None:
        return [column.name, "", "", "", "", "", ""]
    p = "" if column.p is None else f"{column.p:.2g}"
    mark = "drifted" if column.exceeds else ""
    return [
        column.name,
        mark,
        told.check,
        number(told.value) if told.value is not None else "",
        number(told.threshold) if told.threshold is not None else "",
        p,
        column.where.removeprefix(f"{column.name}: ") or told.why_none,
    ]
