"""No request gets a 500, none hangs, every refusal says what is wrong: by our own fuzzer and schemathesis."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzer import Fuzzer, fuzz
from serve_releases import EVENTS, Release, requests
from socket_server import SocketServer, serving

TYPES = {n: kind for n, kind in EVENTS.items() if n != "note"}


@pytest.fixture(scope="module")
def server(binary: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    with serving(binary, tmp_path_factory.mktemp("fuzz")) as there:
        yield there


def fuzzed(server: SocketServer, times: int, seed: int) -> None:
    found = fuzz(server.port, Fuzzer(requests(50), TYPES, "flights", seed), times)
    assert not found.faults, "\n".join(found.faults[:10])
    kinds = {kind for kind, _ in found.counts}
    assert len(kinds) >= 13
    assert sum(n for (_, status), n in found.counts.items() if status == 200) > times // 50
    status, _, body = server.ask("GET", "/metrics")
    assert status == 200 and b'status="5' not in body
    assert server.said() == ""


def test_three_thousand(server: SocketServer) -> None:
    fuzzed(server, 3_000, seed=1)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(10, 14))
def test_a_hundred_thousand(server: SocketServer, seed: int) -> None:
    fuzzed(server, 25_000, seed)


def schemathesis(server: SocketServer, examples: int, seed: int, *options: str) -> None:
    """Its requests follow the OpenAPI document, or break it in one place."""
    settings = server.log.parent / "schemathesis.toml"
    settings.write_text(
        "[checks]\nnegative_data_rejection.expected-statuses = [400, 404, 405, 413, 415, 422]\n"
    )
    settings = server.log.parent / "schemathesis.toml"
    settings.write_text(
        "[checks]\nnegative_data_rejection.expected-statuses = [400, 404, 405, 413, 415, 422]\n"
    )
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "schemathesis"), "run"),
            f"http://127.0.0.1:{server.port}/openapi.json",
            *("--max-examples", str(examples), "--seed", str(seed), "--phases", "examples,coverage,fuzzing"),
            *("--request-timeout", "20", "--generation-database", "none", "--no-color", *options),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=server.log.parent,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, "\n".join(line[:400] for line in done.stdout.splitlines()[-120:])
    assert server.said() == ""


# A request of these can be as its schema says and still make no sense: as many values as its shape says, say.
LOOSE = "/invocations|infer$|/events"
SOUND = ["--exclude-path-regex", LOOSE]
ANYHOW = ["--include-path-regex", LOOSE, "--exclude-checks", "positive_data_acceptance"]


@pytest.mark.parametrize("options", [SOUND, ANYHOW], ids=["sound", "loose"])
def test_the_document_is_kept_to(server: SocketServer, options: list[str]) -> None:
    schemathesis(server, 4, 1, *options)


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("options", [SOUND, ANYHOW], ids=["sound", "loose"])
def test_the_document_is_kept_to_by_many(server: SocketServer, options: list[str]) -> None:
    schemathesis(server, 500, 2, *options)
