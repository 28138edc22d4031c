"""Releases: what there is, what waits, and what was live when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

from headrace.core.clock import iso
from headrace.core.tokens import Role
from headrace.core.views import Reign, ReleaseView, State
from headrace.web.entrance import BASE
from headrace.web.page import Asked, Done, Page, Verb, named
from headrace.web.said import release_path

PER_PAGE = 50
_ORDER = (State.CHAMPION, State.CHALLENGER, State.CANDIDATE, State.RETIRED)


@dataclass(frozen=True)
class Line:
    """A release in the list: its state, and the estimate of its sealed test or of its validation."""

    view: ReleaseView
    model: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    tested: bool
    name: str


@dataclass(frozen=True)
class Releases:
    """The page. lines: one page of all of them, of which there are `total`. before: the release that a
    rollback brings back (empty: none). at: the moment that was asked about; live_at: what was live then."""

    lines: tuple[Line, ...]
    total: int
    page: int
    pages: int
    reigns: tuple[Reign, ...]
    before: str
    champion: str
    now: str
    at: str
    live_at: str


def model(asked: Asked) -> Releases:
    """Every release, the live one first."""
    state = asked.project.releases()
    views = list(state.releases.values())[::-1]
    views.sort(key=lambda v: _ORDER.index(v.state))
    page, pages = asked.page(len(views), PER_PAGE)
    at = asked.text("at")
    moment = _moment(at)
    return Releases(
        lines=tuple(_line(asked, v) for v in views[(page - 1) * PER_PAGE : page * PER_PAGE]),
        total=len(views),
        page=page,
        pages=pages,
        reigns=state.reigns,
        before=state.before_champion(),
        champion=state.champion.release if state.champion else "",
        now=asked.at,
        at=at,
        live_at=state.live_at(moment) if moment else "",
    )


def _moment(text: str) -> str:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return iso(found if found.tzinfo else found.replace(tzinfo=UTC))


def _line(asked: Asked, view: ReleaseView) -> Line:
    run = asked.project.run_index.line(view.run)
    return Line(view, run.model, run.metric, run.value, run.low, run.high, run.tested, run.name)


def roll_back(asked: Asked, form: Mapping[str, str]) -> Done:
    """Bring the champion before back."""
    view = asked.project.rollback(reason=named(form, "reason", "the reason"))
    return Done(f"Rolled back: {view.release} is champion again.", "releases")


def dress(page: Releases) -> Mapping[str, Any]:
    """The time line, drawn."""
    from markupsafe import Markup

    return {"timeline": Markup(timeline(page.reigns, page.now)) if page.reigns else ""}


def timeline(reigns: Sequence[Reign], now: str) -> str:
    """Who was champion when, as SVG: a lane for each release, time from left to right."""
    first, last = _seconds(reigns[0].since), _seconds(now)
    width = max(1.0, last - first)
    names = list(dict.fromkeys(r.release for r in reigns))[-12:]
    parts = []
    for row, name in enumerate(names):
        y = 22 * row
        link = f"{BASE}/{release_path(name)}"
        parts.append(
            f'<a href="{escape(link)}"><text x="0" y="{y + 13}">{escape(name[:12])}</text></a>'
            f'<line x1="96" x2="796" y1="{y + 9}" y2="{y + 9}" stroke="currentColor" opacity=".12"/>'
        )
        for r in (r for r in reigns if r.release == name):
            a = 96 + 700 * (_seconds(r.since) - first) / width
            b = 96 + 700 * ((_seconds(r.until) if r.until else last) - first) / width
            told = f"{name}, {r.how} by {r.by}: {r.since[:16]} to {r.until[:16] or 'now'}"
            kind = "span live" if not r.until else "span"
            wide = f'x="{a:.1f}" y="{y + 3}" width="{max(2.0, b - a):.1f}" height="12"'
            parts.append(f'<rect class="{kind}" {wide} rx="3"><title>{escape(told)}</title></rect>')
    foot = 22 * len(names) + 12
    ends = (
        f'<text x="96" y="{foot}">{escape(reigns[0].since[:16].replace("T", " "))}</text>'
        f'<text x="796" y="{foot}" text-anchor="end">now</text>'
    )
    return (
        f'<svg viewBox="0 0 800 {foot + 4}" role="group" aria-label="Who was champion when">'
        f"{''.join(parts)}{ends}</svg>"
    )


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def compare_link(releases: Sequence[str]) -> str:
    """Where releases stand side by side."""
    return "compare?" + "&".join(f"release-{quote(r, safe='')}=1" for r in releases)


PAGE = Page(
    "releases",
    "releases",
    "Releases",
    "every release: what waits for an approval, what is live, and what was live when",
    model,
    "releases.html",
    verbs={"rollback": Verb(Role.OPERATOR, roll_back)},
    dress=dress,
)
