"""What a page is: a path, a model that is made for whoever asks, a template, and what can be done there.

A page is one file in `web/pages`. Others bring theirs by the entry-point group `headrace.pages`, through the
same door as the built-in ones (`web.registry`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.core.clock import iso
from headrace.core.errors import UserError
from headrace.core.tokens import Caller, Role

if TYPE_CHECKING:
    from headrace.project import Project

MOST = 200
"""Characters of a text that a page takes from a query."""


@dataclass(frozen=True)
class Asked:
    """A request as pages see it. path: the values of the page's `{names}`. who: whose roles decide what shows
    and what is let; its name stands in events. site: what the page may link to besides itself."""

    project: Project
    who: Caller
    now: datetime
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    def may(self, role: str) -> bool:
        """Whether whoever asks has a role."""
        return Role(role) in self.who.roles

    @property
    def at(self) -> str:
        """The present moment, ISO."""
        return iso(self.now)

    def text(self, name: str, default: str = "") -> str:
        """A value of the query, cut where it is too long."""
        return self.query.get(name, default)[:MOST].strip()

    def whole(self, name: str, default: int, *, least: int = 0, most: int = 1_000_000) -> int:
        """A whole number of the query; `default` where it is none."""
        said = self.query.get(name, "")
        if not (said.isascii() and said.isdigit() and len(said) < 12):
            return default
        return min(most, max(least, int(said)))

    def page(self, total: int, each: int) -> tuple[int, int]:
        """The page of a table of `total` lines that the query names, and how many there are."""
        pages = max(1, -(-total // each))
        return min(pages, self.whole("page", 1, least=1)), pages

    def choice(self, name: str, options: Mapping[str, Any] | tuple[str, ...], default: str) -> str:
        """One of the options that the query names; `default` where it names none of them."""
        said = self.query.get(name, default)
        return said if said in options else default


@dataclass(frozen=True)
class Done:
    """What came of a verb: a line for people, and the page (a path below the site's) that shows it."""

    said: str
    to: str


@dataclass(frozen=True)
class Verb:
    """What a form of a page does. role: who may. act: gets the form's fields; what it raises is told on the
    page."""

    role: Role
    act: Callable[[Asked, Mapping[str, str]], Done]


@dataclass(frozen=True)
class Page:
    """A page.

    path: below the site's, with `{names}` as segments of their own; empty: the first page. label: in the
    navigation (empty: it is not there). model: a frozen dataclass, made without side effects; as JSON at the
    same address with `.json`. template: a file of `web/templates`, or `package:file` of a plug-in's. dress:
    what the template needs beside the model (HTML that was drawn from it). verbs: by the field `do` of a
    form. plots: whether figures by Plotly may stand on it.
    """

    name: str
    path: str
    label: str
    about: str
    model: Callable[[Asked], Any]
    template: str
    role: Role = Role.VIEWER
    verbs: Mapping[str, Verb] = field(default_factory=dict)
    dress: Callable[[Any], Mapping[str, Any]] = lambda _: {}
    plots: bool = False


def named(form: Mapping[str, str], name: str, what: str = "") -> str:
    """A field of a form that has to be filled in.

    Raises:
        UserError: it is empty.
    """
    said = form.get(name, "").strip()
    if not said:
        raise UserError(f"{what or name} is missing", fix="fill it in")
    return said
