"""Under load: small requests before large ones, more than can be borne refused at once, deadlines met."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_world import make, row
from served import served

from headrace.serve.bursts import FEW, PIECE, TOGETHER, Bursts, Late


class Graph:
    """Stands at the place of a release: notes how many rows it was asked for at once. bad: a value that makes
    it fail."""

    def __init__(self, name: str, order: list[tuple[str, int]], bad: float | None = None) -> None:
        self.name, self.order, self.bad = name, order, bad

    def decide(self, feeds: Any, rows: int) -> list[dict[str, Any]]:
        self.order.append((self.name, rows))
        values = feeds["x"]
        assert len(values) == rows
        if self.bad in values:
            raise ValueError("a bad row")
        return [{"prediction": v * 2} for v in values.tolist()]


def column(*values: float) -> dict[str, Any]:
    return {"x": np.array(values)}


def test_requests_that_come_together_are_one_call() -> None:
    async def work() -> None:
        order: list[tuple[str, int]] = []
        bursts, graph = Bursts(), Graph("g", order)
        futures = [bursts.decide(graph, column(float(i)), 1) for i in range(TOGETHER + 10)]
        told = await asyncio.gather(*futures)
        assert [t[0]["prediction"] for t in told] == [2.0 * i for i in range(TOGETHER + 10)]
        assert order == [("g", 1), ("g", TOGETHER), ("g", 9)], "the first came alone"

    asyncio.run(work())


def test_who_comes_alone_is_answered_at_once_until_two_come_together() -> None:
    async def work() -> None:
        order: list[tuple[str, int]] = []
        bursts, graph = Bursts(), Graph("g", order)

        async def together(count: int) -> list[bool]:
            futures = [bursts.decide(graph, column(float(i)), 1) for i in range(count)]
            at_once = [f.done() for f in futures]
            await asyncio.gather(*futures)
            await asyncio.sleep(0)
            return at_once

        assert await together(1) == [True] and await together(1) == [True]
        assert await together(3) == [True, False, False]
        assert await together(3) == [False] * 3
        assert order[-1] == ("g", 3)
        for _ in range(40):
            await together(1)
        assert await together(1) == [True]

    asyncio.run(work())


def test_releases_are_asked_apart_and_a_bad_row_harms_nobody_else() -> None:
    async def work() -> None:
        order: list[tuple[str, int]] = []
        bursts, one, other = Bursts(), Graph("one", order, bad=3.0), Graph("other", order)
        futures = [bursts.decide(one, column(float(i)), 1) for i in range(5)]
        futures += [bursts.decide(other, column(8.0, 9.0), 2)]
        told = await asyncio.gather(*futures, return_exceptions=True)
        assert [isinstance(t, ValueError) for t in told] == [False, False, False, True, False, False]
        assert told[5] == [{"prediction": 16.0}, {"prediction": 18.0}]
        assert order == [("one", 1), ("one", 4), *[("one", 1)] * 4, ("other", 2)]

    asyncio.run(work())


def test_a_small_request_waits_for_a_piece_of_a_large_one() -> None:
    async def work() -> None:
        order: list[tuple[str, int]] = []
        bursts, large, small = Bursts(), Graph("large", order), Graph("small", order)
        rows = PIECE * 20 + 1
        first = bursts.decide(large, column(*np.arange(rows, dtype=float)), rows)
        second = bursts.decide(large, column(*np.arange(rows, dtype=float)), rows)
        answered = []
        for i in range(4):
            await asyncio.sleep(0)
            answered.append(await bursts.decide(small, column(float(i)), 1))
            assert not first.done() and not second.done()
        assert [a["prediction"] for a in await first] == [2.0 * i for i in range(rows)]
        assert len(await second) == rows
        assert max(n for name, n in order if name == "large") == PIECE
        between = [i for i, (name, _) in enumerate(order) if name == "small"]
        assert all(b - a <= 3 for a, b in pairwise(between)), order

    asyncio.run(work())


def test_who_waited_too_long_is_told_and_costs_nothing() -> None:
    async def work() -> None:
        order: list[tuple[str, int]] = []
        bursts, graph = Bursts(), Graph("g", order)
        late = bursts.decide(graph, column(1.0), 1, until=time.perf_counter() - 1)
        large = bursts.decide(graph, column(*[1.0] * (FEW + 1)), FEW + 1, until=time.perf_counter() - 1)
        left = bursts.decide(graph, column(2.0), 1)
        left.cancel()
        fine = bursts.decide(graph, column(3.0), 1, until=time.perf_counter() + 60)
        assert await fine == [{"prediction": 6.0}]
        for future in (late, large):
            with pytest.raises(Late):
                await future
        assert order == [("g", 1)]

    asyncio.run(work())


def ask_all(port: int, callers: int, each: int, body: Any) -> tuple[Counter[int], list[dict[str, str]]]:
    """Statuses of all requests of many callers at once, and the headers of refusals."""
    statuses: Counter[int] = Counter()
    headers: list[dict[str, str]] = []
    gate = threading.Barrier(callers)

    def call() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        gate.wait()
        for _ in range(each):
            line.request("POST", "/predict", json.dumps(body))
            answer = line.getresponse()
            answer.read()
            statuses[answer.status] += 1
            if answer.status != 200:
                headers.append({k.lower(): v for k, v in answer.getheaders()})
        line.close()

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses, headers


def test_more_than_the_queue_takes_gets_a_429_and_all_are_answered(tmp_path: Path) -> None:
    folder = make(tmp_path, queue=4, deadline_us=60_000_000)
    with served(folder, "--log", "durable") as server:
        statuses, headers = ask_all(server.port, 24, 10, [row(i) for i in range(500)])
        assert statuses.total() == 240 and set(statuses) == {200, 429}, statuses
        assert all(h["retry-after"] == "1" for h in headers)
        assert server.ask("POST", "/predict", row(1))[0] == 200
        assert server.ask("GET", "/health/ready")[0] == 200
        assert server.stop() == 0
    assert "Traceback" not in server.said


def test_a_row_is_answered_while_a_large_batch_is(tmp_path: Path) -> None:
    folder = make(tmp_path, deadline_us=60_000_000)
    with served(folder, "--log", "off") as server:
        done: list[Any] = []

        def large() -> None:
            status, _, told = server.ask("POST", "/predict", [row(i) for i in range(10_000)])
            done.append((status, len(told.get("predictions", told))))

        thread = threading.Thread(target=large)
        thread.start()
        before = 0
        while thread.is_alive():
            assert server.ask("POST", "/predict", row(before))[0] == 200
            before += not done
        thread.join()
        assert done == [(200, 10_000)]
        assert before >= 3, "rows were answered before the batch was"
        assert server.stop() == 0


def test_past_its_deadline_a_request_gets_an_answer_that_says_so(tmp_path: Path) -> None:
    folder = make(tmp_path, deadline_us=1)
    with served(folder, "--log", "off") as server:
        status, headers, told = server.ask("POST", "/predict", row(1))
        assert status == 503 and headers["content-type"] == "application/problem+json"
        assert told["status"] == 503
        assert server.stop() == 0
