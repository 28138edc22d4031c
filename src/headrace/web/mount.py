"""The site over a project's folder, for `headrace ui` and inside `headrace serve`. Imports no page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.clock import Clock, system_clock
from headrace.core.ports import Store
from headrace.serve.http.guard import Guard
from headrace.web.entrance import LOOPBACK, Door
from headrace.web.site import Site

if TYPE_CHECKING:
    from headrace.project import Project


def site_of(
    root: Path, store: Store, guard: Guard | None, *, host: str = "127.0.0.1", clock: Clock = system_clock
) -> Site:
    """The pages of the project in `root`.

    host: where the server listens. On this machine alone everybody may do everything while there is no token;
    elsewhere whoever comes without one may look, where the guard lets them in at all.
    """

    def opened(name: str) -> Project:
        from headrace.project import Project

        return Project(root, store=store, clock=clock, actor=name or None)

    return Site(opened, Door(guard, everybody=host in LOOPBACK), clock)
