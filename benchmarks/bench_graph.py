"""One row to a prediction: the graph that serves, against a scikit-learn pipeline on a one-row frame.

Both hold a LightGBM model of our default size on the same 20 features of mixed kinds, and both are measured
from raw values in memory, in this process, turn by turn.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.rows import Row, row, skipped

ROWS = 4_000
CALLS = 400
ROUNDS = 5
REACH = "≤ 100 µs"
WHAT = "one row through the graph, 20 features"

FEATURES = {
    "distance": "distance",
    "seats": "seats",
    "age": "age",
    "fare": "fare",
    "per_seat": "distance / seats",
    "log_fare": "ln(fare + 1)",
    "fare_share": "fare / (distance + 1)",
    "long": "distance > 1500",
    "old_or_small": "age > 20 or seats < 100",
    "weekend": "weekend",
    "night": "hour(dep) >= 22 or hour(dep) < 6",
    "hour": "hour(dep)",
    "weekday": "dayofweek(dep)",
    "month": "month(dep)",
    "minutes_booked": "date_diff('minute', booked, dep)",
    "age_or_mean": "coalesce(age, 12)",
    "band": "case when distance < 500 then 1 when distance < 1500 then 2 else 3 end",
    "carrier": "carrier",
    "origin": "origin",
    "route": "concat(origin, '-', dest)",
}


def run() -> list[Row]:
    try:
        import lightgbm  # noqa: F401 - only whether it is there
        import sklearn  # noqa: F401 - only whether it is there
    except (ImportError, OSError) as error:
        return [skipped("graph", WHAT, str(error), reach=REACH)]
    data, late = _data()
    features_only, whole, feeds = _ours(data, late)
    pipeline, frame = _peer(data, late)
    one = {name: values[:1] for name, values in feeds.items()}
    alone, ours, peer = _medians(
        (lambda: features_only.run(one, 1), CALLS),
        (lambda: whole.run(one, 1), CALLS),
        (lambda: pipeline.predict_proba(frame), CALLS // 20),
    )
    floor = f"scikit-learn pipeline {peer:,.0f} µs"
    rows = [row("graph", WHAT, ours, "µs", floor=floor, ratio=peer / ours, reach=REACH, ok=ours <= 100)]
    if ours > 100:  # say which half takes the time
        part = "of which the features, as a graph of their own"
        ok = alone <= 100
        rows.append(row("graph", part, alone, "µs", floor=floor, ratio=peer / alone, reach=REACH, ok=ok))
    return rows


def _medians(*calls: tuple[Callable[[], Any], int]) -> list[float]:
    """Median microseconds of a call of each, taken in turns, so that a busy machine is busy for all."""
    took: list[list[float]] = [[] for _ in calls]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the pipeline's talk of feature names
        for _ in range(ROUNDS):
            for times, (call, count) in zip(took, calls, strict=True):
                call()
                for _ in range(count):
                    started = time.perf_counter()
                    call()
                    times.append((time.perf_counter() - started) * 1e6)
    return [statistics.median(times) for times in took]


def _data() -> tuple[dict[str, Any], np.ndarray]:
    """Raw columns, and a target that depends on some of them."""
    rng = np.random.default_rng(0)
    dep = 1_357_000_000 + rng.integers(0, 365 * 86_400, ROWS)
    data: dict[str, Any] = {
        "distance": rng.uniform(90, 2500, ROWS),
        "seats": rng.integers(50, 300, ROWS).astype(np.float64),
        "age": np.where(rng.random(ROWS) < 0.1, np.nan, rng.integers(0, 30, ROWS)),
        "fare": rng.lognormal(5, 1, ROWS),
        "weekend": (rng.random(ROWS) < 0.3).astype(np.float64),
        "dep": dep * 1_000_000,
        "booked": (dep - rng.integers(3600, 90 * 86_400, ROWS)) * 1_000_000,
    }
    for name, many in (("carrier", 16), ("origin", 3), ("dest", 100)):
        data[name] = np.array([f"{name[0].upper()}{i:02}" for i in rng.integers(0, many, ROWS)], dtype=object)
    score = data["distance"] / 1000 + dep // 3600 % 24 / 12 + data["weekend"] + rng.normal(0, 1, ROWS)
    return data, (score > np.quantile(score, 0.75)).astype(np.float64)


def _ours(data: dict[str, Any], late: np.ndarray) -> tuple[Any, Any, dict[str, Any]]:
    """Runners of the feature graph and of the packaged graph, and the feeds of every row."""
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

    text = dict.fromkeys(("carrier", "origin", "dest"), Type.TEXT)
    times = dict.fromkeys(("dep", "booked"), Type.TIME)
    types = {**dict.fromkeys(data, Type.NUMBER), "weekend": Type.BOOL, **text, **times}
    planned = plan_features({n: parse(t, types, zone="America/New_York") for n, t in FEATURES.items()})
    fitted = fit_features(planned, [data])
    graph = feature_graph(fitted)
    features = Runner(graph)
    X = features.run(data)["features"]
    task, boosting = Task(Kind.BINARY, (False, True)), load_candidate("boosting")
    params = resolve_params(boosting, task, ROWS, len(FEATURES), {})
    model = boosting.fit(X, late, features=fitted.features, task=task, params=params, seed=0, threads=2)
    whole = join(graph, model_graph(model, task, len(FEATURES), 0.4), edges={"features": "features"})
    return features, Runner(whole), data


def _peer(data: dict[str, Any], late: np.ndarray) -> tuple[Any, Any]:
    """A pipeline of imputing, scaling and one-hot columns before LightGBM, and a frame of one row: of
    features computed already, which flatters it."""
    import lightgbm
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    raw = pd.DataFrame(data)
    dep = pd.to_datetime(raw["dep"], unit="us")
    words = ["carrier", "origin", "route"]
    frame = raw[["distance", "seats", "age", "fare", "weekend", "carrier", "origin"]].assign(
        per_seat=raw["distance"] / raw["seats"],
        log_fare=np.log1p(raw["fare"]),
        fare_share=raw["fare"] / (raw["distance"] + 1),
        long=(raw["distance"] > 1500).astype(float),
        old_or_small=((raw["age"] > 20) | (raw["seats"] < 100)).astype(float),
        night=((dep.dt.hour >= 22) | (dep.dt.hour < 6)).astype(float),
        hour=dep.dt.hour,
        weekday=dep.dt.dayofweek,
        month=dep.dt.month,
        minutes_booked=(raw["dep"] - raw["booked"]) / 60e6,
        age_or_mean=raw["age"].fillna(12),
        band=np.digitize(raw["distance"], [500, 1500]),
        route=raw["origin"] + "-" + raw["dest"],
    )
    numbers = [c for c in frame.columns if c not in words]
    prepare = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), numbers),
            ("words", OneHotEncoder(handle_unknown="ignore", min_frequency=20), words),
        ]
    )
    model = lightgbm.LGBMClassifier(n_estimators=300, learning_rate=0.05, n_jobs=1, verbosity=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(prepare, model).fit(frame, late)
    return pipeline, frame[:1]
