"""The supervisor: starts workers, starts those anew that end, replaces all without losing a request.

Each worker has a place: a listening socket of its own on the one port (SO_REUSEPORT: the kernel divides
connections evenly), which the supervisor holds too. So what has connected and was not yet taken is not lost
when a worker dies or another takes its place: it waits in the socket.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headrace.core.errors import UserError
from headrace.serve.worker import PATIENCE

START = 120.0
"""Seconds in which a worker has to be ready."""
_STEADY = 5.0
"""A worker that lived so long before it ended is started anew at once."""
_LONGEST = 5.0
_LATER = 5.0
"""Seconds beyond the workers' own patience before they are killed."""

Say = Callable[[str], None]
Command = Callable[[int, int, int], Sequence[str]]
"""The command of a worker, by its place and the numbers of its listening socket and its socket to us."""


def listen(host: str, port: int, places: int = 1) -> list[socket.socket]:
    """Sockets that listen on one port, one a place. Port 0 takes a free one.

    Raises:
        UserError: it can't be listened on: in use, or no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    alone = places == 1 or sys.platform != "linux"  # elsewhere SO_REUSEPORT divides nothing
    held: list[socket.socket] = []
    try:
        if not alone:
            # Without SO_REUSEPORT first: another server's port is not shared by mistake.
            with socket.create_server((host, port), family=family, backlog=1) as probe:
                port = port or probe.getsockname()[1]
        while len(held) < (1 if alone else places):
            sock = socket.create_server((host, port), family=family, backlog=2048, reuse_port=not alone)
            port = sock.getsockname()[1]
            held.append(sock)
    except OSError as error:
        for sock in held:
            sock.close()
        raise UserError(
            f"{host}:{port} can't be listened on: {error.strerror}",
            fix="name another with --port, or --port 0",
        ) from None
    return held if not alone else held * places


@dataclass(eq=False)
class _Worker:
    place: int
    process: subprocess.Popen[bytes]
    link: socket.socket
    born: float
    ready: bool = False
    replaces: _Worker | None = None
    told: bool = field(default=False)


class Supervisor:
    """Keeps one worker at each place. For one thread, the main one: it takes the signals.

    SIGTERM, SIGINT: all workers answer what they have begun, and end. SIGHUP: at each place another worker is
    started, and when it is ready the one before ends in the same way.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], command: Command, say: Say, *, patience: float = PATIENCE
    ) -> None:
        self._sockets = sockets
        self._command = command
        self._say = say
        self._patience = patience
        self._workers: list[_Worker] = []
        self._again: dict[int, float] = {}
        self._wait = dict.fromkeys(range(len(sockets)), 0.0)
        self._selector = selectors.DefaultSelector()
        self._asked: list[int] = []

    def run(self, started: Callable[[], None] = lambda: None) -> int:
        """Until it is told to stop. `started` is called when all workers are ready. The exit code is 1 if a
        worker ended before it was ready at the start."""
        wake, woken = socket.socketpair()
        wake.setblocking(False)
        woken.setblocking(False)
        before = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        handlers = {
            n: signal.signal(n, lambda number, _: self._asked.append(number))
            for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        }
        self._selector.register(wake, selectors.EVENT_READ)
        try:
            return self._loop(wake, started)
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._end()
            self._selector.close()
            wake.close()
            woken.close()

    def _loop(self, wake: socket.socket, started: Callable[[], None]) -> int:
        for place in range(len(self._sockets)):
            self._start(place)
        begun = False
        while True:
            self._look(wake)
            asked, self._asked = self._asked, []
            if signal.SIGTERM in asked or signal.SIGINT in asked:
                return 0
            dead = [w for w in self._workers if w.process.poll() is not None]
            if dead and not begun:
                return 1  # it has said why
            for worker in dead:
                self._ended(worker)
            if not begun and all(w.ready for w in self._workers):
                begun = True
                started()
            if signal.SIGHUP in asked and begun:
                self._reload()
            self._restart()

    def _look(self, wake: socket.socket) -> None:
        """Wait for a signal, a worker that is ready, or one that is due."""
        due = [at - time.monotonic() for at in self._again.values()]
        for key, _ in self._selector.select(timeout=max(0.0, min([1.0, *due]))):
            if key.fileobj is wake:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
            else:
                self._heard(key.data)
        now = time.monotonic()
        for worker in self._workers:
            if not worker.ready and now - worker.born > START:
                self._say(f"worker {worker.process.pid} was not ready in {START:g} s: killed")
                worker.process.kill()

    def _heard(self, worker: _Worker) -> None:
        try:
            said = worker.link.recv(16)
        except OSError:
            said = b""
        if not said:
            self._selector.unregister(worker.link)
            return
        worker.ready = True
        old, worker.replaces = worker.replaces, None
        if old is not None and old in self._workers:
            old.told = True
            old.process.send_signal(signal.SIGTERM)

    def _start(self, place: int, replaces: _Worker | None = None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            listening = self._sockets[place]
            command = self._command(place, listening.fileno(), theirs.fileno())
            # Its own session: an interrupt of the terminal comes to us alone, and we tell it.
            process = subprocess.Popen(
                command, pass_fds=[listening.fileno(), theirs.fileno()], start_new_session=True
            )
        worker = _Worker(place, process, ours, time.monotonic(), replaces=replaces)
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _ended(self, worker: _Worker) -> None:
        """Forget it; see that its place is taken."""
        self._workers.remove(worker)
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.link)
        worker.link.close()
        if worker.told:
            return
        if worker.replaces is not None and worker.replaces in self._workers:
            self._say(f"the new worker {worker.process.pid} ended before it was ready: the one before stays")
            return
        heir = next((w for w in self._workers if w.replaces is worker), None)
        if heir is not None:
            heir.replaces = None
            self._say(f"worker {worker.process.pid} ended ({_how(worker.process.returncode)})")
            return
        lived = time.monotonic() - worker.born
        wait = 0.0 if lived > _STEADY else min(_LONGEST, max(0.1, self._wait[worker.place] * 2))
        self._wait[worker.place] = wait
        self._again.setdefault(worker.place, time.monotonic() + wait)
        self._say(
            f"worker {worker.process.pid} ended ({_how(worker.process.returncode)}): another is started"
        )

    def _restart(self) -> None:
        now = time.monotonic()
        for place in [p for p, at in self._again.items() if at <= now]:
            del self._again[place]
            self._start(place)

    def _reload(self) -> None:
        self._say("reloading")
        waiting = {w.replaces for w in self._workers if w.replaces is not None}
        for worker in [w for w in self._workers if w.ready and not w.told and w not in waiting]:
            self._start(worker.place, replaces=worker)

    def _end(self) -> None:
        """Tell all to stop, and wait until they have."""
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + self._patience + _LATER
        for worker in self._workers:
            try:
                worker.process.wait(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"worker {worker.process.pid} did not stop: killed")
                worker.process.kill()
                worker.process.wait()
            worker.link.close()
        self._workers.clear()


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
