"""Connections: HTTP/1.1 by llhttp (httptools) on asyncio, straight to the application.

No server library in between: nothing is here that a request of one row has no use for, and what a sender
can cost is bounded in time and bytes (`Limits`). Requests of one connection are answered in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from time import perf_counter, time
from typing import Any
from urllib.parse import unquote

import httptools

from headrace.serve.http.eager import begin
from headrace.serve.http.endpoint import Refused, Reply
from headrace.serve.http.shell import SECURITY, Entered, Shell

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SOON = {"Retry-After": "1"}
_LINES = {s.value: b"HTTP/1.1 %d %b\r\n" % (s, s.phrase.encode()) for s in HTTPStatus}
_SECURITY = b"".join(b"%b: %b\r\n" % header for header in SECURITY)


@dataclass(frozen=True)
class Limits:
    """What a worker bears. Times are in seconds.

    waiting: requests that are being answered at once (more get 429). bytes: of all bodies that are held at
    once (more get 429). connections: more get 503. head: bytes of a request line and headers, and fields:
    how many headers (431). patience: for a head, and for a body beside a second for every `pace` bytes
    (408). idle: between requests. ahead: requests of a connection that wait for the one before. slow: for a
    reader who takes nothing. linger: to read what still comes after a refusal that ends the connection.
    """

    waiting: int = 1024
    bytes: int = 128_000_000
    connections: int = 4096
    head: int = 65_536
    fields: int = 100
    patience: float = 10.0
    pace: float = 65_536.0
    idle: float = 75.0
    ahead: int = 16
    slow: float = 30.0
    linger: float = 2.0


class Wire:
    """What the connections of a worker share. For one loop."""

    def __init__(self, shell: Shell, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.shell = shell
        self.limits = limits
        self.loop = loop
        self.connections: set[Connection] = set()
        self.waiting = 0
        self.bytes = 0
        self.draining = False
        self.common = b""
        self._sweeps: asyncio.TimerHandle | None = None
        self.sweep()

    def connection(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self)

    def sweep(self) -> None:
        """Every half second: the date of answers, and an end to connections that take too long."""
        self.common = b"date: %b\r\n%b" % (formatdate(time(), usegmt=True).encode(), _SECURITY)
        now = perf_counter()
        for connection in list(self.connections):
            connection.look(now)
        self._sweeps = self.loop.call_later(0.5, self.sweep)

    async def drain(self, patience: float) -> bool:
        """Answer what is under way, then let go of every connection; a connection without a request is given
        a second to send one, which is answered. Whether all ended within `patience` seconds."""
        self.draining = True
        until = perf_counter() + patience
        while self.connections and perf_counter() < until:
            await asyncio.sleep(0.02)
        done = not self.connections
        for connection in list(self.connections):
            connection.abort()
        if self._sweeps is not None:
            self._sweeps.cancel()
        return done


@dataclass(slots=True)
class _Request:
    """A whole request that waits for its turn. entered: the endpoint's; a `Reply` where it was refused."""

    entered: Entered | Reply
    body: bytes
    began: float
    head_only: bool
    keep: bool


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # there before any data
        self._waiting: deque[_Request] = deque()
        self._busy = False
        self._deaf = False
        self._gone = False
        self._since = perf_counter()
        self._stuck = 0.0
        self._held = 0
        self._number = 0
        self._clear()

    def _clear(self) -> None:
        """Ready for the next request."""
        self._began = 0.0
        self._in_head = False
        self._head = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._entered: Entered | Reply | None = None
        self._body = b""
        self._parts: list[bytes] | None = None
        self._size = 0

    # --- asyncio

    def connection_made(self, transport: Any) -> None:
        """Counted, or refused."""
        self._transport = transport
        wire = self._wire
        if len(wire.connections) >= wire.limits.connections:
            self._refuse(Refused(503, "too many connections", headers=_SOON))
        wire.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """What is being answered is answered and logged; nobody is there to read it."""
        self._wire.connections.discard(self)
        self._wire.bytes -= self._held
        self._gone = self._deaf = True
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Bytes for the parser."""
        if self._deaf:
            return
        if not self._began:
            self._began = perf_counter()
        number = self._number
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # there is nothing to upgrade to: the request is answered, and was the last
        except httptools.HttpParserError as error:
            if not self._deaf:
                self._refuse(Refused(400, f"this is no HTTP: {error}"))
            return
        if self._in_head and number == self._number and not self._deaf:
            self._head += len(data)  # what began in these bytes is measured when it is whole
            if self._head > self._wire.limits.head:
                self._too_long()

    def eof_received(self) -> bool:
        """A sender who closes their half gets what they asked for, and that is the end."""
        self._deaf = True
        return self._busy or bool(self._waiting)

    def pause_writing(self) -> None:
        """The reader is slow: nothing more is read from them."""
        self._stuck = perf_counter()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """They took it."""
        self._stuck = 0.0
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # --- httptools

    def on_message_begin(self) -> None:
        """Another request."""
        self._number += 1
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: whether the body is wanted is decided now."""
        self._in_head = False
        if self._deaf:
            return
        wire, headers = self._wire, self._headers
        if len(headers) > wire.limits.fields or (
            sum(len(n) + len(v) for n, v in headers) + len(self._url) > wire.limits.head
        ):
            self._too_long()
            return
        target, query = self._target()
        try:
            self._entered = wire.shell.enter(self._parser.get_method().decode(), target, query, headers)
        except Refused as refused:
            self._entered = wire.shell.told(refused, target)
        for name, value in headers:
            if name == b"content-length" and int(value) > wire.shell.most:
                self._refuse(wire.shell.too_much())
                return
            if name == b"expect" and value.lower() == b"100-continue" and not self._busy:
                self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._deaf:
            return
        wire = self._wire
        self._size += len(body)
        if self._size > wire.shell.most:
            self._refuse(wire.shell.too_much())
            return
        if isinstance(self._entered, Reply):
            return  # refused: read over
        self._held += len(body)
        wire.bytes += len(body)
        if wire.bytes > wire.limits.bytes:
            self._refuse(Refused(429, "too many bytes wait to be answered", headers=_SOON))
        elif self._parts is not None:
            self._parts.append(body)
        elif self._body:
            self._parts = [self._body, body]
        else:
            self._body = body

    def on_message_complete(self) -> None:
        """A whole request."""
        if self._deaf or self._entered is None:
            return
        body = self._body if self._parts is None else b"".join(self._parts)
        keep = self._parser.should_keep_alive()
        head_only = self._parser.get_method() == b"HEAD"
        request = _Request(self._entered, body, self._began, head_only, keep)
        self._clear()
        if self._busy:
            self._waiting.append(request)
            if len(self._waiting) >= self._wire.limits.ahead:
                self._transport.pause_reading()
        else:
            self._answer(request)

    # --- answers

    def _answer(self, request: _Request) -> None:
        wire, entered = self._wire, request.entered
        if isinstance(entered, Reply):
            self._write(entered, request)
            return
        if entered.counts and wire.waiting >= wire.limits.waiting:
            self._write(wire.shell.told(_busy(), entered.target), request)
            return
        reply = wire.shell.answer(entered, request.body, request.began)
        if isinstance(reply, Reply):
            self._write(reply, request)
            return
        done = begin(reply, partial(self._wait, request, entered))
        if done is not None:
            self._write(done[0], request)

    def _wait(
        self, request: _Request, entered: Entered, coming: Coroutine[Any, Any, Reply], context: Context
    ) -> None:
        self._busy = True
        self._wire.waiting += entered.counts
        # Not cancelled when the caller leaves: what was begun is answered and logged.
        rest = self._later(coming, request, entered)
        self._task = self._wire.loop.create_task(rest, context=context)

    async def _later(self, coming: Coroutine[Any, Any, Reply], request: _Request, entered: Entered) -> None:
        try:
            reply = await coming
        finally:
            self._busy = False
            self._wire.waiting -= entered.counts
        self._write(reply, request)
        while self._waiting and not self._busy:
            self._answer(self._waiting.popleft())
            if not self._waiting and not self._stuck and not self._transport.is_closing():
                self._transport.resume_reading()

    def _write(self, reply: Reply, request: _Request) -> None:
        if self._gone:
            return
        self._held -= len(request.body)
        self._wire.bytes -= len(request.body)
        if self._transport.is_closing():
            return
        keep = request.keep and not self._wire.draining and (not self._deaf or bool(self._waiting))
        self._transport.write(self._bytes(reply, keep, head_only=request.head_only))
        self._since = perf_counter()
        if not keep:
            self._end()

    def _bytes(self, reply: Reply, keep: bool, *, head_only: bool) -> bytes:
        parts = [
            _LINES[reply.status],
            self._wire.common,
            b"content-type: ",
            reply.media,
            b"\r\ncontent-length: %d\r\n" % len(reply.body),
        ]
        parts += [b"%b: %b\r\n" % header for header in reply.headers]
        if not keep:
            parts.append(b"connection: close\r\n")
        elif self._parser.get_http_version() == "1.0":
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        if not head_only:
            parts.append(reply.body)
        return b"".join(parts)

    def _refuse(self, refused: Refused) -> None:
        """An answer before the request was whole: the last of this connection."""
        reply = self._wire.shell.told(refused, self._target()[0])
        if self._busy or self._waiting:
            self._waiting.append(_Request(reply, b"", self._began, head_only=False, keep=False))
        else:
            self._transport.write(self._bytes(reply, False, head_only=False))
            self._end()
        self._deaf = True

    def _target(self) -> tuple[str, bytes]:
        """The path, decoded, and the query."""
        url = self._url
        if url[:1] != b"/" and b"://" in url:  # in absolute form, as proxies send it
            url = b"/" + url.partition(b"://")[2].partition(b"/")[2]
        path, _, query = url.partition(b"?")
        told = path.decode("latin-1")
        return unquote(told) if "%" in told else told, query

    def _too_long(self) -> None:
        limits = self._wire.limits
        told = f"{limits.head:,} bytes or {limits.fields} fields"
        self._refuse(Refused(431, f"the request's head has more than {told}"))

    def _end(self) -> None:
        """No further request. What still comes is read over for a moment: a connection that is closed on
        unread bytes is reset, and the caller may never see the answer."""
        self._deaf = True
        self._since = perf_counter()
        if self._began or not self._transport.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError, NotImplementedError):
                self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self) -> None:
        """At once."""
        self._transport.abort()

    def look(self, now: float) -> None:
        """End what takes too long."""
        limits = self._wire.limits
        if self._stuck and now - self._stuck > limits.slow:
            self._transport.abort()
        elif self._busy or self._waiting:
            return
        elif self._deaf:
            if now - self._since > limits.linger:
                self._transport.abort()
        elif self._began:
            if now - self._began > limits.patience + self._size / limits.pace:
                self._refuse(Refused(408, "the request did not come to its end"))
        elif now - self._since > (1.0 if self._wire.draining else limits.idle):
            self._transport.close()


def _busy() -> Refused:
    """Too much is being answered."""
    return Refused(
        429,
        "the server is busy: too many requests wait to be answered",
        fix="ask again in a second, or run more workers",
        headers=_SOON,
    )
