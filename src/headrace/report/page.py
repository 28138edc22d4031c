"""A self-contained HTML page: light and dark, phone and paper; Plotly's script once where it is needed.

Bodies of sections are HTML that was built by functions which escape what they are given (`text`, `table`,
`figures`). Nothing is loaded from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from headrace.report.figures.embed import PLOT, plotly_script

text = escape


@dataclass(frozen=True)
class Section:
    """A part of a page: `id` is its anchor, `title` plain text, `body` HTML, `lead` one plain sentence."""

    id: str
    title: str
    body: str
    lead: str = ""


def page(
    title: str, sections: Sequence[Section], *, subtitle: str = "", facts: Sequence[tuple[str, str]] = ()
) -> str:
    """The whole page. `facts` are pairs of a label and a value in plain text, shown as tiles on top."""
    tiles = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in facts)
    links = "".join(f'<a href="#{text(s.id)}">{text(s.title)}</a>' for s in sections)
    bodies = "".join(_section(s) for s in sections)
    script = plotly_script() if PLOT in bodies else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{_asset('page.css')}</style>\n</head>\n<body>\n<header>"
        f"<h1>{text(title)}</h1>{f'<p>{text(subtitle)}</p>' if subtitle else ''}</header>\n"
        f"{f'<dl class=tiles>{tiles}</dl>' if tiles else ''}"
        f"{f'<nav>{links}</nav>' if len(sections) > 1 else ''}\n"
        f"<main>{bodies}</main>\n{script}</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _section(section: Section) -> str:
    lead = f"<p class=lead>{text(section.lead)}</p>" if section.lead else ""
    return f'<section id="{text(section.id)}"><h2>{text(section.title)}</h2>{lead}{section.body}</section>\n'


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """A table of plain texts that scrolls by itself where it is too wide; `numbers` are columns set right."""
    head = "".join(_cell("th", h, i in numbers) for i, h in enumerate(headers))
    body = "".join(
        "<tr>" + "".join(_cell("td", c, i in numbers) for i, c in enumerate(r)) + "</tr>" for r in rows
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(tag: str, value: str, right: bool) -> str:
    return f"<{tag}{' class=n' if right else ''}>{text(value)}</{tag}>"


def number(value: float | None) -> str:
    """Four significant digits; whole and large numbers with separators; – for None.

    >>> number(3.0), number(1234567.891), number(0.123456), number(None)
    ('3', '1,234,568', '0.1235', '–')
    """
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if 10_000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"
