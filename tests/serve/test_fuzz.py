"""No request gets a 500, none hangs, every refusal says what is wrong: by our own fuzzer and schemathesis."""

from __future__ import annotations

from collections.abc import Iterator

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
