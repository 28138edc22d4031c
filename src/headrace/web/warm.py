"""What pages need is loaded before the first is asked for, beside whatever else the process does."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from headrace.core.clock import system_clock
from headrace.core.errors import HeadraceError
from headrace.core.tokens import Caller
from headrace.web import assets
from headrace.web.entrance import BASE

if TYPE_CHECKING:
    from headrace.project import Project


def warm(project: Project) -> threading.Thread:
    """Make our pages once, in a thread: what they import is there then, and the index of runs, which takes a
    while to make where there are many. What fails here is told when a page is asked for."""
    thread = threading.Thread(target=_load, args=(project,), name="warming", daemon=True)
    thread.start()
    return thread


def _load(project: Project) -> None:
    with suppress(HeadraceError, ImportError, OSError):
        from headrace.web.page import Asked
        from headrace.web.registry import BUILT_IN, pages
        from headrace.web.render import Renderer

        every = pages()
        Renderer(every)
        assets.address("app.css", BASE)
        newest = project.search_runs(most=1).lines
        names = {"run": newest[0].run} if newest else {}
        who = Caller()
        for page in every:
            asked = Asked(
                project, who, system_clock(), {n: v for n, v in names.items() if f"{{{n}}}" in page.path}
            )
            if page.name in BUILT_IN and page.path.count("{") == len(asked.path):
                with suppress(HeadraceError, OSError):
                    page.dress(page.model(asked))
        assets.named_styles()
        assets.pack("plotly.js")
        project.run_index.close()
