"""A worker: one process that answers on sockets which it was given, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from headrace.serve.http.limits import Limits
from headrace.serve.http.shell import Shell
from headrace.serve.http.wire import Wire

PATIENCE = 30.0
"""Seconds that requests under way are given when a worker stops."""

_SELDOM = (20_000, 20, 20)
"""When garbage is looked for: answering leaves none behind but where it fails, and Python's 700 objects are
those of two large requests."""


@dataclass
class Application:
    """What a worker answers with. draining: called when it stops taking new connections; wired: told of its
    connections, before there is any."""

    shell: Shell
    limits: Limits
    draining: Callable[[], None] = lambda: None
    wired: Callable[[Wire], None] = lambda _: None


Make = Callable[[asyncio.AbstractEventLoop], Application]


def run(
    make: Make,
    sockets: Sequence[socket.socket],
    *,
    ready: Callable[[], None] = lambda: None,
    boss: socket.socket | None = None,
    patience: float = PATIENCE,
) -> None:
    """Answer on listening `sockets` until SIGTERM or SIGINT, or until `boss` (the other end of a supervisor's
    socket) is closed. `ready` is called once everything is loaded and warm, and connections are taken.

    Then no connection is taken any more, what was begun is answered (within `patience` seconds), and what
    the application holds is closed: the log's last entries are written.

    Raises:
        HeadraceError: the application can't be made.
    """
    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(_serve(make, sockets, ready, boss, patience))


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _serve(
    make: Make,
    sockets: Sequence[socket.socket],
    ready: Callable[[], None],
    boss: socket.socket | None,
    patience: float,
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    application = make(loop)
    try:
        wire = Wire(application.shell, application.limits, loop)
        application.wired(wire)
        gc.collect()
        gc.freeze()  # what is loaded stays: no collection goes over it again
        gc.set_threshold(*_SELDOM)
        servers = [await loop.create_server(wire.connection, sock=s, backlog=2048) for s in sockets]
        if boss is not None:
            boss.setblocking(False)
            loop.add_reader(boss, stop.set)
        ready()
        await stop.wait()
        if boss is not None:
            loop.remove_reader(boss)
        application.draining()
        for server in servers:
            server.close()
        await wire.drain(patience)
    finally:
        await _closed(application)


async def _closed(application: Application) -> None:
    """In a thread: what closes may wait for the loop (the log tells whoever waits for it)."""
    closing: Awaitable[None] = asyncio.to_thread(application.shell.close)
    await closing
