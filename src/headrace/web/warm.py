"""What pages need is loaded before the first is asked for, beside whatever else the process does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from headrace.core.errors import HeadraceError
from headrace.web import assets
from headrace.web.entrance import BASE


def warm(then: Callable[[], object] = lambda: None) -> threading.Thread:
    """Import pages, templates, Plotly, and what searches runs, in a thread. What fails here is told when a
    page is asked for. then: called afterwards."""
    thread = threading.Thread(target=_load, args=(then,), name="warming", daemon=True)
    thread.start()
    return thread


def _load(then: Callable[[], object]) -> None:
    with suppress(HeadraceError, ImportError, OSError):
        from headrace.web.registry import pages
        from headrace.web.render import Renderer

        Renderer(pages())
        assets.address("app.css", BASE)
        assets.pack("plotly.js")
        from headrace.engine.tracking.search import FIELDS, answers, parse_where

        answers(parse_where("status = 'done'", FIELDS), {"status": ["done"]}, FIELDS, 1)
        import plotly.graph_objects as _figures

        del _figures  # imported, and kept by Python
        then()
