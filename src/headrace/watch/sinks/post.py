"""One HTTP POST, as sinks need it: no redirects, a deadline, and errors that say what to mend."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from headrace.core.errors import Undelivered, UserError

SECONDS = 10.0
"""How long a receiver may take."""
_MOST = 500


def post(url: str, body: bytes, headers: Mapping[str, str], *, name: str) -> None:
    """Send it. name: what the URL is called where it may not be shown (it can hold a secret).

    Raises:
        Undelivered: nobody took it: no connection, or another status than 2xx. A redirect is one: it could
            lead anywhere.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None  # noqa: S101  `checked` has seen to it
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    made = (
        http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=SECONDS, context=ssl.create_default_context()
        )
        if secure
        else http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)
    )
    try:
        made.request("POST", target, body, dict(headers))
        reply = made.getresponse()
        said = reply.read(_MOST)
    except (OSError, http.client.HTTPException) as error:
        raise Undelivered(f"{name} can't be reached", why=str(error) or type(error).__name__) from error
    finally:
        made.close()
    if not 200 <= reply.status < 300:
        raise Undelivered(
            f"{name} answered {reply.status} {reply.reason}",
            why=said.decode("utf-8", "replace").strip()[:200],
            fix="look at what receives it" if reply.status >= 500 else "check the URL and what it takes",
        )


def checked(url: str, *, name: str) -> str:
    """The URL, if it is one that can be sent to.

    Raises:
        UserError: it is empty, or no http(s) URL with a host, or has characters that a URL spells with `%`.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        usable = usable and bool((parts.hostname or "").encode("idna"))  # ValueError: no name of a host
        usable = usable and all("!" <= c <= "~" for c in parts.path + parts.query)
    except ValueError:
        usable = False
    if not usable:
        raise UserError(
            f"{name} holds no URL" if url else f"{name} is not set",
            why="alerts for this receiver are kept until it is",
            fix=f"set the environment variable {name} to an http(s) URL",
        )
    return url
