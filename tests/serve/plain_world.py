"""A project whose champion looks nothing up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from serve_releases import ZONE, manifest_of, package, publish

from headrace.core.places import LOG, STORE_DIR
from headrace.core.schema import Type
from headrace.core.task import Kind, Task
from headrace.graph.run import Runner
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
    task = Task(Kind.REGRESSION, ())
    packaged = package(FEATURES, TYPES, table, task, lambda X: np.nan_to_num(X[:, 0]) * 3.7)
    serving = Serving(
        graph=store.put(packaged).digest,
        task=task,
        fields=tuple(
            Field(k, t, categories=PLACES if t is Type.TEXT else ())
            for k, t in Runner(packaged).inputs.items()
        ),
        lookups=(),
        keys={},
        zone=ZONE,
        time=None,
        lead_us=0,
        threshold=None,
    )
    publish(store, replace(manifest_of(serving, FEATURES), plan=Plan(**plan)))
    store.close()
    return folder


def logged(folder: Path) -> list[str]:
    """The ids in the prediction log."""
    return [entry.id for entry in read(folder / STORE_DIR / LOG)]
