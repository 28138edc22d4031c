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
    root: Path,
    store: Store,
    guard: Guard | None,
    *,
    host: str = "127.0.0.1",
    clock: Clock = system_clock,
    actor: str | None = None,
) -> Site:
    """The pages of the project in `root`.

    host: where the server listens. On this machine alone everybody may do everything while there is no token;
    elsewhere whoever comes without one may look, where the guard lets them in at all. actor: in whose name
    they do (default: as on the command line).
    """
    held: list[Project] = []  # made when the first page is asked for; its index of runs serves all requests

    def opened(name: str) -> Project:
        from headrace.project import Project

        if not held:
            held.append(Project(root, store=store, clock=clock, actor=actor))
        return held[0].acting(name) if name else held[0]

    def closed() -> None:
        for project in held:
            project.run_index.close()

    return Site(opened, Door(guard, everybody=host in LOOPBACK), clock, closed)
