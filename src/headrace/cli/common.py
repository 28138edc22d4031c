"""What commands share: the project option, JSON, tables, and progress."""

from __future__ import annotations

import json
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from headrace.project import Project

F = TypeVar("F", bound=Callable[..., Any])


def in_project(command: F) -> F:
    """Add `-C DIR` (as `folder`)."""
    return click.option(
        "-C",
        "folder",
        default=".",
        metavar="DIR",
        type=click.Path(file_okay=False),
        help="The project's folder (default: here).",
    )(command)


def with_json(command: F) -> F:
    """Add `--json` (as `as_json`)."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(
        command
    )


def open_project(folder: str) -> Project:
    """The project in a folder."""
    from headrace.project import Project  # commands without a project don't wait for it

    return Project(folder)


def print_json(value: Any) -> None:
    """One JSON value on standard output; numbers that JSON lacks become null."""
    from headrace.core.codec import to_json

    click.echo(json.dumps(json.loads(to_json(value)), indent=2, ensure_ascii=False))


@contextmanager
def told_warnings() -> Iterator[None]:
    """Warnings of the project's own become lines on standard error."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in seen:
        click.echo(f"warning: {warning.message}", err=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> str:
    """Columns in line. The last column is cut where the terminal ends; elsewhere nothing is."""
    cells = [[_cell(v) for v in row] for row in rows]
    widths = [max(len(h), *(len(r[i]) for r in cells)) if cells else len(h) for i, h in enumerate(headers)]
    lines = []
    for row in [list(headers), *cells]:
        parts = [
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "  ".join("─" * w for w in widths))
    if sys.stdout.isatty():
        limit = shutil.get_terminal_size().columns
        lines = [line if len(line) <= limit else line[: limit - 1] + "…" for line in lines]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float | None) -> str:
    """Four significant digits; large numbers whole, with separators."""
    if value is None or value != value:
        return "–"
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def span(interval: Any) -> str:
    """An interval (mapping or record with low and high) in brackets."""
    if interval is None:
        return ""
    low, high = (
        (interval["low"], interval["high"]) if isinstance(interval, dict) else (interval.low, interval.high)
    )
    return f"[{number(low)}, {number(high)}]"


class Ticker:
    """Progress on standard error: one line rewritten on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._terminal = sys.stderr.isatty()
        self._quiet = quiet
        self._began: dict[str, float] = {}
        self._shown = 0.0
        self._last = ""

    def __call__(self, stage: str, text: str, done: int, total: int) -> None:
        if self._quiet:
            return
        now = time.monotonic()
        if text == "starts":
            self._began[stage] = now
            self._write(f"{stage:<9} …", final=False)
        elif text in ("ran", "cached"):
            seconds = now - self._began.get(stage, now)
            mark = "cached" if text == "cached" else f"{seconds:.1f} s"
            self._write(f"{stage:<9} {mark}", final=True)
        elif now - self._shown > (0.1 if self._terminal else 5.0):
            self._shown = now
            share = f" {done}/{total}" if total else ""
            self._write(f"{stage:<9} {text}{share}", final=False)

    def _write(self, line: str, *, final: bool) -> None:
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"\r\x1b[K{line[:width]}", nl=final, err=True)
        elif final or not (line.endswith("…") or line == self._last):
            click.echo(line, err=True)
            self._last = line
