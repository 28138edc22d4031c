"""Clean tables: those that ship with scikit-learn, the districts where they are at hand, and drawn ones."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]
DAY = np.timedelta64(86_400_000_000, "us")


@dataclass(frozen=True, eq=False)
class World:
    """A table ready to be learned from.

    columns: float64 (NaN null), object (text, None null), bool, or datetime64[us] (NaT null), [rows] each.
    features: the columns that are features. part: "train", "validation" or "test" for each row.
    split: how `part` is said to have been made: random, time or group. `time` and `group` name columns.
    metric: what candidates are compared by.
    """

    name: str
    task: str
    target: str
    features: tuple[str, ...]
    columns: Columns
    part: NDArray[Any]
    split: str = "random"
    time: str | None = None
    group: str | None = None
    metric: str = ""

    @property
    def rows(self) -> int:
        return len(self.part)


def clean_worlds(housing: Path | None = None) -> dict[str, Callable[[np.random.Generator], World]]:
    """Makers of clean worlds by name; each draws its rows and its split anew."""
    made: dict[str, Callable[[np.random.Generator], World]] = {
        "wine": lambda g: _bundled(g, "load_wine", "multiclass"),
        "iris": lambda g: _bundled(g, "load_iris", "multiclass"),
        "breast_cancer": lambda g: _bundled(g, "load_breast_cancer", "binary"),
        "diabetes": lambda g: _bundled(g, "load_diabetes", "regression"),
        "digits": lambda g: _bundled(g, "load_digits", "multiclass"),
        "customers": _customers,
        "visits": _visits,
        "prices": _prices,
        "machines": _machines,
    }
    if housing is not None:
        made["housing"] = lambda g: _districts(g, housing)
    return made


def _parts(g: np.random.Generator, rows: int) -> NDArray[Any]:
    return g.choice(["train", "validation", "test"], rows, p=[0.6, 0.2, 0.2])


def _bundled(g: np.random.Generator, loader: str, task: str) -> World:
    from sklearn import datasets

    bunch = getattr(datasets, loader)()
    X, first = np.unique(np.column_stack([bunch.data, bunch.target]), axis=0, return_index=True)
    del X
    keep = g.permutation(np.sort(first))  # a few tables hold rows twice: that would be a fault of theirs
    names = [str(n).replace(" ", "_") for n in getattr(bunch, "feature_names", [])] or [
        f"x{i}" for i in range(bunch.data.shape[1])
    ]
    columns: dict[str, NDArray[Any]] = {
        n: bunch.data[keep, i].astype(np.float64) for i, n in enumerate(names)
    }
    y = bunch.target[keep]
    columns["y"] = y.astype(np.float64) if task == "regression" else np.array([f"c{v}" for v in y], object)
    metric = {"regression": "rmse", "binary": "f1", "multiclass": "f1_macro"}[task]
    return World(loader[5:], task, "y", tuple(names), columns, _parts(g, len(keep)), metric=metric)


def _districts(g: np.random.Generator, file: Path) -> World:
    with file.open(newline="") as f:
        header, *lines = csv.reader(f)
    rows = [lines[i] for i in np.sort(g.choice(len(lines), 6000, replace=False))]
    columns: dict[str, NDArray[Any]] = {}
    for i, name in enumerate(header):
        cells = [r[i] for r in rows]
        try:
            columns[name] = np.array([float(c) if c else np.nan for c in cells])
        except ValueError:
            columns[name] = np.array([c or None for c in cells], object)
    target = "median_house_value"
    kept = columns[target] < 500_000  # the prices above are capped, which is a fault of its own
    if "ocean_proximity" in columns:
        kept &= columns["ocean_proximity"] != "ISLAND"  # five districts in all
    columns = {n: v[kept] for n, v in columns.items()}
    features = tuple(n for n in header if n != target)
    return World(
        "housing", "regression", target, features, columns, _parts(g, int(kept.sum())), metric="rmse"
    )


def _texts(g: np.random.Generator, values: list[str], rows: int, p: Any = None) -> NDArray[Any]:
    return np.array(values, object)[g.choice(len(values), rows, p=p)]


def _customers(g: np.random.Generator) -> World:
    """Who leaves: independent rows, numbers and categories, a third of one class."""
    n = int(g.integers(1500, 5000))
    columns: dict[str, NDArray[Any]] = {
        "age": np.round(g.normal(45, 14, n).clip(18, 90)),
        "income": np.round(np.exp(g.normal(10.3, 0.6, n)), 2),
        "region": _texts(g, ["north", "south", "east", "west"], n, [0.4, 0.3, 0.2, 0.1]),
        "plan": _texts(g, ["basic", "plus", "pro"], n, [0.6, 0.3, 0.1]),
        "calls": g.poisson(2.5, n).astype(np.float64),
        "minutes": g.gamma(2.0, 60, n),
        "newsletter": g.random(n) < 0.4,
    }
    columns["income"][g.random(n) < 0.07] = np.nan
    logit = 0.8 * (columns["calls"] - 2.5) - 0.03 * (columns["age"] - 45) + 0.9 * (columns["plan"] == "basic")
    y = g.random(n) < 1 / (1 + np.exp(1.2 - logit))
    columns["left"] = y
    features = tuple(c for c in columns if c != "left")
    return World("customers", "binary", "left", features, columns, _parts(g, n), metric="f1")


def _visits(g: np.random.Generator) -> World:
    """Visits over 200 days with a drift and a weekly rhythm, split by time."""
    n = int(g.integers(3000, 7000))
    start = np.datetime64("2024-01-01T00:00:00", "us")
    at = np.sort(start + g.integers(0, 200 * 86_400_000_000, n).astype("timedelta64[us]"))
    day = ((at - start) // DAY).astype(np.float64)
    hour = ((at - start) // np.timedelta64(3_600_000_000, "us")).astype(np.float64) % 24
    mood = np.repeat(g.normal(0, 0.5, 201), 1)[day.astype(int)]
    columns: dict[str, NDArray[Any]] = {
        "at": at,
        "hour": hour,
        "weekday": day % 7,
        "site": _texts(g, [f"s{i}" for i in range(8)], n),
        "queue": g.poisson(4, n).astype(np.float64),
        "temp": 12 + 8 * np.sin(day / 200 * 6.28) + g.normal(0, 3, n),
    }
    wait = 10 + 2.5 * columns["queue"] + 0.8 * np.abs(hour - 13) + 3 * mood + g.normal(0, 6, n)
    columns["late"] = wait > 22
    part = np.where(day < 120, "train", np.where(day < 160, "validation", "test")).astype(object)
    features = ("hour", "weekday", "site", "queue", "temp")
    return World("visits", "binary", "late", features, columns, part, split="time", time="at", metric="f1")


def _prices(g: np.random.Generator) -> World:
    """Prices of flats by size, age and quarter; a skewed target, some nulls."""
    n = int(g.integers(1000, 4000))
    columns: dict[str, NDArray[Any]] = {
        "size": g.gamma(6, 14, n),
        "rooms": g.integers(1, 7, n).astype(np.float64),
        "age": g.integers(0, 120, n).astype(np.float64),
        "quarter": _texts(g, [f"q{i}" for i in range(12)], n),
        "floor": g.integers(0, 20, n).astype(np.float64),
        "lift": g.random(n) < 0.5,
    }
    columns["floor"][g.random(n) < 0.1] = np.nan
    base = 3000 * columns["size"] - 200 * columns["age"] + 9000 * columns["rooms"]
    columns["price"] = base * np.exp(g.normal(0, 0.25, n))
    features = tuple(c for c in columns if c != "price")
    return World("prices", "regression", "price", features, columns, _parts(g, n), metric="mae")


def _machines(g: np.random.Generator) -> World:
    """Readings of 120 machines, split by machine; three states."""
    machines = 120
    n = int(g.integers(2500, 5000))
    who = g.integers(0, machines, n)
    wear = g.normal(0, 1, machines)[who]
    columns: dict[str, NDArray[Any]] = {
        "machine": np.array([f"m{w:03d}" for w in who], object),
        "load": g.normal(50, 12, n),
        "heat": 40 + 6 * wear + g.normal(0, 5, n),
        "shake": np.abs(wear + g.normal(0, 1, n)),
        "oil": _texts(g, ["a", "b", "c"], n),
        "hours": g.integers(1, 2000, n).astype(np.float64),
    }
    score = 0.05 * (columns["heat"] - 40) + 0.5 * columns["shake"] + g.normal(0, 0.6, n)
    columns["state"] = np.array(["ok", "worn", "broken"], object)[np.digitize(score, [0.6, 1.2])]
    side = g.choice(["train", "validation", "test"], machines, p=[0.6, 0.2, 0.2])
    features = ("load", "heat", "shake", "oil", "hours")
    return World(
        "machines",
        "multiclass",
        "state",
        features,
        columns,
        side[who],
        split="group",
        group="machine",
        metric="f1_macro",
    )
