"""No request gets a 500, none hangs, every refusal says what is wrong: by our own fuzzer and schemathesis."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fuzzer import Fuzzer, dumps, fuzz, post
from serve_releases import EVENTS, Release, published, requests
from served import Running, served

from headrace.serve.http.app import make_app
from headrace.serve.http.limits import Limits
from headrace.serve.http.wire import Wire

TYPES = {n: kind for n, kind in EVENTS.items() if n != "note"}


@pytest.fixture(scope="module")
def server(binary: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    # Few rows a request, and long deadlines: what is asked is whether a request is taken, not how fast.
    plan = replace(binary.manifest.plan, rows=200, deadline_us=60_000_000)
    release = replace(binary, manifest=replace(binary.manifest, plan=plan))
    with served(published(release, tmp_path_factory.mktemp("fuzz"))) as there:
        yield there


def fuzzed(server: Running, times: int, seed: int) -> None:
    found = fuzz(server.port, Fuzzer(requests(50), TYPES, "flights", seed), times)
    assert not found.faults, "\n".join(found.faults[:10])
    kinds = {kind for kind, _ in found.counts}
    assert len(kinds) >= 13
    assert sum(n for (_, status), n in found.counts.items() if status == 200) > times // 50
    status, _, body = server.ask("GET", "/metrics")
    assert status == 200 and b'status="5' not in body
    assert server.complaints == []


class Taken(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.written += b"(the end)"


def test_a_large_body_says_nothing_of_the_next_head(binary: Release) -> None:
    """Bytes of a body are no part of a head, however many arrive at once."""

    async def ask() -> bytes:
        shell = make_app(binary.store, binary.manifest, "r7")
        wire, transport = Wire(shell, Limits(), asyncio.get_running_loop()), Taken()
        connection = wire.connection()
        connection.connection_made(transport)
        for body in ({"carrier": "a" * 100_000}, requests(1)[0], {"carrier": "a" * 100_000}):
            connection.data_received(post("/predict", dumps(body)))
            await asyncio.sleep(0.2)
        connection.connection_lost(None)
        await wire.drain(1)
        return transport.written

    told = asyncio.run(ask())
    assert re.findall(rb"HTTP/1\.1 (\d+)", told) == [b"422", b"200", b"422"]
    assert b"(the end)" not in told


def test_three_thousand(server: Running) -> None:
    fuzzed(server, 3_000, seed=1)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(10, 14))
def test_a_hundred_thousand(server: Running, seed: int) -> None:
    fuzzed(server, 25_000, seed)


def schemathesis(server: Running, examples: int, seed: int, *options: str) -> None:
    """Its requests follow the OpenAPI document, or break it in one place."""
    settings = server.log.parent / "schemathesis.toml"
    settings.write_text(
        "[checks]\nnegative_data_rejection.expected-statuses = [400, 404, 405, 409, 413, 415, 422]\n"
    )
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "schemathesis"), "run"),
            f"http://127.0.0.1:{server.port}/openapi.json",
            *("--max-examples", str(examples), "--seed", str(seed), "--phases", "examples,coverage,fuzzing"),
            *("--request-timeout", "60", "--generation-database", "none", "--no-color", *options),
            *("--suppress-health-check", "too_slow"),  # how fast it makes requests is the machine's
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=server.log.parent,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, "\n".join(line[:400] for line in done.stdout.splitlines()[-120:])
    assert server.complaints == []


# A request of these can be as its schema says and still make no sense: as many values as its shape says, say.
LOOSE = "/invocations|infer$|/events|/labels"
# Of reviewers it asks for items that are there; pages take forms, of which the document says nothing.
SOUND = ["--exclude-path-regex", f"{LOOSE}|/reviews|/ui"]
ANYHOW = ["--include-path-regex", LOOSE, "--exclude-checks", "positive_data_acceptance"]


@pytest.mark.parametrize("options", [SOUND, ANYHOW], ids=["sound", "loose"])
def test_the_document_is_kept_to(server: Running, options: list[str]) -> None:
    schemathesis(server, 4, 1, *options)


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("options", [SOUND, ANYHOW], ids=["sound", "loose"])
def test_the_document_is_kept_to_by_many(server: Running, options: list[str]) -> None:
    schemathesis(server, 500, 2, *options)
