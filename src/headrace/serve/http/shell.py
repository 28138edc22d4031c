"""The ASGI application: finds the endpoint, reads the body no further than is taken, answers, tells errors.

No framework between server and endpoint: a request of one row takes less time than a framework's routing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from inspect import isawaitable
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl, unquote

from headrace.serve.http.endpoint import ANYBODY, Call, Endpoint, Refused, Reply
from headrace.serve.http.guard import Guard
from headrace.serve.http.problems import ours, refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LOG = logging.getLogger("headrace.serve")
_NO_QUERY: Mapping[str, str] = {}
_NO_PATH: Mapping[str, str] = {}
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
)
"""Sent with every answer: nothing is guessed, kept by proxies, told to other sites, or framed by them."""


class Shell:
    """The application. `most` is the most bytes of one body; without a `guard` everybody is let in; `close`
    is called when the server stops."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        most: int,
        guard: Guard | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._most = most
        self._guard = guard
        self._close = close
        self._plain = {(e.method, e.path): e for e in self.endpoints if "{" not in e.path}
        self._templates = [(e, e.path.split("/")) for e in self.endpoints if "{" in e.path]
        self._paths = {e.path for e in self.endpoints}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"no answer to {scope['type']}")
        started = perf_counter()
        try:
            reply = await self._reply(scope, receive, started)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the serving fallback: a caller always gets an answer
            told = refusal(error)
            if told is None:
                _LOG.exception("%s %s failed", scope["method"], scope["path"])
            reply = told or ours()
        await _send(reply, send, head=scope["method"] == "HEAD")

    async def _reply(self, scope: Scope, receive: Receive, started: float) -> Reply:
        endpoint, path = self._find(scope["method"], scope["path"])
        caller = ANYBODY if self._guard is None else self._guard.admit(endpoint, scope["headers"])
        query = scope["query_string"]
        call = Call(
            scope["method"],
            scope["path"],
            path,
            dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else _NO_QUERY,
            dict(scope["headers"]),
            await self._body(receive),
            started,
            caller,
        )
        reply = endpoint.handler(call)
        return await reply if isawaitable(reply) else reply

    def _find(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        asked = "GET" if method == "HEAD" else method
        found = self._plain.get((asked, path))
        if found is not None:
            return found, _NO_PATH
        parts, allowed = path.split("/"), []
        for endpoint, template in self._templates:
            values = _match(template, parts)
            if values is not None and endpoint.method == asked:
                return endpoint, values
            if values is not None:
                allowed.append(endpoint.method)
        allowed += [e.method for e in self.endpoints if e.path == path]
        there = ", ".join(f"{e.method} {e.path}" for e in self.endpoints if not e.hidden)
        if allowed:
            headers = {"Allow": ", ".join(sorted(set(allowed)))}
            raise Refused(405, "no such method here", where=path, fix=f"there are {there}", headers=headers)
        raise Refused(404, "there is no such path", where=path, fix=f"there are {there}")

    async def _body(self, receive: Receive) -> bytes:
        """The body, read no further than is taken."""
        message = await receive()
        if not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) > self._most:
                raise self._too_much()
            return body
        parts, size = [message["body"]], len(message["body"])
        while message.get("more_body"):
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most:
                raise self._too_much()
            parts.append(message.get("body", b""))
        return b"".join(parts)

    def _too_much(self) -> Refused:
        told = f"{self._most / 1e6:g} MB" if self._most >= 1e6 else f"{self._most:,} bytes"
        return Refused(413, f"the request has more than {told}", fix="send fewer rows at once")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                self._close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _match(template: list[str], parts: list[str]) -> dict[str, str] | None:
    """The values of a template's names; None where the path is another."""
    if len(template) != len(parts):
        return None
    values = {}
    for want, part in zip(template, parts, strict=True):
        if want[:1] == "{":
            values[want[1:-1]] = unquote(part)
        elif want != part:
            return None
    return values


async def _send(reply: Reply, send: Send, *, head: bool) -> None:
    headers = [
        (b"content-type", reply.media),
        (b"content-length", b"%d" % len(reply.body)),
        *SECURITY,
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
