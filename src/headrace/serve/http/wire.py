"""Connections: HTTP/1.1 by llhttp (httptools) on asyncio, straight to the application.

No server library in between: nothing is here that a request of one row has no use for, and what a sender
can cost is bounded in time and bytes (`Limits`). Requests of one connection are answered in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from email.utils import formatdate
from functools import partial
from itertools import chain
from time import perf_counter, time
from typing import Any

import httptools

from headrace.serve.http.awake import Awake
from headrace.serve.http.eager import begin
from headrace.serve.http.endpoint import Refused, Reply
from headrace.serve.http.limits import Limits
from headrace.serve.http.lines import Request, answer_of, target_of, without_upgrade
from headrace.serve.http.shell import SECURITY, Entered, Shell

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SOON = {"Retry-After": "1"}
_PIECE = 16_384
"""Bytes that are parsed at once: requests that wait for the one before are not read any further than that."""
_SECURITY = b"".join(b"%b: %b\r\n" % header for header in SECURITY)


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
        self.awake = Awake(loop, lambda: self.waiting)
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
        """Answer what is under way, also to who has left, then let go of every connection; a connection
        without a request is given a second to send one, which is answered. Whether all ended within
        `patience` seconds."""
        self.draining = True
        until = perf_counter() + patience
        while (self.connections or self.waiting) and perf_counter() < until:
            await asyncio.sleep(0.02)
        done = not (self.connections or self.waiting)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeps is not None:
            self._sweeps.cancel()
        return done


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # there before any data
        self._waiting: deque[Request] = deque()
        self._unread = b""  # what came behind those, while reading is paused
        self._paused = False
        self._busy = False
        self._deaf = False
        self._gone = False
        self._since = perf_counter()
        self._stuck = 0.0
        self._unsent = 0
        self._held = 0  # bytes of bodies that are not being answered yet
        self._number = 0
        self._left = -1  # the request after which it was seen idle
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
        self._gone = True
        self._forget()

    def data_received(self, data: bytes) -> None:
        """Bytes for the parser."""
        if self._unread:
            self._unread += data
            return
        for at in range(0, len(data), _PIECE):
            if self._deaf:
                return
            if len(self._waiting) >= self._wire.limits.ahead:
                self._unread = data[at:]
                return
            self._parse(data[at : at + _PIECE])

    def _parse(self, data: bytes) -> None:
        number, size, rest = self._number, self._size, data
        while rest and not self._deaf:
            try:
                self._parser.feed_data(rest)
                rest = b""
            except httptools.HttpParserUpgrade as found:
                rest = self._again(rest[found.args[0] :])
            except httptools.HttpParserError as error:
                if not self._deaf:
                    self._refuse(Refused(400, f"this is no HTTP: {error}"))
        if self._began and number == self._number and size == self._size and not self._deaf:
            # Of a head, of trailers, or between chunks. A head that began here is measured at its end.
            self._head += len(data)
            if self._head > self._wire.limits.head:
                self._too_long()

    def _again(self, rest: bytes) -> bytes:
        """A request that offers another protocol, as one that does not: there is none but this, and the
        parser would take its body for the other's."""
        method, version = self._parser.get_method(), self._parser.get_http_version()
        if method == b"CONNECT":
            self._deaf = True  # answered, and the last: what follows is no HTTP
            return b""
        head = without_upgrade(method, self._url, version, self._headers)
        began = self._began
        self._parser = httptools.HttpRequestParser(self)
        self._clear()
        self._began = began
        return head + rest

    def eof_received(self) -> bool:
        """A sender who closes their half gets what they asked for, and that is the end."""
        self._deaf = True
        return self._busy or bool(self._waiting)

    def pause_writing(self) -> None:
        """The reader is slow: nothing more is read from them, nor answered."""
        self._stuck = perf_counter()
        self._unsent = self._transport.get_write_buffer_size()
        self._pause()

    def resume_writing(self) -> None:
        """They took it."""
        self._stuck = 0.0
        self._go_on()

    # --- httptools

    def on_message_begin(self) -> None:
        """Another request."""
        self._number += 1
        self._in_head = True
        self._began = self._began or perf_counter()

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers say nothing that is asked for here."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: whether the body is wanted is decided now."""
        self._in_head = False
        if self._deaf or (self._parser.should_upgrade() and self._parser.get_method() != b"CONNECT"):
            return
        wire, headers = self._wire, self._headers
        if len(headers) > wire.limits.fields or (
            sum(map(len, chain.from_iterable(headers))) + len(self._url) > wire.limits.head
        ):
            self._too_long()
            return
        target, query = target_of(self._url)
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
        self._head = 0
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
        parser = self._parser
        request = Request(
            self._entered,
            self._body if self._parts is None else b"".join(self._parts),
            self._began,
            head_only=parser.get_method() == b"HEAD",
            keep=parser.should_keep_alive() and not parser.should_upgrade(),
            old=parser.get_http_version() == "1.0",
        )
        self._clear()
        if self._busy or self._stuck or self._waiting:
            self._waiting.append(request)
            if len(self._waiting) >= self._wire.limits.ahead:
                self._pause()
        else:
            self._answer(request)

    # --- answers

    def _answer(self, request: Request) -> None:
        wire, entered = self._wire, request.entered
        self._held -= len(request.body)
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
        # Not cancelled when the caller leaves: what was begun is answered and logged.
        done = begin(reply, partial(self._later, request, entered.counts))
        if done is not None:
            self._write(done[0], request)
            return
        self._busy = True
        wire.waiting += entered.counts

    def _later(self, request: Request, counts: bool, reply: Reply | None) -> None:
        self._busy = False
        self._wire.waiting -= counts
        if reply is None:
            self.abort()
            return
        self._write(reply, request)
        self._go_on()

    def _go_on(self) -> None:
        """Answer what waits, while nobody has to be waited for; then read on."""
        while not self._busy and not self._stuck:
            if self._waiting:
                self._answer(self._waiting.popleft())
            elif self._unread:
                data, self._unread = self._unread, b""
                self.data_received(data)
            else:
                if self._paused and not self._transport.is_closing():
                    self._paused = False
                    self._transport.resume_reading()
                return

    def _pause(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def _forget(self) -> None:
        """What was sent and is not being answered will not be."""
        self._deaf = True
        self._waiting.clear()
        self._unread = b""

    def _write(self, reply: Reply, request: Request) -> None:
        self._wire.bytes -= len(request.body)
        if self._gone or self._transport.is_closing():
            return
        more = bool(self._waiting or self._unread)
        keep = request.keep and not self._wire.draining and (not self._deaf or more)
        told = answer_of(reply, self._wire.common, keep=keep, old=request.old, head_only=request.head_only)
        self._transport.write(told)
        self._since = perf_counter()
        self._wire.awake.stay(self._since)
        if not keep:
            self._end()

    def _refuse(self, refused: Refused) -> None:
        """An answer before the request was whole: the last of this connection."""
        reply = self._wire.shell.told(refused, target_of(self._url)[0])
        last = Request(reply, b"", self._began, head_only=False, keep=False, old=False)
        self._deaf = True
        if self._busy or self._stuck or self._waiting:
            self._waiting.append(last)
        else:
            self._write(reply, last)

    def _too_long(self) -> None:
        limits = self._wire.limits
        told = f"{limits.head:,} bytes or {limits.fields} fields"
        self._refuse(Refused(431, f"the request's head has more than {told}"))

    def _end(self) -> None:
        """No further request. What still comes is read over for a moment: a connection that is closed on
        unread bytes is reset, and the caller may never see the answer."""
        self._forget()
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
        if self._stuck:
            if now - self._stuck > limits.slow + self._unsent / limits.pace:
                self._transport.abort()
        elif self._busy or self._waiting:
            return
        elif self._deaf:
            unsent = self._transport.get_write_buffer_size()
            if now - self._since > (limits.slow if unsent else limits.linger):
                self._transport.abort()
        elif self._began:
            if now - self._began > limits.patience + self._size / limits.pace:
                self._refuse(Refused(408, "the request did not come to its end"))
        elif now - self._since > (1.0 if self._wire.draining else limits.idle):
            # At the second look: what came while this process was held up is read between the two.
            if self._left == self._number:
                self._transport.close()
            self._left = self._number


def _busy() -> Refused:
    """Too much is being answered."""
    return Refused(
        429,
        "the server is busy: too many requests wait to be answered",
        fix="ask again in a second, or run more workers",
        headers=_SOON,
    )
