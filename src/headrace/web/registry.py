"""Which pages there are: the built-ins and those of the entry-point group `headrace.pages`."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from headrace.core.errors import UserCodeError
from headrace.web.page import Page

GROUP = "headrace.pages"
BUILT_IN = {
    "now": "headrace.web.pages.now:PAGE",
    "runs": "headrace.web.pages.runs:PAGE",
    "run": "headrace.web.pages.run:PAGE",
    "compare": "headrace.web.pages.compare:PAGE",
    "data": "headrace.web.pages.data:PAGE",
    "features": "headrace.web.pages.features:PAGE",
    "releases": "headrace.web.pages.releases:PAGE",
    "release": "headrace.web.pages.release:PAGE",
    "traffic": "headrace.web.pages.traffic:PAGE",
    "drift": "headrace.web.pages.drift:PAGE",
    "alerts": "headrace.web.pages.alerts:PAGE",
    "review": "headrace.web.pages.review:PAGE",
    "jobs": "headrace.web.pages.jobs:PAGE",
    "health": "headrace.web.pages.health:PAGE",
    "ledger": "headrace.web.pages.ledger:PAGE",
}
"""Ours, in the order of the navigation."""


def pages() -> tuple[Page, ...]:
    """Every page, imported; ours first. A plug-in can't take the name or path of one of ours.

    Raises:
        UserCodeError: a plug-in can't be imported, is no page, or takes the path of another.
    """
    ours = [EntryPoint(name=n, value=v, group=GROUP) for n, v in BUILT_IN.items()]
    others = [p for p in entry_points(group=GROUP) if p.name not in BUILT_IN]
    found: dict[str, Page] = {}
    for point in [*ours, *sorted(others, key=lambda p: p.name)]:
        page = _load(point)
        if page.path in found:
            raise UserCodeError(
                f"page {point.name!r} ({point.value}) takes the path of {found[page.path].name!r}",
                where=GROUP,
                fix="give it another path",
            )
        found[page.path] = page
    return tuple(found.values())


def _load(point: EntryPoint) -> Page:
    try:
        loaded = point.load()
    except Exception as error:  # user-code boundary: pages may be anybody's
        raise UserCodeError(
            f"page {point.name!r} ({point.value}) can't be imported: {error}",
            where=GROUP,
            fix="mend or uninstall the package that provides it",
        ) from error
    if not isinstance(loaded, Page):
        raise UserCodeError(
            f"page {point.name!r} ({point.value}) is no page",
            where=GROUP,
            fix="it has to be a headrace.web.page.Page",
        )
    return loaded
