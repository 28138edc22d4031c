"""A real server in its own process: over loopback, next to files and in-process answers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serve_releases import Release
from test_answer import same
from test_batch import expected, plain_rows, read, score, write_csv, write_json, write_parquet
from test_batch_size import HEAVY

from headrace.core.codec import to_json

SERVE = """
import sys
from pathlib import Path
import uvicorn
from headrace.core.codec import from_json
from headrace.release.manifest import Manifest
from headrace.serve.http.app import make_app
from headrace.stores import EmbeddedStore

manifest = from_json(Path(sys.argv[1]).read_bytes(), Manifest)
app = make_app(EmbeddedStore(Path(sys.argv[2])), manifest, "r7")
print(*sys.modules, flush=True)
uvicorn.run(app, fd=int(sys.argv[3]), log_level="warning", access_log=False)
"""


class Server:
    """A server process, listening."""

    def __init__(self, process: subprocess.Popen[str], port: int, modules: set[str]) -> None:
        self.process, self.port, self.modules = process, port, modules

    def post(self, value: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/predict",
            json.dumps(value).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def server(binary: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store: Any = binary.store
    file = tmp_path_factory.mktemp("server") / "manifest.json"
    file.write_bytes(to_json(binary.manifest))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(file), str(store.root), str(listening.fileno())],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[listening.fileno()],
        )
        with process:
            assert process.stdout is not None
            yield Server(process, listening.getsockname()[1], set(process.stdout.readline().split()))
            if process.poll() is None:
                process.kill()


def test_requests_and_files_agree(server: Server, binary: Release, tmp_path: Path) -> None:
    rows = plain_rows(150)
    answers = expected(binary, rows)
    assert same(server.post(rows)["predictions"], answers)
    assert same([server.post(row) for row in rows[:20]], answers[:20])
    for source in (
        write_csv(tmp_path / "in.csv", rows),
        write_json(tmp_path / "in.jsonl", rows),
        write_parquet(tmp_path / "in.parquet", rows),
    ):
        score(binary, source, tmp_path / "out.csv")
        written = read(tmp_path / "out.csv")
        assert [w.pop("row") for w in written] == list(range(1, 151))
        assert same(written, answers)


def test_many_callers_at_once(server: Server, binary: Release) -> None:
    rows = plain_rows(60)
    with ThreadPoolExecutor(8) as pool:
        assert same(list(pool.map(server.post, rows)), expected(binary, rows))


def test_serving_loads_nothing_heavy(server: Server) -> None:
    assert not HEAVY & server.modules


def test_it_stops_quietly(server: Server) -> None:
    """Last in this file: the server is stopped."""
    server.post(plain_rows(1))
    time.sleep(0.05)
    server.process.terminate()
    _, said = server.process.communicate(timeout=60)
    assert said == ""
