"""What pages need is loaded before the first is asked for, beside whatever else the process does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from headrace.core.clock import system_clock
from headrace.core.errors import HeadraceError
from headrace.core.places import STORE_DIR
from headrace.core.tokens import Caller
from headrace.web import assets
from headrace.web.entrance import BASE

if TYPE_CHECKING:
    from headrace.project import Project


def warm(opened: Callable[[], Project]) -> threading.Thread:
    """Make our pages once, in a thread: what they import is there then, the index of runs, and what they fold
    of the ledger; where there are many runs that takes a while. What fails here is told when a page is asked
    for."""
    thread = threading.Thread(target=_load, args=(opened,), name="warming", daemon=True)
    thread.start()
    return thread


def _load(opened: Callable[[], Project]) -> None:
    with suppress(HeadraceError, ImportError, OSError):
        from headrace.engine.tracking.index import RunIndex
        from headrace.web.page import Asked
        from headrace.web.registry import BUILT_IN, pages
        from headrace.web.render import Renderer

        every, project = pages(), opened()
        Renderer(every)
        assets.address("app.css", BASE)
        with closing(RunIndex(project.store, project.root / STORE_DIR)) as index:
            newest = index.find(most=1).lines  # by an index of its own: nobody waits while it is made
        names = {"run": newest[0].run} if newest else {}
        for page in every:
            path = {n: v for n, v in names.items() if f"{{{n}}}" in page.path}
            if page.name in BUILT_IN and page.path.count("{") == len(path):
                with suppress(HeadraceError, OSError):
                    page.dress(page.model(Asked(project, Caller(), system_clock(), path)))
        assets.named_styles()
        assets.pack("plotly.js")
