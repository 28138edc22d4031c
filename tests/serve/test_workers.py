"""`headrace serve` as processes: workers, their ends and beginnings, and nothing asked is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from callers import Callers
from plain_world import logged, make, row
from served import Running, served, wait_until

HEAVY = {"pyarrow", "pandas", "duckdb", "pydantic", "sqlglot", "sklearn", "scipy", "onnx", "lightgbm",
         "starlette", "uvicorn", "yaml"}  # fmt: skip
"""What a serving process does without, for a release that looks nothing up in a snapshot."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A machine that is busy with other tests is no reason to be late.
    return make(tmp_path_factory.mktemp("plain"), deadline_us=60_000_000)


def asking(server: Running) -> Callers:
    """Callers of this project, each asking again as soon as it is answered."""
    return Callers(server.port, lambda draw: row(draw.randrange(10_000)), connections=4)


def more(callers: Callers, count: int) -> None:
    """Wait until so many more were answered."""
    before = len(callers.told)
    wait_until(lambda: len(callers.told) > before + count)


def replaced(server: Running, victim: int) -> bool:
    """Whether another worker is at its place."""
    children = server.children()
    return len(children) == 2 and victim not in children


def test_a_worker_imports_nothing_that_it_does_not_need(folder: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
from headrace.cli.application import Wanted, make
from headrace.serve.worker import run

async def main():
    shell = make(Wanted(Path(sys.argv[1]), log="off"), asyncio.get_running_loop()).shell
    entered = shell.enter("POST", "/predict", b"", [])
    reply = await shell.answer(entered, sys.argv[2].encode(), 0.0)
    assert reply.status in (200, 503), reply
    return shell

shell = asyncio.run(main())
shell.close()
print(*{m.partition(".")[0] for m in sys.modules})
"""
    command = [sys.executable, "-c", script, str(folder), json.dumps(row(1))]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert {"numpy", "onnxruntime"} <= set(told.stdout.split())
    assert not HEAVY & set(told.stdout.split())


def test_one_worker_needs_no_supervisor(folder: Path) -> None:
    with served(folder) as server:
        assert server.children() == []
        status, _, told = server.ask("POST", "/predict", row(5))
        assert status == 200 and told["release"] == "aaaa" and told["arm"] == "champion"
        assert server.ask("GET", "/health/ready")[0] == 200
        assert server.stop() == 0
    assert told["id"] in logged(folder)
    assert "Traceback" not in server.said


def test_two_workers_share_the_port_and_the_log(folder: Path) -> None:
    with served(folder, "--workers", "2") as server:
        assert len(server.children()) == 2
        asked = [server.ask("POST", "/predict", row(i)) for i in range(60)]  # a connection each
        assert {status for status, _, _ in asked} == {200}
        lines = server.ask("GET", "/metrics")[2].decode().splitlines()
        counted = [line for line in lines if line.startswith('headrace_requests_total{path="/predict"')]
        assert [line.split()[-1] for line in counted] == ["60"], "counted over both"
        assert server.stop() == 0
    there = set(logged(folder))
    assert {told["id"] for _, _, told in asked} <= there
    segments = list((folder / ".headrace" / "log").rglob("*.seg"))
    assert {p.name[0] for p in segments} == {"0", "1"}, "both answered"


def test_a_reload_loses_no_request(folder: Path) -> None:
    with served(folder, "--workers", "2") as server:
        before = server.children()
        with asking(server) as callers:
            more(callers, 20)
            server.signal(signal.SIGHUP)
            wait_until(lambda: len(server.children()) == 2 and not set(before) & set(server.children()))
            more(callers, 20)
        assert callers.dropped == [] and callers.odd == []
        assert server.stop() == 0
    assert {t.id for t in callers.given} <= set(logged(folder))


def test_a_worker_that_is_killed_is_replaced(folder: Path) -> None:
    with served(folder, "--workers", "2", "--log", "durable") as server:
        with asking(server) as callers:
            for _ in range(2):
                wait_until(lambda: len(server.children()) == 2)
                victim = server.children()[0]
                more(callers, 10)
                os.kill(victim, signal.SIGKILL)
                wait_until(partial(replaced, server, victim))
                more(callers, 10)
        assert callers.odd == []
        assert server.said.count("SIGKILL") == 2
        assert server.stop() == 0
    assert {t.id for t in callers.given} <= set(logged(folder)), "what was acknowledged is there"


def test_a_worker_that_is_killed_while_its_heir_begins_has_one_heir(folder: Path) -> None:
    with served(folder, "--workers", "2") as server:
        before = server.children()
        os.kill(before[0], signal.SIGSTOP)  # it does not end because its heir is ready
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.children()) == 4)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: not set(before) & set(server.children()))
        assert len(server.children()) == 2
        assert server.ask("GET", "/health/ready")[0] == 200
        assert server.stop() == 0


def test_stopping_answers_what_was_begun(folder: Path) -> None:
    with served(folder, "--log", "buffered") as server:
        body = json.dumps([row(i) for i in range(9000)]).encode()
        head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body)
        with server.connect() as big:
            big.sendall(head + b"expect: 100-continue\r\n\r\n")
            assert big.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n", "the request is begun"
            big.sendall(body[:-10])
            server.signal(signal.SIGTERM)
            wait_until(server.refuses)
            big.sendall(body[-10:])  # begun before, so it may be ended
            told = b"".join(iter(lambda: big.recv(1 << 20), b""))
        assert told.startswith(b"HTTP/1.1 200 OK") and b"connection: close" in told
        answers = json.loads(told.partition(b"\r\n\r\n")[2])["predictions"]
        assert server.process.wait(60) == 0
    assert {a["id"] for a in answers} <= set(logged(folder)) and len(answers) == 9000


def test_workers_end_with_their_supervisor(folder: Path) -> None:
    with served(folder, "--workers", "2") as server:
        workers = server.children()
        server.signal(signal.SIGKILL)
        server.process.wait(60)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_port_in_use_is_told(folder: Path) -> None:
    with _taken() as port:
        for workers in ("1", "2"):
            done = _serve(folder, "--port", str(port), "--workers", workers)
            assert done.returncode == 2 and "can't be listened on" in done.stderr
    with served(folder, "--workers", "2") as server:
        done = _serve(folder, "--port", str(server.port), "--workers", "2")
        assert done.returncode == 2 and "can't be listened on" in done.stderr


def test_other_machines_need_a_token(folder: Path) -> None:
    for workers in ("1", "2"):
        done = _serve(folder, "--host", "0.0.0.0", "--port", "0", "--workers", workers)
        assert done.returncode != 0 and "--open" in done.stderr and "Traceback" not in done.stderr


def test_what_is_missing_is_told(tmp_path: Path, folder: Path) -> None:
    done = _serve(tmp_path)
    assert done.returncode == 2 and "there is no headrace.yaml" in done.stderr
    done = _serve(folder, "--release", "aaab", "--port", "0")
    assert done.returncode == 2 and "there is no release 'aaab'" in done.stderr


def _serve(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("headrace")), "serve", "-C", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@contextlib.contextmanager
def _taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]
