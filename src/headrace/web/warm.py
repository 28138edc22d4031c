"""What pages need is loaded before the first is asked for, beside whatever else the process does."""

from __future__ import annotations

import threading
from contextlib import suppress

from headrace.core.errors import HeadraceError
from headrace.web import assets
from headrace.web.entrance import BASE
from headrace.web.site import Site


def warm(site: Site) -> threading.Thread:
    """Import pages, templates and Plotly in a thread. What fails here is told when a page is asked for."""

    def load() -> None:
        with suppress(HeadraceError, ImportError, OSError):
            _ = site.renderer
            assets.address("app.css", BASE)
            assets.pack("plotly.js")
            import plotly.graph_objects as _figures

            del _figures  # imported, and kept by Python

    thread = threading.Thread(target=load, name="warming", daemon=True)
    thread.start()
    return thread
