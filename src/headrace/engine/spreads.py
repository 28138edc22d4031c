"""How the values of features lie over the training rows of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from headrace.core.catalogue import LEVELS, Spread
from headrace.core.codec import from_plain
from headrace.core.errors import NotFound
from headrace.core.ports import Store
from headrace.core.spec.features import FeatureSpec
from headrace.core.task import FIRST_CODE, MISSING, RARE, Feature, FeatureKind
from headrace.core.views import RunView
from headrace.engine.context import Output
from headrace.engine.pins import output_of

BINS = 24
MOST_VALUES = 12


def newest_matrix(store: Store, runs: Sequence[RunView]) -> tuple[RunView | None, Output | None]:
    """The newest of these runs (oldest first) whose training matrix is kept, and what it made."""
    for run in reversed(runs):
        if not run.script:
            with suppress(NotFound):
                return run, output_of(store, run, "features")
    return None, None


def spreads_of(store: Store, made: Output, specs: Mapping[str, FeatureSpec]) -> dict[str, tuple[Spread, ...]]:
    """How the columns of each feature lie, in what the stage features made."""
    X = np.load(store.get(made.outputs["X_train"]), mmap_mode="r", allow_pickle=False)
    columns = [from_plain(f, Feature) for f in made.facts["features"]]
    found: dict[str, list[Spread]] = {}
    for i, column in enumerate(columns):
        name = _feature_of(column.name, specs)
        if name is not None:
            found.setdefault(name, []).append(spread_of(column, np.asarray(X[:, i])))
    return {n: tuple(s) for n, s in found.items()}


def _feature_of(column: str, names: Collection[str]) -> str | None:
    """The feature that a column of the matrix belongs to: the longest name that it is or begins with."""
    of = [n for n in names if column == n or column.startswith(f"{n}_")]
    return max(of, key=len, default=None)


def spread_of(column: Feature, values: NDArray[np.float32]) -> Spread:
    """How a column of the matrix [rows] lies."""
    if column.kind is FeatureKind.CATEGORY:
        return _of_codes(column, values)
    known = values[np.isfinite(values)].astype(np.float64)
    missing = 1 - len(known) / max(1, len(values))
    if not len(known):
        return Spread(column.name, column.kind.value, len(values), missing)
    low, high = (
        np.quantile(known, [0.005, 0.995]) if len(np.unique(known)) > 2 else (known.min(), known.max())
    )
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    counts, _ = np.histogram(np.clip(known, edges[0], edges[-1]), edges)
    return Spread(
        column.name,
        column.kind.value,
        len(values),
        missing,
        mean=float(known.mean()),
        quantiles=tuple(float(q) for q in np.quantile(known, LEVELS)),
        edges=tuple(float(e) for e in edges),
        counts=tuple(int(c) for c in counts),
    )


def _of_codes(column: Feature, values: NDArray[np.float32]) -> Spread:
    codes, counts = np.unique(values.astype(np.int64), return_counts=True)
    share = {int(c): n / max(1, len(values)) for c, n in zip(codes, counts, strict=True)}
    named = {i + FIRST_CODE: v for i, v in enumerate(column.vocabulary)} | {RARE: "(rare)"}
    there = sorted(((named[c], s) for c, s in share.items() if c in named), key=lambda v: (-v[1], v[0]))
    return Spread(
        column.name,
        column.kind.value,
        len(values),
        share.get(MISSING, 0.0),
        values=tuple((n, float(s)) for n, s in there[:MOST_VALUES]),
    )
