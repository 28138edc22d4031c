"""Styles and scripts, served from this machine: ours, the report's, and Plotly's as its package ships it."""

from __future__ import annotations

import functools
import gzip
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from headrace.serve.http.endpoint import Call, Refused, Reply

_HERE = Path(__file__).parent / "static"
_REPORT = Path(__file__).parents[1] / "report"
_JS, _CSS, _SVG = b"text/javascript; charset=utf-8", b"text/css; charset=utf-8", b"image/svg+xml"
_KEPT = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def _plotly() -> Path:
    from headrace.report.figures.embed import plotly_file

    return plotly_file()


_FILES: dict[str, tuple[Callable[[], Path], bytes]] = {
    "app.css": (lambda: _HERE / "app.css", _CSS),
    "app.js": (lambda: _HERE / "app.js", _JS),
    "icon.svg": (lambda: _HERE / "icon.svg", _SVG),
    "report.css": (lambda: _REPORT / "page.css", _CSS),
    "draw.js": (lambda: _REPORT / "figures" / "draw.js", _JS),
    "plotly.js": (_plotly, _JS),
}


@functools.cache
def _content(name: str) -> tuple[bytes, str]:
    """The file's bytes, packed, and their digest."""
    data = _FILES[name][0]().read_bytes()
    return gzip.compress(data, 5, mtime=0), sha256(data).hexdigest()[:12]


@functools.cache
def named_styles() -> tuple[str, ...]:
    """Ids of the style elements that Plotly would put into a page. It leaves out those that are there, and
    the policy of content allows none: the page holds empty ones, and `app.css` their rules."""
    text = _plotly().read_text(encoding="utf-8")
    return tuple(dict.fromkeys(re.findall(r'getElementById\("([0-9a-f]{64})"\)', text)))


def pack(name: str) -> None:
    """Have a file ready to be served."""
    _content(name)


def address(name: str, base: str) -> str:
    """Where a file is, under a name of its content: browsers keep it until it is another. Plotly's is named
    by its package's, which saves a page from reading five megabytes."""
    if name == "plotly.js":
        seen = _plotly().stat()
        return f"{base}/static/{name}?v={seen.st_size:x}{int(seen.st_mtime):x}"
    return f"{base}/static/{name}?v={_content(name)[1]}"


def serve(call: Call, name: str) -> Reply:
    """A file.

    Raises:
        Refused: 404, there is no such file.
    """
    if name not in _FILES:
        raise Refused(404, "there is no such file", where=call.target)
    packed, _ = _content(name)
    kept = b"public, max-age=31536000, immutable" if call.query.get("v") else b"no-cache"
    headers = [(b"cache-control", kept), (b"vary", b"accept-encoding")]
    if b"gzip" in call.headers.get(b"accept-encoding", b""):
        headers.append((b"content-encoding", b"gzip"))
    else:
        packed = gzip.decompress(packed)
    return Reply(packed, 200, _FILES[name][1], tuple(headers), _KEPT)
