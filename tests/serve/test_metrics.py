"""Counts that workers share, and what Prometheus reads of them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from asgi_client import Client
from prometheus_client.parser import text_string_to_metric_families
from serve_releases import Release, requests
from soak_faults import fill, small_disk
from test_answer import ROW

from headrace.core.answered import Answered
from headrace.core.clock import system_clock
from headrace.serve.http.app import assemble
from headrace.serve.http.metrics import BOUNDS, Gauge, Metrics
from headrace.serve.http.tally import SLOTS, Tally, totals
from headrace.serve.intakes import Intakes
from headrace.serve.live import Live, load

Told = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Told:
    """What Prometheus' own parser makes of the text."""
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def value(told: Told, name: str, **labels: str) -> float:
    return told[name, frozenset(labels.items())]


def entry(**changed: Any) -> Answered:
    plain: dict[str, Any] = {
        **{"id": "a", "time": 1, "route": "default", "release": "r7", "arm": "champion", "unit": ""},
        **{"by": "model", "inputs": {}, "answer": {}},
    }
    return Answered(**{**plain, **changed})


def test_requests_and_rows_are_counted(binary: Release) -> None:
    live = Live.pinned(load(binary.store, binary.name, binary.manifest, system_clock))
    client = Client(assemble(live, Intakes(binary.store, live)))
    for _ in range(3):
        client.post("/predict", json=ROW)
    client.post("/predict", json=requests(5))
    client.post("/invocations", json={"inputs": requests(2)})
    client.post("/predict", json={})
    client.get("/v2/models/other")
    client.get("/nothing")
    response = client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    told = read(response.text)
    count = "headrace_requests_total"
    assert value(told, count, path="/predict", method="POST", status="200") == 4
    assert value(told, count, path="/predict", method="POST", status="422") == 1
    assert value(told, count, path="/v2/models/{name}", method="GET", status="404") == 1
    assert value(told, count, path="", method="", status="404") == 1
    answers = {"route": "default", "release": "r7", "arm": "champion", "by": "model"}
    assert value(told, "headrace_answers_total", **answers) == 10
    assert value(told, "headrace_request_duration_seconds_count", path="/predict") == 5
    assert value(told, "headrace_request_duration_seconds_bucket", path="/predict", le="+Inf") == 5
    assert value(told, "headrace_release_share", route="default", release="r7", role="champion") == 1
    assert value(told, "headrace_ready") == 1 and value(told, "headrace_workers") == 1
    assert value(told, "headrace_resident_memory_bytes") > 10e6


def test_seconds_fall_into_their_buckets() -> None:
    metrics = Metrics()
    for seconds in (0.0, BOUNDS[0], BOUNDS[0] * 1.01, 0.03, 99.0):
        metrics.request("/predict", "POST", 200, seconds)
    told = read(metrics.text())
    bucket = "headrace_request_duration_seconds_bucket"
    below = [
        value(told, bucket, path="/predict", le=le)
        for le in ("0.0001", "0.00025", "0.025", "0.05", "2.5", "+Inf")
    ]
    assert below == [2, 3, 3, 4, 4, 5]
    assert value(told, "headrace_request_duration_seconds_sum", path="/predict") == pytest.approx(
        99.0302, abs=1e-4
    )


def test_what_answered_and_what_was_odd() -> None:
    metrics = Metrics()
    metrics.answered(
        [
            entry(by="rule: blocked"),
            entry(by="fallback: champion (timeout)"),
            entry(by="fallback: champion (error)"),
            entry(flags=("distance: range",), review=True),
            entry(of="b"),
        ]
    )
    told = read(metrics.text())
    labels = {"route": "default", "release": "r7", "arm": "champion"}
    assert value(told, "headrace_answers_total", **labels, by="rule: blocked") == 1
    assert value(told, "headrace_answers_total", **labels, by="fallback: champion") == 2
    assert value(told, "headrace_answers_total", **labels, by="model") == 1
    assert value(told, "headrace_flags_total", release="r7", flag="distance: range") == 1
    assert value(told, "headrace_reviews_total", route="default", release="r7") == 1


def test_odd_names_are_escaped() -> None:
    metrics = Metrics()
    metrics.answered([entry(by='rule: a "b"\n\\c')])
    assert any(dict(labels).get("by") == 'rule: a "b"\n\\c' for _, labels in read(metrics.text()))


def test_names_without_end_become_others() -> None:
    metrics = Metrics()
    for i in range(SLOTS):
        metrics.answered([entry(by=f"rule: {i}")])
    told = read(metrics.text())
    counted = {dict(k)["by"]: v for (name, k), v in told.items() if name == "headrace_answers_total"}
    assert sum(counted.values()) == SLOTS and 1000 < counted["other"] < SLOTS // 2


def _count(folder: Path, times: int, kill: bool) -> None:
    metrics = Metrics(
        folder, [Gauge("waiting", "Waiting.", lambda: 7), Gauge("age", "Age.", os.getpid, most=True)]
    )
    for _ in range(times):
        metrics.request("/predict", "POST", 200, 0.001)
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)
    metrics.close()


def test_workers_add_up_and_the_dead_stay_counted(tmp_path: Path) -> None:
    mine = Metrics(
        tmp_path, [Gauge("waiting", "Waiting.", lambda: 2), Gauge("age", "Age.", lambda: 3, most=True)]
    )
    context = multiprocessing.get_context("spawn")
    for times, kill in ((1000, False), (200, True), (30, True)):
        process = context.Process(target=_count, args=(tmp_path, times, kill))
        process.start()
        process.join(60)
    mine.request("/predict", "POST", 200, 0.001)
    for _ in range(2):  # the files of the dead are gone after the first
        told = read(mine.text())
        assert value(told, "headrace_requests_total", path="/predict", method="POST", status="200") == 1231
        assert value(told, "headrace_request_duration_seconds_count", path="/predict") == 1231
        assert (value(told, "waiting"), value(told, "age"), value(told, "headrace_workers")) == (2, 3, 1)
    assert len(list(tmp_path.glob("*.tally"))) == 1
    mine.close()


def test_a_burial_that_was_cut_short_counts_nobody_twice(tmp_path: Path) -> None:
    dead = Tally(tmp_path)
    dead.numbers[dead.slot(("a",))] = 5
    dead.close()
    (file,) = tmp_path.glob("*.tally")
    kept = file.read_bytes()
    assert totals(tmp_path, [])[0][("a",)] == [5]
    file.write_bytes(kept)  # as if its removal had not come about
    assert totals(tmp_path, [])[0][("a",)] == [5]
    assert json.loads((tmp_path / "dead.json").read_bytes())


def test_on_a_full_disk_counting_goes_on_and_is_told(tmp_path: Path) -> None:
    place = tmp_path / "disk" / "shared"
    with small_disk(place, "16M") as why:
        if why:
            pytest.skip(why)
        early = Tally(place)
        ballast = fill(place)
        # Its file has its room already: a hole in it would be the end of the process now.
        for i in range(2000):
            early.numbers[early.slot(("b", str(i) * 50))] = 1
        late = Metrics(place, [Gauge("waiting", "Waiting.", lambda: 2)])
        late.request("/predict", "POST", 200, 0.001)
        early.close()
        told = read(late.text())
        assert value(told, "headrace_requests_total", path="/predict", method="POST", status="200") == 1
        assert (value(told, "waiting"), value(told, "headrace_workers")) == (2, 1)
        assert totals(place, [])[0][("b", "7" * 50)] == [1]
        ballast.unlink()
        asyncio.run(_a_while(late))
        late.request("/predict", "POST", 200, 0.001)
        there = totals(place, ["waiting"])
        assert there[0]["headrace_requests_total", "/predict", "POST", "200"] == [2]
        assert there[1]["waiting"] == [2]
        assert value(read(late.text()), "headrace_workers") == 1
        late.close()


async def _a_while(metrics: Metrics) -> None:
    metrics.start(asyncio.get_running_loop())
