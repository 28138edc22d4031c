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


class Html(str):
    """HTML that was made by a function which escapes what it is given: `table` takes it as it is."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """A part of a page: `id` is its anchor, `title` plain text, `body` HTML, `lead` one plain sentence.
    `mark` shows in the contents that something is good, bad, or to look at (`warn`)."""

    id: str
    title: str
    body: str
    lead: str = ""
    mark: str = ""


def page(
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    facts: Sequence[tuple[str, str]] = (),
    banner: str = "",
    side: bool = False,
) -> str:
    """The whole page. `facts` are pairs of a label and a value in plain text, shown as tiles on top, below
    the `banner` (HTML). With `side` the contents stay beside the text where there is room."""
    tiles = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in facts)
    links = "".join(f'<a href="#{text(s.id)}">{text(s.title)}{_dot(s.mark)}</a>' for s in sections)
    bodies = "".join(_section(s) for s in sections)
    script = plotly_script() if PLOT in bodies else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{_asset('page.css')}</style>\n</head>\n"
        f"<body{' class=side' if side else ''}>\n<header>"
        f"<h1>{text(title)}</h1>{f'<p>{text(subtitle)}</p>' if subtitle else ''}</header>\n"
        f"{banner}{f'<dl class=tiles>{tiles}</dl>' if tiles else ''}"
        f"{f'<nav>{links}</nav>' if len(sections) > 1 else ''}\n"
        f"<main>{bodies}</main>\n{script}</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _dot(mark: str) -> str:
    said = {"bad": "something does not pass", "warn": "something to look at", "good": "all good"}.get(mark)
    return f' <i class="dot {mark}" title="{said}"></i>' if said else ""


def _section(section: Section) -> str:
    lead = f"<p class=lead>{text(section.lead)}</p>" if section.lead else ""
    return f'<section id="{text(section.id)}"><h2>{text(section.title)}</h2>{lead}{section.body}</section>\n'


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    lean: bool = False,
) -> str:
    """A table that scrolls by itself where it is too wide; `numbers` are columns set right. Cells are plain
    texts, or `Html`. `lean` leaves out columns in which nothing stands."""
    if lean and rows:
        kept = [i for i in range(len(headers)) if any(row[i] for row in rows)]
        numbers = [at for at, i in enumerate(kept) if i in numbers]
        headers, rows = [headers[i] for i in kept], [[row[i] for i in kept] for row in rows]
    head = "".join(_cell("th" if h else "td", h, i in numbers) for i, h in enumerate(headers))
    body = "".join(
        "<tr>" + "".join(_cell("td", c, i in numbers) for i, c in enumerate(r)) + "</tr>" for r in rows
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(tag: str, value: str, right: bool) -> str:
    shown = value if isinstance(value, Html) else text(value)
    return f"<{tag}{' class=n' if right else ''}>{shown}</{tag}>"


def listed(pairs: Sequence[tuple[str, str]]) -> str:
    """Terms and what is said of them, in plain text or `Html`; empty ones are left out."""
    rows = "".join(
        f"<dt>{text(k)}</dt><dd>{v if isinstance(v, Html) else text(v)}</dd>" for k, v in pairs if v
    )
    return f"<dl class=said>{rows}</dl>" if rows else ""


def more(summary: str, body: str, *, opened: bool = False) -> str:
    """HTML that is folded away until it is asked for; `summary` is plain text."""
    return f"<details{' open' if opened else ''}><summary>{text(summary)}</summary>{body}</details>"


def para(words: str, kind: str = "") -> str:
    """A paragraph of plain text; `kind` is a class such as `note` or `lead`."""
    return f"<p{f' class={kind}' if kind else ''}>{text(words)}</p>"


_CHIPS = {"pass": ("good", "✓"), "fail": ("bad", "✗"), "unknown": ("warn", "?"), "waived": ("warn", "!")}


def chip(word: str, kind: str = "") -> Html:
    """A word in a coloured frame with a sign of its own: verdicts by their names, else `kind` is good, bad,
    warn, or nothing."""
    kind, sign = _CHIPS.get(word, (kind, {"good": "✓", "bad": "✗", "warn": "!"}.get(kind, "–")))
    return Html(f'<span class="chip {text(kind)}"><b>{sign}</b> {text(word)}</span>')


def span(low: float | None, high: float | None) -> str:
    """An interval in brackets; nothing where there is none.

    >>> span(0.25, 1200.0).replace("\xa0", " "), span(None, None)
    ('[0.25, 1,200]', '')
    """
    # The blank in it doesn't end a line.
    return "" if low is None and high is None else f"[{number(low)},\xa0{number(high)}]"


def number(value: float | None) -> str:
    """Four significant digits; whole and large numbers with separators; – for None.

    >>> number(3.0), number(1234567.891), number(0.123456), number(None)
    ('3', '1,234,568', '0.1235', '–')
    """
    if value is None or value != value:
        return "–"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if 10_000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"
