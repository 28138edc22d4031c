"""A release behind a real socket, in a process of its own."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve_releases import Release

from headrace.core.codec import to_json

SERVE = """
import os, socket, sys
from pathlib import Path
from headrace.core.clock import system_clock
from headrace.core.codec import from_json
from headrace.logs.labels import LabelBook
from headrace.logs.writer import LogWriter
from headrace.release.manifest import Manifest
from headrace.serve.answer import Answerer
from headrace.serve.http.app import assemble
from headrace.serve.http.tracing import tracing_of
from headrace.serve.http.wire import Limits
from headrace.serve.intakes import Intakes
from headrace.serve.live import Live, load
from headrace.serve.reviewing import Room
from headrace.serve.worker import Application, run
from headrace.stores import EmbeddedStore
from headrace.stores.reviews import SqliteReviews

manifest = from_json(Path(sys.argv[1]).read_bytes(), Manifest)
store = EmbeddedStore(Path(sys.argv[2]))

def make(loop):
    tracing = tracing_of(os.environ)
    make = Answerer if tracing is None else tracing.answerer
    live = Live.pinned(load(store, "r7", manifest, system_clock, make=make))
    log = LogWriter(Path(sys.argv[4]), worker="w")

    def close():
        log.close()
        if tracing is not None:
            tracing.close()

    book = LabelBook(Path(sys.argv[4]))
    room = Room(SqliteReviews(Path(sys.argv[5])), lambda rows: book.take(list(rows)))
    shell = assemble(live, Intakes(store, live), log, tracing=tracing, room=room, book=book, close=close)
    return Application(shell, Limits())

said = lambda: print("ready", flush=True)
run(make, [socket.socket(fileno=int(sys.argv[3]))], ready=said)
"""


@dataclass
class SocketServer:
    """A server that listens."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def said(self) -> str:
        """What the server wrote to its standard error so far."""
        return self.log.read_text()

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one request; `body` is JSON unless it is bytes."""
        told = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, told, dict(headers or {}))
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()


@contextmanager
def serving(
    release: Release, folder: Path, environ: Mapping[str, str] | None = None
) -> Iterator[SocketServer]:
    """The server, until the block ends."""
    store: Any = release.store
    file = folder / "manifest.json"
    file.write_bytes(to_json(release.manifest))
    log = folder / "stderr.txt"
    with socket.create_server(("127.0.0.1", 0)) as listening, log.open("w") as errors:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                SERVE,
                str(file),
                str(store.root),
                str(listening.fileno()),
                str(folder / "log"),
                str(folder / "reviews.db"),
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            pass_fds=[listening.fileno()],
            env=None if environ is None else dict(environ),
        )
        with process:
            try:
                assert process.stdout is not None and process.stdout.readline() == "ready\n"
                yield SocketServer(process, listening.getsockname()[1], log)
            finally:
                process.terminate()
                process.wait(20)
