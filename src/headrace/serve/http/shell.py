"""The ASGI application: finds the endpoint, reads the body no further than is taken, answers, tells errors.

No framework between server and endpoint: a request of one row takes less time than a framework's routing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from headrace.core.errors import StoreError, UserCodeError
from headrace.core.tokens import Caller
from headrace.serve.http.endpoint import ANYBODY, Call, Endpoint, Refused, Reply
from headrace.serve.http.guard import Guard
from headrace.serve.http.problems import ours, refusal, spoken

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LOG = logging.getLogger("headrace.serve")
Watch = Callable[[str, str, int, float], None]
"""Is told of every answer: the endpoint's path (empty: it came to none), the method, the status, seconds."""
_NO_QUERY: Mapping[str, str] = {}
_NO_PATH: Mapping[str, str] = {}
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
)
"""Sent with every answer: nothing is guessed, kept by proxies, told to other sites, or framed by them."""


class Entered(msgspec.Struct, frozen=True):
    """A request that was let in: all of it but the body. counts: whether it takes a place among those that
    are answered at once."""

    endpoint: Endpoint
    target: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    method: str
    caller: Caller
    counts: bool


class Shell:
    """The application. `most` is the most bytes of one body; without a `guard` everybody is let in; `watch`
    is told of every answer; `close` is called when the server stops."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        most: int,
        guard: Guard | None = None,
        watch: Watch | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.most = most
        self._guard = guard
        self._watch = watch
        self._quiet = 0.0
        self.close = close
        self._plain = {(e.method, e.path): e for e in self.endpoints if "{" not in e.path}
        self._templates = [(e, e.path.split("/")) for e in self.endpoints if "{" in e.path]

    def enter(self, method: str, target: str, query: bytes, headers: list[tuple[bytes, bytes]]) -> Entered:
        """Find the endpoint and let the caller in, before a body is read. target: the path, decoded.

        Raises:
            Refused: 404, 405, or what the guard says.
        """
        endpoint, path = self._find(method, target)
        caller = ANYBODY if self._guard is None else self._guard.admit(endpoint, headers)
        asked = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else _NO_QUERY
        return Entered(
            endpoint, target, path, asked, dict(headers), method, caller, endpoint.method == "POST"
        )

    def answer(self, entered: Entered, body: bytes, started: float) -> Reply | Coroutine[Any, Any, Reply]:
        """The reply, or who waits for it; errors are replies too."""
        call = Call(
            entered.method,
            entered.target,
            entered.path,
            entered.query,
            entered.headers,
            body,
            started,
            entered.caller,
        )
        try:
            reply = entered.endpoint.handler(call)
        except Exception as error:  # noqa: BLE001  the serving fallback: a caller always gets an answer
            reply = self._told(error, entered.target)
        if not isinstance(reply, Reply):
            return self._awaited(reply, entered, started)
        if self._watch is not None:
            self._watch(entered.endpoint.path, entered.method, reply.status, perf_counter() - started)
        return reply

    def told(self, error: Exception, target: str) -> Reply:
        """The reply to a request that comes to no endpoint."""
        reply = self._told(error, target)
        if self._watch is not None:
            self._watch("", "", reply.status, 0.0)
        return reply

    def _told(self, error: Exception, target: str) -> Reply:
        told = refusal(error)
        if told is None:
            _LOG.error("%s failed", target, exc_info=error)
        elif isinstance(error, StoreError | UserCodeError) and perf_counter() > self._quiet:
            self._quiet = perf_counter() + 1.0  # a full disk would be told of with every request
            _LOG.warning("%s failed: %s", target, error)
        return spoken(told or ours(), target)

    def too_much(self) -> Refused:
        """What a body of more than `most` bytes gets."""
        told = f"{self.most / 1e6:g} MB" if self.most >= 1e6 else f"{self.most:,} bytes"
        return Refused(413, f"the request has more than {told}", fix="send fewer rows at once")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application, for servers of other kinds."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"no answer to {scope['type']}")
        started = perf_counter()
        try:
            entered = self.enter(scope["method"], scope["path"], scope["query_string"], scope["headers"])
            coming = self.answer(entered, await self._body(receive), started)
            reply = coming if isinstance(coming, Reply) else await coming
        except Refused as refused:
            reply = self.told(refused, scope["path"])
        await _send(reply, send, head=scope["method"] == "HEAD")

    async def _awaited(self, coming: Awaitable[Reply], entered: Entered, started: float) -> Reply:
        try:
            reply = await coming
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the serving fallback: a caller always gets an answer
            reply = self._told(error, entered.target)
        if self._watch is not None:
            self._watch(entered.endpoint.path, entered.method, reply.status, perf_counter() - started)
        return reply

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
            if len(body) > self.most:
                raise self.too_much()
            return body
        parts, size = [message["body"]], len(message["body"])
        while message.get("more_body"):
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.most:
                raise self.too_much()
            parts.append(message.get("body", b""))
        return b"".join(parts)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _match(template: list[str], parts: list[str]) -> dict[str, str] | None:
    """The values of a template's names; None where the path is another."""
    if len(template) != len(parts):
        return None
    values = {}
    for want, part in zip(template, parts, strict=True):
        if want[:1] == "{":
            values[want[1:-1]] = part
        elif want != part:
            return None
    return values


async def _send(reply: Reply, send: Send, *, head: bool) -> None:
    headers = [
        (b"content-type", reply.media),
        (b"content-length", b"%d" % len(reply.body)),
        *(reply.security or SECURITY),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
