"""Small real releases, packaged as the engine packages them: features, model, joined graph, lookup tables."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.core.codec import to_json
from headrace.core.event import Draft
from headrace.core.places import STORE_DIR
from headrace.core.ports import Store
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
from headrace.release.manifest import Field, Lookup, Manifest, Serving, bare
from headrace.release.plan import Plan
from headrace.stores import EmbeddedStore

ZONE = "America/New_York"
HOUR = 3_600_000_000
EVENTS = {
    "distance": Type.NUMBER,
    "seats": Type.NUMBER,
    "night": Type.BOOL,
    "carrier": Type.TEXT,
    "origin": Type.TEXT,
    "tail": Type.NUMBER,
    "dep": Type.TIME,
    "note": Type.TEXT,
}
"""`note` is read by nothing; `origin`, `tail` and `dep` are keys and moment of the lookups."""

WEATHER = {"weather.wind": Type.NUMBER, "weather.sky": Type.TEXT}
PLANES = {"planes.built": Type.NUMBER, "planes.leased": Type.BOOL, "planes.since": Type.TIME}
FEATURES = {
    "distance": "distance",
    "per_seat": "distance / seats",
    "night": "night",
    "carrier": "carrier",
    "hour": "hour(dep)",
    "wind": "weather.wind",
    "sky": "weather.sky",
    "age": "year(dep) - planes.built",
    "leased": "planes.leased",
    "held": "date_diff('day', planes.since, dep)",
}
FIRST_DAY = 1_370_059_200_000_000  # 2013-06-01 04:00 UTC, midnight in New York
LONG_TAIL = 9_007_199_254_740_993  # 2^53 + 1: a double can't tell it from its neighbour
SKIES = ("clear", "rain", None)
CARRIERS = ("AA", "B6", "UA", "Überflug", 'O\'Hare, "N."')


@dataclass(frozen=True)
class Release:
    """A packaged release and where it is kept."""

    store: Store
    manifest: Manifest
    name: str = "r7"

    @property
    def serving(self) -> Serving:
        return self.manifest.serving


def requests(n: int, seed: int = 3) -> list[dict[str, Any]]:
    """Rows as a caller would send them: nulls, unseen categories, both offsets, keys with no row."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        minutes = int(rng.integers(0, 60 * 48))
        day, hour, minute = 1 + minutes // 1440, minutes // 60 % 24, minutes % 60
        rows.append(
            {
                "distance": _or_none(rng, round(float(rng.uniform(90, 2500)), 3)),
                "seats": int(rng.integers(0, 300)),
                "night": _or_none(rng, bool(rng.integers(0, 2))),
                "carrier": _or_none(rng, str(rng.choice([*CARRIERS, "ZZ", "NA ", ""]))),
                "origin": _or_none(rng, str(rng.choice(["JFK", "EWR", "XXX"]))),
                "tail": _or_none(rng, LONG_TAIL + int(rng.integers(-3, 3))),
                "dep": _or_none(rng, f"2013-06-0{day} {hour:02}:{minute:02}:0{i % 10}"),
            }
        )
    return rows


def _or_none(rng: np.random.Generator, value: Any) -> Any:
    return None if rng.random() < 0.06 else value


def make_release(folder: Path, kind: Kind = Kind.BINARY, *, classes: Sequence[Any] | None = None) -> Release:
    """A release with two lookup tables: one with times (weather by origin), one without (planes by tail)."""
    store = EmbeddedStore(folder / STORE_DIR)
    weather, planes = _weather(), _planes()
    types = {n: t for n, t in EVENTS.items() if n != "note"} | WEATHER | PLANES
    task = Task(kind, tuple(classes if classes is not None else _CLASSES[kind]))
    threshold = 0.4 if kind is Kind.BINARY else None
    packaged = package(FEATURES, types, _training(types), task, lambda X: _target(X, task), threshold)
    raw = Runner(packaged).inputs
    serving = Serving(
        graph=store.put(packaged).digest,
        task=task,
        fields=tuple(_field(n, t) for n, t in raw.items()),
        lookups=(
            Lookup("planes", store.put(planes).digest, ("tail",), ("built", "leased", "since")),
            Lookup(
                "weather",
                store.put(weather).digest,
                ("origin",),
                ("wind", "sky"),
                time="at",
                ttl_us=3 * HOUR,
            ),
        ),
        keys={"tail": Type.NUMBER, "origin": Type.TEXT, "dep": Type.TIME},
        zone=ZONE,
        time="dep",
        lead_us=HOUR,
        threshold=threshold,
        unused=("note",),
    )
    return Release(store, manifest_of(serving))


def package(
    features: Mapping[str, str],
    types: Mapping[str, Type],
    table: pa.Table,
    task: Task,
    target: Callable[[np.ndarray], np.ndarray],
    threshold: float | None = None,
) -> bytes:
    """The graph of features and of a small model that is trained on this table; `target` is of the matrix."""
    planned = plan_features({n: parse(text, types, zone=ZONE) for n, text in features.items()})
    fitted = fit_features(planned, [table], min_count=2)
    graph = feature_graph(fitted)
    X = np.concatenate([out["features"] for out in Runner(graph).run_batches([table])])
    y = target(X)
    candidate = load_candidate("boosting")
    params = resolve_params(candidate, task, len(y), X.shape[1], {"trees": 20, "min_leaf": 10})
    model = candidate.fit(X, y, features=fitted.features, task=task, params=params, seed=0, threads=1)
    return join(graph, model_graph(model, task, X.shape[1], threshold), edges={"features": "features"})


def publish(store: Store, manifest: Manifest, name: str = "aaaa", *, champion: bool = True) -> None:
    """An approved release of the ledger, and its champion from now on."""
    digest = store.put(to_json(manifest)).digest
    when = "2026-11-21T10:00:00.000000Z"
    store.append(
        [
            Draft("release.made", name, when, "me", {"manifest": digest, "run": "run-1"}),
            Draft("release.challenged", name, when, "me", {"against": ""}),
            Draft("release.approved", name, when, "me", {}),
            *([Draft("release.promoted", name, when, "me", {})] if champion else []),
        ]
    )


def published(release: Release, folder: Path) -> Path:
    """A project of its own, whose champion the release is: its folder, for `headrace serve`."""
    there: Any = release.store
    shutil.copytree(there.root, folder / STORE_DIR, ignore=shutil.ignore_patterns("ledger.db*"))
    store = EmbeddedStore(folder / STORE_DIR)
    publish(store, release.manifest, release.name)
    store.close()
    return folder


_CLASSES: dict[Kind, tuple[Any, ...]] = {
    Kind.BINARY: (False, True),
    Kind.MULTICLASS: ("early", "on time", 'la"te'),
    Kind.REGRESSION: (),
}


def _training(types: dict[str, Type]) -> pa.Table:
    rng, n = np.random.default_rng(1), 600
    columns: dict[str, pa.Array] = {}
    for name, kind in types.items():
        if kind is Type.NUMBER:
            column = pa.array(
                np.where(rng.random(n) < 0.05, np.nan, rng.uniform(0, 2500, n)), from_pandas=True
            )
        elif kind is Type.BOOL:
            column = pa.array(rng.random(n) < 0.5)
        elif kind is Type.TIME:
            column = pa.array(FIRST_DAY + rng.integers(0, 48, n) * HOUR, pa.timestamp("us"))
        else:
            options = SKIES if name == "weather.sky" else CARRIERS
            column = pa.array([options[i] for i in rng.integers(0, len(options), n)], pa.string())
        columns[name] = column
    return pa.table(columns)


def _target(X: np.ndarray, task: Task) -> np.ndarray:
    rng = np.random.default_rng(2)
    score = (
        np.nan_to_num(X[:, 0]) / 1000 + np.nan_to_num(X[:, 4]) / 12 + X[:, 3] / 4 + rng.normal(0, 0.2, len(X))
    )
    if task.kind is Kind.REGRESSION:
        return score * 37.5
    cuts = np.quantile(score, np.linspace(0, 1, len(task.classes) + 1)[1:-1])
    return np.searchsorted(cuts, score).astype(np.float64)


def _field(name: str, kind: Type) -> Field:
    table, _, column = name.partition(".")
    source = table if column else "event"
    if kind is Type.TEXT:
        return Field(name, kind, source, categories=CARRIERS if name == "carrier" else ("clear", "rain"))
    if kind is Type.TIME:
        return Field(name, kind, source, low=float(FIRST_DAY), high=float(FIRST_DAY + 48 * HOUR))
    return Field(name, kind, source, low=0.0, high=2500.0, null_share=0.05)


def _weather() -> bytes:
    hours = list(range(-6, 40, 2)) * 2
    return _parquet(
        {
            "origin": pa.array(["JFK"] * 23 + ["EWR"] * 23),
            "at": pa.array([FIRST_DAY + h * HOUR for h in hours], pa.timestamp("us")),
            "wind": pa.array([None if h % 8 == 0 else h * 1.25 for h in hours], pa.float64()),
            "sky": pa.array([SKIES[h % 3] for h in hours], pa.string()),
        }
    )


def _planes() -> bytes:
    tails = [LONG_TAIL - 2, LONG_TAIL - 1, LONG_TAIL, LONG_TAIL + 1]
    return _parquet(
        {
            "tail": pa.array(tails, pa.int64()),
            "built": pa.array([1990, 2001, None, 2012], pa.int16()),
            "leased": pa.array([True, False, True, None]),
            "since": pa.array([FIRST_DAY - 9 * 24 * HOUR, None, FIRST_DAY, 0], pa.timestamp("us")),
        }
    )


def _parquet(columns: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def manifest_of(serving: Serving, features: Mapping[str, str] = FEATURES) -> Manifest:
    """Nothing but what serving looks at is told of the release."""
    return replace(
        # a machine that is busy with other tests is no reason to be late
        bare(serving, Plan(deadline_us=60_000_000)),
        project="flights",
        run="run-1",
        name="first",
        made="2026-11-21T10:00:00.000000Z",
        author="a@example.com",
        target="late",
        metric="f1",
        model="boosting",
        features=features,
    )
