"""A project whose champion looks nothing up, and `headrace serve` of it: the real command, real sockets."""

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
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from serve_releases import _manifest

from headrace.core.codec import to_json
from headrace.core.event import Draft
from headrace.core.places import LOG, STORE_DIR
from headrace.core.schema import Type
from headrace.core.task import Kind, Task
from headrace.expr import parse
from headrace.features.compile import feature_graph
from headrace.features.fit import fit_features
from headrace.features.plan import plan_features
from headrace.graph.join import join
from headrace.graph.run import Runner
from headrace.learn.candidate import resolve_params
from headrace.learn.model_graph import model_graph
from headrace.learn.registry import load_candidate
from headrace.logs.read import read
from headrace.release.manifest import Field, Serving
from headrace.release.plan import Plan
from headrace.stores import EmbeddedStore

TYPES = {"size": Type.NUMBER, "rooms": Type.NUMBER, "place": Type.TEXT, "sold": Type.TIME}
FEATURES = {"size": "size", "each": "size / rooms", "place": "place", "hour": "hour(sold)"}
PLACES = ("coast", "inland")


def row(i: int) -> dict[str, Any]:
    """A row, another for every number."""
    sold = f"2026-0{1 + i % 9}-1{i % 10} 1{i % 7}:00"
    return {"size": 20.0 + i % 977, "rooms": 1 + i % 7, "place": PLACES[i % 2], "sold": sold}


def make(folder: Path, **plan: Any) -> Path:
    """The project's folder; `plan` are fields of the release's `Plan`."""
    store = EmbeddedStore(folder / STORE_DIR)
    rng, n = np.random.default_rng(0), 400
    table = pa.table(
        {
            "size": rng.uniform(20, 1000, n),
            "rooms": rng.integers(1, 8, n).astype(float),
            "place": [PLACES[i % 2] for i in range(n)],
            "sold": pa.array(rng.integers(0, 10**15, n), pa.timestamp("us")),
        }
    )
    zone = "America/New_York"
    planned = plan_features({k: parse(text, TYPES, zone=zone) for k, text in FEATURES.items()})
    fitted = fit_features(planned, [table], min_count=2)
    graph = feature_graph(fitted)
    X = np.concatenate([out["features"] for out in Runner(graph).run_batches([table])])
    task = Task(Kind.REGRESSION, ())
    candidate = load_candidate("boosting")
    params = resolve_params(candidate, task, n, X.shape[1], {"trees": 20, "min_leaf": 10})
    y = np.nan_to_num(X[:, 0]) * 3.7
    model = candidate.fit(X, y, features=fitted.features, task=task, params=params, seed=0, threads=1)
    packaged = join(graph, model_graph(model, task, X.shape[1], None), edges={"features": "features"})
    serving = Serving(
        graph=store.put(packaged).digest,
        task=task,
        fields=tuple(
            Field(k, t, categories=PLACES if t is Type.TEXT else ())
            for k, t in Runner(packaged).inputs.items()
        ),
        lookups=(),
        keys={},
        zone=zone,
        time=None,
        lead_us=0,
        threshold=None,
    )
    manifest = replace(_manifest(serving), plan=Plan(**plan))
    digest = store.put(to_json(manifest)).digest
    when = "2026-11-21T10:00:00.000000Z"
    store.append(
        [
            Draft("release.made", "aaaa", when, "me", {"manifest": digest, "run": "run-1"}),
            Draft("release.challenged", "aaaa", when, "me", {"against": ""}),
            Draft("release.approved", "aaaa", when, "me", {}),
            Draft("release.promoted", "aaaa", when, "me", {}),
        ]
    )
    store.close()
    return folder


@dataclass
class Running:
    """A server that answers. said: what it has written so far."""

    folder: Path
    process: subprocess.Popen[bytes]
    port: int

    @property
    def said(self) -> str:
        return (self.folder / "serve.log").read_text()

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and what the body says; `body` is JSON unless it is bytes."""
        told = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as line:
            line.request(method, path, told, dict(headers or {}))
            answer = line.getresponse()
            content = answer.read()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, _plain(content)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def children(self) -> list[int]:
        """The workers of a supervisor."""
        told = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in told.split()]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def served(folder: Path, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`headrace serve` in a folder, until the block ends. environ: more of the environment."""
    command = [
        str(Path(sys.executable).with_name("headrace")),
        "serve",
        "-C",
        str(folder),
        "--port",
        "0",
        *options,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(environ or {})}
    log = folder / "serve.log"
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, env=environment)
    try:
        wait_until(lambda: "http://" in log.read_text() or process.poll() is not None)
        found = re.search(r"http://127.0.0.1:(\d+)", log.read_text())
        assert found is not None, log.read_text()
        yield Running(folder, process, int(found[1]))
    finally:
        if process.poll() is None:
            process.kill()
            for _ in range(2):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)


def logged(folder: Path) -> list[str]:
    """The ids in the prediction log."""
    return [entry.id for entry in read(folder / STORE_DIR / LOG)]


def wait_until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something to be true.

    Raises:
        AssertionError: it did not become so.
    """
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def _plain(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content
