"""`headrace serve` as tests start it: the real command in a process of its own, and gone afterwards."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADRACE = str(Path(sys.executable).with_name("headrace"))
LONG = 60.0
"""Seconds: longer than anything takes here, also on a machine that is busy with much else."""


def wait_until(true: Callable[[], object], seconds: float = LONG) -> None:
    """Wait for something to be true.

    Raises:
        AssertionError: it did not become so.
    """
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


@dataclass
class Running:
    """A server that answers, and the file that it writes its messages to."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    @property
    def said(self) -> str:
        """What it has written so far; its first line tells where it listens."""
        return self.log.read_text()

    @property
    def complaints(self) -> list[str]:
        """What it has written beside that line."""
        return self.said.splitlines()[1:]

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and what the answer says: bytes, where that is no JSON; `body` is JSON unless it is
        bytes."""
        told = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)) as line:
            line.request(method, path, told, dict(headers or {}))
            answer = line.getresponse()
            content = answer.read()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, _plain(content)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LONG)

    def refuses(self) -> bool:
        """Whether it takes no connection any more: refused, or reset, as one is that still waited to be
        accepted when the listening socket closed. Nobody accepted it, so nothing was promised on it."""
        try:
            self.connect().close()
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        return False

    def children(self) -> list[int]:
        """The workers of a supervisor."""
        told = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in told.split()]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(LONG)

    def kill(self) -> None:
        """End it and its workers, as a power cut would but for the disk's own cache."""
        if self.process.poll() is None:
            self.signal(signal.SIGSTOP)  # it starts no more workers
            workers = self.children() if sys.platform == "linux" else []
            for pid in (self.process.pid, *workers):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(LONG)


@contextmanager
def served(folder: Path, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`headrace serve` in a folder, until the block ends; then it is stopped, if the block has not done so,
    and has to end well. environ: more of the environment.

    Where something fails, the server is killed, and what it has written goes with the error.
    """
    number, log = tempfile.mkstemp(prefix="serve-", suffix=".log", dir=folder)
    with os.fdopen(number, "wb") as told:
        process = subprocess.Popen(
            [HEADRACE, "serve", "-C", str(folder), "--port", "0", *options],
            stdout=told,
            stderr=told,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environ or {})},
        )
    server = Running(process, Path(log))
    try:
        wait_until(lambda: _port(server.said) or process.poll() is not None, 2 * LONG)
        server.port = _port(server.said)
        assert server.port, "it did not begin"
        yield server
        if process.poll() is None:
            assert server.stop() == 0, "it did not end well"
    except BaseException as error:
        error.add_note(f"the server has said:\n{server.said}")
        raise
    finally:
        server.kill()


def _port(said: str) -> int:
    found = re.search(r"http://[^\s/]+:(\d+)\b.*\n", said)
    return int(found[1]) if found else 0


def _plain(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content
