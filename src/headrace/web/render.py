"""Models to HTML: Jinja2 with everything escaped, and the few words that templates use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound
from markupsafe import Markup, escape

from headrace.core.clock import from_micros, iso
from headrace.core.tokens import Role
from headrace.report.page import number as plain_number
from headrace.report.page import span as plain_span
from headrace.report.parts.common import drawn
from headrace.web import assets
from headrace.web.entrance import BASE, CODE, THEME, Visit
from headrace.web.page import Page
from headrace.web.version import version

if TYPE_CHECKING:
    from headrace.core.errors import Problem
    from headrace.project import Project
    from headrace.report.figures.drawn import Drawn
    from headrace.serve.http.endpoint import Call

_HERE = Path(__file__).parent / "templates"
GOOD = frozenset(
    {"pass", "released", "champion", "done", "ran", "healthy", "resolved", "decided", "finished", "live"}
)
BAD = frozenset({"fail", "blocked", "no-go", "failed", "open", "broken"})
WARN = frozenset(
    {"unknown", "waived", "awaiting approval", "challenger", "stopped", "unfinished", "asked", "acknowledged",
     "expired", "running", "taken", "canary", "queued"}
)  # fmt: skip
_SIGNS = {"good": "✓", "bad": "✗", "warn": "!", "": "–"}


class Renderer:
    """Templates with what all pages share. For any number of threads."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._pages = pages
        env = Environment(
            loader=_Loader(),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        env.filters.update(
            number=number,
            span=plain_span,
            time=time,
            day=day,
            micros=of_micros,
            chip=chip,
            share=share,
            count=count,
            short=short,
            seconds=seconds,
            words=words,
            who=who,
            path=lambda text: quote(str(text), safe=""),
        )
        env.globals.update(
            plotly_styles=assets.named_styles,
            base=BASE,
            code_name=CODE,
            link=link,
            plot=plot,
            asset=lambda name: assets.address(name, BASE),
        )
        self._env = env

    def page(
        self,
        page: Page,
        model: Any,
        visit: Visit,
        call: Call,
        *,
        project: Project,
        now: datetime,
        said: str = "",
        problems: Sequence[Problem] = (),
    ) -> str:
        """A page as HTML."""
        given = self._common(visit, call) | {
            "page": page,
            "m": model,
            "said": said,
            "problems": problems,
            "version": version(project),
            "project": project.root.name,
            "now": now,
            "plots": page.plots,
            "may": lambda role: Role(role) in visit.who.roles,
            **page.dress(model),
        }
        return self._env.get_template(page.template).render(given)

    def error(self, status: int, problems: Sequence[Problem], visit: Visit, call: Call) -> str:
        """A page that says what is wrong."""
        given = self._common(visit, call) | {"status": status, "problems": problems}
        return self._env.get_template("error.html").render(given)

    def login(self, visit: Visit, call: Call, *, wrong: str, after: str) -> str:
        """The form that takes a token."""
        given = self._common(visit, call) | {"wrong": wrong, "after": f"{BASE}/{after}"}
        return self._env.get_template("login.html").render(given)

    def _common(self, visit: Visit, call: Call) -> dict[str, Any]:
        theme = visit.cookies.get(THEME, "")
        return {
            "pages": [p for p in self._pages if p.label and p.role in visit.who.roles],
            "visit": visit,
            "theme": theme if theme in ("light", "dark") else "",
            "query": call.query,
            "here": call.target,
            "page": None,
            "said": "",
            "plots": False,
            "version": "",
            "project": "",
        }


class _Loader(BaseLoader):
    """Our templates by their names, those of plug-ins as `package:file`."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Any]:
        package, _, name = template.rpartition(":")
        try:
            text = (files(package) / name if package else _HERE / name).read_text(encoding="utf-8")
        except (OSError, ModuleNotFoundError):
            raise TemplateNotFound(template) from None
        return text, None, None


def number(value: float | int | None) -> str:
    """Four significant digits; – for None."""
    return plain_number(value)


def share(value: float | None, digits: int = 3) -> str:
    """A share in per cent."""
    return "–" if value is None or value != value else f"{100 * value:.{digits}g}%"


def count(value: int | None, one: str = "", many: str = "") -> str:
    """A whole number with separators, and its noun."""
    if value is None:
        return "–"
    return f"{value:,} {one if value == 1 else many or one + 's'}" if one else f"{value:,}"


def seconds(value: float | None) -> str:
    """A time span for people."""
    if value is None:
        return "–"
    if value < 1:
        return f"{1000 * value:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    if value < 7200:
        return f"{value / 60:.3g} min"
    return f"{value / 3600:.3g} h" if value < 172_800 else f"{value / 86_400:.3g} d"


def time(stamp: str, *, ago: bool = True) -> Markup:
    """An ISO moment; our script says how long ago it is."""
    if not stamp:
        return Markup("–")
    shown = stamp[:16].replace("T", " ")
    kind = Markup(' class="ago"') if ago else Markup("")
    return Markup('<time datetime="{}"{} title="{} UTC">{}</time>').format(
        stamp, kind, stamp[:19].replace("T", " "), shown
    )


def of_micros(micros: int | None, *, ago: bool = False) -> Markup:
    """Microseconds since 1970 as a moment."""
    if not micros:
        return Markup("–")
    return time(iso(from_micros(micros)), ago=ago)


def day(stamp: str) -> str:
    """The day of an ISO moment."""
    return stamp[:10] or "–"


def short(digest: str, most: int = 12) -> Markup:
    """The beginning of a digest; the whole where the pointer rests."""
    if not digest:
        return Markup("–")
    return Markup('<code title="{}">{}</code>').format(digest, digest[:most])


def chip(word: str, kind: str = "") -> Markup:
    """A state in a frame, with a sign beside its colour."""
    kind = kind or ("good" if word in GOOD else "bad" if word in BAD else "warn" if word in WARN else "")
    return Markup('<span class="chip {}"><b aria-hidden="true">{}</b> {}</span>').format(
        kind, _SIGNS.get(kind, "–"), word
    )


def who(name: str) -> Markup:
    """A name; of an e-mail address what stands before the @, the whole where the pointer rests."""
    short_name, at, _ = name.partition("@")
    return (
        Markup('<span title="{}">{}</span>').format(name, short_name if at else name) if name else Markup("–")
    )


def words(value: Any, most: int = 80) -> str:
    """A small value in words, cut where it is long."""
    text = "–" if value is None else plain_number(value) if isinstance(value, float) else str(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def plot(figure: Drawn, label: str, height: int, note: str = "") -> Markup:
    """A figure with what it shows and how to read it."""
    return Markup(drawn(figure, str(label), str(note), height=height))


def link(query: Mapping[str, str], **changes: Any) -> Markup:
    """The same page with other values in its query; None takes one away."""
    merged = {**query, **changes}
    kept = {k: v for k, v in merged.items() if v not in (None, "")}
    return escape("?" + urlencode(kept))
