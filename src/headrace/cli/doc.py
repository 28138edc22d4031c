"""`headrace doc`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.common import in_project, open_project, print_json, with_json
from headrace.core.errors import GateBlocked, UserError

if TYPE_CHECKING:
    from headrace.report.document import Document

_ENDINGS = (".md", ".html")


@click.command(
    epilog="Example: headrace doc -C flights -o design.md && headrace doc -C flights --check design.md"
)
@in_project
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write FILE, .md or .html."
)
@click.option(
    "--check",
    "written",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Compare FILE (.md or .html) with what would be written.",
)
@with_json
def doc(folder: str, output: str | None, written: str | None, as_json: bool) -> None:
    """The design document, from spec and ledger: problem, features, tracking, training, serving, A/B test,
    monitoring, retraining, tool choices and runbook. Without -o it is printed as Markdown.

    With --check: exit code 3 and the difference where a written copy has drifted; nothing is written.
    """
    if output is not None and written is not None:
        raise UserError("-o writes and --check does not", fix="give one of them")
    document = open_project(folder).document()
    if written is not None:
        _check(document, written, folder, as_json)
        return
    if output is not None:
        _write(document, Path(output))
    if as_json:
        print_json(_plain(document, output))
    elif output is not None:
        lacks = document.lacks()
        click.echo(f"wrote {output}" + (f"; not declared: {len(lacks)} (listed at its end)" if lacks else ""))
    else:
        from headrace.report.document import to_markdown

        click.echo(to_markdown(document), nl=False)


def _text(document: Document, file: Path) -> str:
    """The document in the form that a file's ending asks for."""
    from headrace.report.document import to_html, to_markdown

    if file.suffix.lower() not in _ENDINGS:
        raise UserError(
            f"{str(file)!r} is neither Markdown nor HTML", fix=f"end its name in {' or '.join(_ENDINGS)}"
        )
    return to_html(document) if file.suffix.lower() == ".html" else to_markdown(document)


def _write(document: Document, file: Path) -> None:
    text = _text(document, file)
    try:
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}", fix="choose another file") from error


def _check(document: Document, written: str, folder: str, as_json: bool) -> None:
    file = Path(written)
    fresh = _text(document, file)
    try:
        kept = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(
            f"{written} can't be read: {told}", fix=f"write it: headrace doc -C {folder} -o {written}"
        ) from error
    lines = difflib.unified_diff(
        kept.splitlines(), fresh.splitlines(), written, "as spec and ledger have it", lineterm=""
    )
    difference = list(lines) if kept != fresh else []
    if as_json:
        print_json({"file": written, "same": kept == fresh, "difference": difference})
    elif kept == fresh:
        click.echo(f"{written} is what spec and ledger say")
    else:
        click.echo("\n".join(difference))
    if kept != fresh:
        raise GateBlocked(
            f"{written} has drifted from spec and ledger",
            fix=f"write it again: headrace doc -C {folder} -o {written}",
        )


def _plain(document: Document, output: str | None) -> dict[str, Any]:
    from headrace.report.document.markdown import part_text

    return {
        "title": document.title,
        "stand": document.stand,
        "sections": [{"title": p.title, "markdown": part_text(p)} for p in document.parts],
        "missing": list(document.lacks()),
        "output": output,
    }
