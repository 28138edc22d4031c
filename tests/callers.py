"""Callers on kept connections, one request after the other, at a pace: what they were told is kept."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvloop

PATIENCE = 60.0
"""Seconds that a caller waits for an answer."""
GRACE = 1.0
"""Seconds that a server which ends gives a connection to send another request."""
_BEHIND = 0.5
"""Seconds that a caller who is late catches up with; what is beyond is never asked."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """An answer. at: when it came (`monotonic`); took: seconds; why: of a refusal, in the server's words;
    soon: whether it said when to ask again; also: what else is kept. The rest is as in the answer."""

    at: float
    took: float
    status: int
    id: str = ""
    arm: str = ""
    release: str = ""
    by: str = ""
    prediction: Any = None
    why: str = ""
    soon: bool = False
    also: Any = None


@dataclass(frozen=True)
class Broken:
    """A connection that broke under a request, or could not be made. idle: seconds from the request before
    (or from its opening) to this one; port: the caller's own (0: none)."""

    at: float
    opened: float
    idle: float
    port: int
    how: str

    @property
    def dropped(self) -> bool:
        """Whether the server was not free to close it. One that ends closes connections on which nothing
        comes for a while, and a request may be on its way then."""
        return self.idle < GRACE


@dataclass
class Callers:
    """Callers in a thread of their own, as long as the block lasts. row: what they ask, one row or many;
    rate: requests a second of all together, infinite: each asks again as soon as it is answered; also: what
    else is kept of an answer. A request whose connection breaks is sent again."""

    port: int
    row: Callable[[random.Random], Mapping[str, Any] | list[Any]]
    connections: int = 16
    rate: float = float("inf")
    also: Callable[[Any], Any] = lambda _: None
    told: list[Told] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    retried: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _failed: list[BaseException] = field(default_factory=list)

    @property
    def given(self) -> list[Told]:
        """What was answered."""
        return [t for t in self.told if t.status == 200]

    @property
    def odd(self) -> list[Told]:
        """Refusals and errors."""
        return [t for t in self.told if t.status != 200]

    @property
    def dropped(self) -> list[Broken]:
        """What broke although the server was not free to close it."""
        return [b for b in self.broken if b.dropped]

    def __enter__(self) -> Callers:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Wait for what is under way, and end.

        Raises:
            AssertionError: they did not end.
        """
        self._stop.set()
        self._thread.join(2 * PATIENCE)
        assert not self._thread.is_alive(), "the callers did not end"
        if self._failed:
            raise self._failed.pop()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._all())
        except BaseException as error:  # noqa: BLE001  `stop` raises it, where it is seen
            self._failed.append(error)

    async def _all(self) -> None:
        await asyncio.gather(*(self._call(seed) for seed in range(self.connections)))

    async def _call(self, seed: int) -> None:
        draw, line = random.Random(seed), _Line(self.port)
        due = time.monotonic() + draw.random() * self.connections / self.rate
        while not self._stop.is_set():
            await asyncio.sleep(min(max(0.0, due - time.monotonic()), 0.5))
            if (now := time.monotonic()) < due:
                continue
            due = max(due + self.connections / self.rate, now - _BEHIND)
            body = msgspec.json.encode(self.row(draw))
            while (failed := await self._ask(line, body)) and not self._stop.is_set():
                self.broken.append(failed)
                self.retried += 1
                await asyncio.sleep(0.05)
        line.close()

    async def _ask(self, line: _Line, body: bytes) -> Broken | None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                head, content = await line.ask(body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            line.close()
            return Broken(time.monotonic(), line.opened, line.idle, line.mine, type(error).__name__)
        at = time.monotonic()
        self.told.append(_told(at, at - began, head, content, self.also))
        return None


@dataclass
class _Line:
    """A connection, made anew when the server has closed it between two requests."""

    port: int
    opened: float = 0.0
    idle: float = 0.0
    mine: int = 0
    _since: float = 0.0
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer."""
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self.opened = self._since = time.monotonic()
            self.idle, self.mine = 0.0, 0
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
            self.mine = self._streams[1].get_extra_info("sockname")[1]
        reader, writer = self._streams
        sent = time.monotonic()
        self.idle = sent - self._since
        writer.write(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        content = await reader.readexactly(length)
        self._since = sent
        if b"connection: close" in head:
            self.close()
        return head, content

    def close(self) -> None:
        """Nothing is under way on it."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def _told(at: float, took: float, head: bytes, content: bytes, also: Callable[[Any], Any]) -> Told:
    status = int(head[9:12])
    try:
        said = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return Told(at, took, status, why=f"no JSON: {content[:80]!r}")
    if status != 200:
        whys = [f"{e.get('what', '')} {e.get('why', '')}".strip() for e in said.get("errors", [])]
        return Told(at, took, status, why="; ".join(whys), soon=b"\r\nretry-after: " in head)
    names = ("id", "arm", "release", "by", "prediction")
    return Told(at, took, status, also=also(said), **{n: said[n] for n in names if n in said})
