"""Every feature of a project, told from its spec, its lock, its newest run and its releases."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from headrace.core.catalogue import LEVELS, FeatureTold, Spread
from headrace.core.codec import from_plain
from headrace.core.document import Design
from headrace.core.errors import NotFound
from headrace.core.ports import Store
from headrace.core.spec import ParsedSpec, Spec
from headrace.core.spec.features import (
    EncodeFeature,
    ExprFeature,
    FeatureSpec,
    HistoryFeature,
    NeighboursFeature,
    long_form,
)
from headrace.core.spec.lock import Lock
from headrace.core.task import FIRST_CODE, MISSING, RARE, Feature, FeatureKind
from headrace.core.views import RunView
from headrace.engine.context import Output
from headrace.engine.pins import output_of
from headrace.engine.releases import load_manifest

BINS = 24
MOST_VALUES = 12
_RISKS = {
    "blocks": "high, and it blocks",
    "accepted": "found, and accepted",
    "not looked at": "not looked at yet",
}


def catalogue(store: Store, parsed: ParsedSpec, design: Design) -> tuple[FeatureTold, ...]:
    """Features in the order of the spec, then the lock's, then what was dropped."""
    spec = parsed.spec
    lock = parsed.lock.lock if parsed.lock is not None else None
    run, made = _matrix(store, design)
    specs = spec.feature_specs()
    spread = _spreads(store, made, specs) if made is not None else {}
    told = []
    for line in design.features:
        feature = specs[line.name]
        about = lock.about.get(line.name) if lock is not None else None
        why = f"{_RISKS.get(line.risk.value, line.risk.value)}: {line.why}" if line.why else line.risk.value
        told.append(
            FeatureTold(
                name=line.name,
                form=about.form if about is not None else _form(feature),
                type=line.type,
                source=line.source or (about.source if about is not None else ()),
                state=_state(spec, lock, line.name),
                definition=feature.text,
                description=feature.description,
                owner=feature.owner or spec.owner("features"),
                risk="; ".join(r for r in (why, about.risk if about is not None else "") if r),
                measured=about.measured if about is not None else None,
                spreads=spread.get(line.name, ()),
                run=run.run if run is not None and line.name in spread else "",
                releases=_used(store, design, line.name, feature.text),
            )
        )
    return (*told, *(_dropped(spec, lock) if lock is not None else ()))


def _state(spec: Spec, lock: Lock | None, name: str) -> str:
    if name in spec.features or lock is None:
        return "named"
    return "pinned" if name in lock.pin else "kept"


def _dropped(spec: Spec, lock: Lock) -> list[FeatureTold]:
    return [
        FeatureTold(
            name=name,
            form=tried.form,
            type="",
            source=(),
            state="dropped",
            definition=long_form(tried.feature).text,
            description=long_form(tried.feature).description,
            owner=spec.owner("features"),
            risk="",
            measured=tried.measured,
            why=tried.why,
        )
        for name, tried in lock.dropped.items()
        if name not in spec.feature_specs()
    ]


def _form(feature: FeatureSpec) -> str:
    if isinstance(feature, ExprFeature):
        return "expression"
    if isinstance(feature, HistoryFeature):
        return "history"
    if isinstance(feature, NeighboursFeature):
        return "neighbours"
    return f"{feature.encode} encoding" if isinstance(feature, EncodeFeature) else "function"


def _used(store: Store, design: Design, name: str, text: str) -> tuple[str, ...]:
    """The releases that use a feature by this definition."""
    found = []
    for release in design.releases.releases.values():
        if not store.has(release.manifest):
            continue
        features = load_manifest(store, release).features
        if features.get(name) == text:
            found.append(release.release)
    return tuple(found)


def _matrix(store: Store, design: Design) -> tuple[RunView | None, Output | None]:
    """The newest run whose training matrix is kept."""
    for run in reversed(design.runs):
        if not run.script:
            with suppress(NotFound):
                return run, output_of(store, run, "features")
    return None, None


def _spreads(store: Store, made: Output, specs: Mapping[str, FeatureSpec]) -> dict[str, tuple[Spread, ...]]:
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
