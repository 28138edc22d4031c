"""Plotly figures in a page: the data as JSON beside an empty box, and one script that draws them all."""

from __future__ import annotations

import base64
import functools
import gzip
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from headrace.report.figures.drawn import Drawn

PLOT = "<div class=plot "


def embed(figure: Drawn, *, label: str, height: int = 360) -> str:
    """A figure as HTML for `page`, `height` pixels high. `label` says what it shows where it can't be
    seen."""
    # `<` can't end the script element that holds the JSON.
    data = figure.to_json().replace("<", "\\u003c")
    return (
        f'{PLOT}style="height:{height}px" role="img" aria-label="{escape(label)}">'
        f'<script type="application/json">{data}</script></div>'
    )


def plotly_script() -> str:
    """Plotly's own script, as its package ships it, and ours that draws every box in the page's colours.

    Plotly's 4.8 MB are kept as 2 MB of gzip, which the browser opens itself (DecompressionStream: every
    browser since 2023).
    """
    draw = (files(__package__) / "draw.js").read_text(encoding="utf-8")
    return f'<script type="text/plain" id="plotly">{_packed()}</script>\n<script>{draw}</script>\n'


def plotly_file() -> Path:
    """Plotly's script in its package, which is found and not imported: that takes half a second.

    Raises:
        ModuleNotFoundError: Plotly is not installed.
    """
    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'plotly'", name="plotly")
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


@functools.cache
def _packed() -> str:
    # Packed to within 4% of the best: a page is written in a tenth of a second.
    # mtime: the same page is the same bytes.
    return base64.b64encode(gzip.compress(plotly_file().read_bytes(), 4, mtime=0)).decode()
