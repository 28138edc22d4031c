"""Why the packaged graph answers as it does, on validation rows: what the evaluation adds under
`evaluate.explain`, and the reference rows that answers are explained with later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import from_plain
from headrace.core.schema import Type
from headrace.core.spelled import spelled
from headrace.core.task import Feature, Kind, Task
from headrace.data.rows import Rows
from headrace.engine.columns import EXPLAINED, evenly, join_vectors
from headrace.engine.context import Context, Made
from headrace.engine.encoder_columns import encoder_columns, reads_of
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import compiled_of
from headrace.engine.stages.split import load_array
from headrace.explain.dependence import column_grid, curves, feature_grid
from headrace.explain.effects import effects
from headrace.explain.importance import REPEATS, Columns, importances
from headrace.explain.record import Curve, Effects, Explanations, Importance
from headrace.explain.reference import Reference, choose, feeds_of, kept
from headrace.explain.shapley import Explainer, references
from headrace.graph.encode import CHUNK, Feeds, encode_batch
from headrace.graph.run import Runner
from headrace.metrics.contrast import take
from headrace.metrics.measure import measure
from headrace.metrics.record import Floats, Metric, Predictions

PERMUTED = 250_000
MOST_ROWS, FEWEST_ROWS = 10_000, 500
"""Validation rows, drawn at random, that are permuted: as many as keep the graph's answers to all columns
and repeats at about `PERMUTED`, between these. So for features too, of which there may be many more."""
LIGHT = 4_000_000
"""Bytes of a graph that is asked that often; a larger one, which takes longer to answer, is asked less."""
COMPARED = 500
"""As many bytes as a training row that each row is compared with (neighbours) counts for."""
CURVE_ROWS, FEWEST_OF_CURVE, CURVES = 500, 100, 6
"""Rows of a curve, fewer where the graph is large; and of how many columns there are curves."""
SAMPLED_ROWS, FEWEST_SAMPLED = 80, 16
"""So many validation rows have their contributions sampled; fewer where the graph is large."""
REFERENCE_OF = 2_000
"""Reference rows are chosen among so many training rows, evenly spaced."""

Vectors = dict[str, NDArray[Any]]


def explaining(
    ctx: Context, made: Made, runner: Runner, metric: Metric, predictions: Predictions
) -> Iterator[tuple[str, Any, tuple[()]]]:
    """The looks `explanations` and `reference`; none where `evaluate.explain` is off or nothing is read.

    Raises:
        HeadraceError: rows can't be read, or the graph can't answer.
    """
    if not ctx.spec.evaluate.explain or not runner.inputs or not predictions.rows:
        return
    tell = ctx.tell("evaluate")
    graph = _Graph(runner, predictions.task.kind)
    reference = _reference(ctx, made, graph)
    yield "reference", reference, ()
    rng = np.random.default_rng(ctx.spec.seed)
    size = ctx.store.get(made["package"].outputs["graph"]).stat().st_size
    effort = min(1.0, LIGHT / (size + COMPARED * sum(e.compared for e in encoder_columns(made))))
    order = rng.permutation(predictions.rows)
    drawn = np.sort(order[: _permuted(effort, len(runner.inputs))])
    rows = rows_of(ctx, made, "validation")
    seen = _Seen(graph, _some(rows, runner.inputs, drawn), take(predictions, drawn))
    features = _features(ctx, made, drawn)
    light = min(1.0, LIGHT / features.size)
    fewer = np.sort(order[: min(len(drawn), _permuted(light, len(features.apart())))])
    of_features, permuted = take(predictions, fewer), features.only(np.searchsorted(drawn, fewer))
    columns = importances(
        metric,
        seen.base,
        seen.feeds,
        lambda feeds: graph.predict(feeds, seen.base),
        list(runner.inputs),
        seed=ctx.spec.seed,
        progress=tell,
    )
    personal = {n for n in runner.inputs if n in ctx.spec.data.pii}
    by_feature = importances(
        metric,
        of_features,
        permuted.columns,
        lambda X: permuted.graph.predict(permuted.matrix(X), of_features),
        permuted.apart(),
        seed=ctx.spec.seed,
        progress=tell,
    )
    tell("explaining rows", 0, 0)
    value = measure(metric, seen.base)
    trees, why_no_trees = _trees(ctx, made, features, predictions.task)
    yield (
        "explanations",
        Explanations(
            metric=metric.name,
            unit=metric.unit,
            base=value if np.isfinite(value) else None,
            rows=seen.base.rows,
            of_rows=predictions.rows,
            units=len(np.unique(seen.base.units)),
            repeats=REPEATS,
            columns=tuple(
                replace(i, linked=features.reading(i.name), personal=i.name in personal) for i in columns
            ),
            features=tuple(
                replace(i, linked=features.read[i.name], personal=bool(personal & set(features.read[i.name])))
                for i in by_feature
            ),
            curves=tuple(_curves(seen, features, columns, personal, effort)),
            sampled=_sampled(seen, reference, personal, max(FEWEST_SAMPLED, round(effort * SAMPLED_ROWS))),
            trees=trees,
            why_no_trees=why_no_trees,
            personal=tuple(sorted(personal)),
            notes=_notes(reference),
        ),
        (),
    )


@dataclass(frozen=True, eq=False)
class _Graph:
    """A graph that answers: the packaged one, or the model's half of it."""

    runner: Runner
    kind: Kind

    def scores(self, feeds: Feeds, rows: int) -> Floats:
        """[rows, answers]: the value, the positive class's probability, or each class's."""
        name = "prediction" if self.kind is Kind.REGRESSION else "probability"
        told = [got[name] for got in self._runs(feeds, rows)]
        return np.asarray(np.concatenate(told), np.float64).reshape(rows, -1)

    def predict(self, feeds: Feeds, base: Predictions) -> Predictions:
        """The same rows answered from other inputs."""
        told = list(self._runs(feeds, base.rows))
        name = "prediction" if self.kind is Kind.REGRESSION else "probability"
        return replace(
            base,
            score=np.concatenate([t[name] for t in told]).astype(np.float64),
            decision=None
            if base.decision is None
            else np.concatenate([t["decision"] for t in told]).astype(np.int64),
        )

    def _runs(self, feeds: Feeds, rows: int) -> Iterator[Vectors]:
        for start in range(0, rows, CHUNK):
            stop = min(rows, start + CHUNK)
            yield self.runner.run({n: v[start:stop] for n, v in feeds.items()}, stop - start)


@dataclass(frozen=True, eq=False)
class _Seen:
    """The validation rows that are permuted: what the graph reads of them, and what it answers."""

    graph: _Graph
    feeds: Vectors
    base: Predictions

    def first(self, most: int) -> Vectors:
        """Some of these rows, evenly spaced."""
        some = evenly(self.base.rows, most)
        return {n: v[some] for n, v in self.feeds.items()}


@dataclass(frozen=True, eq=False)
class _Features:
    """The same rows as features, and the half of the graph that reads them. read: the raw columns behind
    each feature, by name."""

    graph: _Graph
    X: NDArray[np.float32]
    features: tuple[Feature, ...]
    read: Mapping[str, tuple[str, ...]]
    size: int
    """Bytes of the half."""

    def only(self, rows: NDArray[np.int64]) -> _Features:
        """Some of the rows, by their numbers."""
        return replace(self, X=self.X[rows])

    @property
    def columns(self) -> Columns:
        return {f.name: self.X[:, i] for i, f in enumerate(self.features)}

    def matrix(self, columns: Columns) -> Vectors:
        """The model's feed, its columns in their order."""
        return {"features": np.column_stack([columns[f.name] for f in self.features]).astype(np.float32)}

    def reading(self, column: str) -> tuple[str, ...]:
        """The features that read a raw column."""
        return tuple(n for n, columns in self.read.items() if column in columns)

    def apart(self) -> list[str]:
        """Features that are not one raw column's alone: their importance differs from the column's."""
        return [
            f.name
            for f in self.features
            if not (len(self.read[f.name]) == 1 and self.reading(self.read[f.name][0]) == (f.name,))
        ]


def _permuted(effort: float, columns: int) -> int:
    """How many rows are permuted."""
    each = round(effort * PERMUTED / (REPEATS * max(1, columns)))
    return max(FEWEST_ROWS, min(MOST_ROWS, each))


def _features(ctx: Context, made: Made, drawn: NDArray[np.int64]) -> _Features:
    kind = Kind(ctx.spec.problem.task)
    file = ctx.store.get(made["learn"].outputs["model"])
    model = Runner(file, threads=ctx.spec.limits.threads)
    features = tuple(from_plain(f, Feature) for f in made["features"].facts["features"])
    read = reads_of(compiled_of(ctx, made), made, [f.name for f in features])
    X = load_array(ctx, made["features"].outputs["X_validation"])[drawn]
    return _Features(_Graph(model, kind), X, features, read, file.stat().st_size)


def _some(rows: Rows, types: Mapping[str, Type], numbers: NDArray[np.int64]) -> Vectors:
    """The inputs of some rows of a part, by their ascending numbers in it."""
    read = [encode_batch(batch, types) for batch in rows.only(numbers).batches(list(types))]
    return {n: join_vectors([feeds[n] for feeds in read]) for n in types}


def _reference(ctx: Context, made: Made, graph: _Graph) -> Reference:
    types = graph.runner.inputs
    rows = rows_of(ctx, made, "train")
    feeds = _some(rows, types, evenly(rows.count, REFERENCE_OF))
    count = len(next(iter(feeds.values())))
    chosen = choose(graph.scores(feeds, count), references(len(types)))
    return kept(feeds, types, chosen, set(ctx.spec.data.pii))


def _curves(
    seen: _Seen, features: _Features, importance: Sequence[Importance], personal: set[str], effort: float
) -> Iterator[Curve]:
    """Of the columns that matter most; a time is no scale of its own, so that its features have curves."""
    task = seen.base.task
    of = [spelled(c) for c in task.classes] or [""]
    of = of[-1:] if task.kind is Kind.BINARY else of
    top = [i.name for i in importance if i.drop is not None and i.name not in personal][:CURVES]
    types, most = seen.graph.runner.inputs, max(FEWEST_OF_CURVE, round(effort * CURVE_ROWS))
    feeds, some = seen.first(most), evenly(seen.base.rows, most)
    X, told = features.X[some], set()
    for name in top:
        if types[name] is not Type.TIME:
            grid = column_grid(types[name], seen.feeds[name])
            answer: Callable[[object], Floats] = partial(_put, seen.graph, feeds, name)
            yield from curves(name, "column", grid, len(some), answer, of)
            continue
        for i, feature in enumerate(features.features):
            read = features.read[feature.name]
            if name in read and feature.name not in told and not personal & set(read):
                told.add(feature.name)
                answer = partial(_put_feature, features.graph, X, i)
                grid = feature_grid(feature, features.X[:, i])
                yield from curves(feature.name, "feature", grid, len(some), answer, of)


def _put(graph: _Graph, feeds: Vectors, name: str, value: object) -> Floats:
    column = np.empty_like(feeds[name])
    column[:] = value
    return graph.scores({**feeds, name: column}, len(column))


def _put_feature(graph: _Graph, X: NDArray[np.float32], at: int, value: Any) -> Floats:
    changed = X.copy()
    changed[:, at] = value
    return graph.scores({"features": changed}, len(changed))


def _sampled(seen: _Seen, reference: Reference, personal: set[str], most: int) -> Effects:
    types = seen.graph.runner.inputs
    explainer = Explainer(seen.graph.scores, types, feeds_of(reference, types))
    feeds = seen.first(most)
    count = len(next(iter(feeds.values())))
    told = explainer.explain(feeds, count)
    known = {n: v for n, v in feeds.items() if types[n] in (Type.NUMBER, Type.BOOL) and n not in personal}
    task = seen.base.task
    how = "every subset of columns" if explainer.exact else "antithetic orders of columns"
    return Effects(
        method=f"Shapley values of the packaged graph against {reference.rows} training rows, by {how} "
        "(Štrumbelj & Kononenko 2014)",
        unit=_unit(task.kind),
        of=_of(task.kind, task.classes),
        base=float(told.base.mean()),
        rows=count,
        effects=effects(told.columns, told.values, None if explainer.exact else told.errors, known),
    )


def _unit(kind: Kind) -> str:
    return "target" if kind is Kind.REGRESSION else "probability"


def _of(kind: Kind, classes: Sequence[object]) -> str:
    if kind is Kind.REGRESSION:
        return ""
    return spelled(classes[1]) if kind is Kind.BINARY else "decided"


def _trees(ctx: Context, made: Made, features: _Features, task: Task) -> tuple[Effects | None, str]:
    """TreeSHAP, where the learn stage could ask the trees."""
    kept_ = made["learn"].outputs.get("contributions")
    model = made["learn"].facts["model"]
    if kept_ is None:
        return None, (
            f"{model} is not one ensemble of boosted trees that can tell: "
            "the sampled contributions on the packaged graph hold for any model"
        )
    found = np.array(load_array(ctx, kept_))
    kind = task.kind
    if found.ndim == 3:  # of the class with the highest raw score, which is the decided one
        decided = found.sum(axis=1).argmax(axis=1)
        found = found[np.arange(len(found)), :, decided]
    whole = load_array(ctx, made["features"].outputs["X_validation"])
    X = whole[evenly(len(whole), EXPLAINED)]
    pii = set(ctx.spec.data.pii)
    known = {
        f.name: X[:, i].astype(np.float64)
        for i, f in enumerate(features.features)
        if f.kind != "category" and not pii & set(features.read[f.name])
    }
    names = [f.name for f in features.features]
    unit = {Kind.BINARY: "log-odds", Kind.MULTICLASS: "score", Kind.REGRESSION: "target"}[kind]
    return (
        Effects(
            method="TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2) on the score before "
            "calibration",
            unit=unit,
            of=_of(kind, task.classes),
            base=float(found[:, -1].mean()),
            rows=len(found),
            effects=effects(names, found[:, :-1], None, known),
        ),
        "",
    )


def _notes(reference: Reference) -> tuple[str, ...]:
    """How it is to be read, for people."""
    notes = [
        "Importance says what this model rests on, not what causes the target. Columns that tell the same "
        "share their importance: each looks small where the other stands in for it.",
        f"Each value was swapped for that of a row of another independent unit, {REPEATS} times.",
        "Contributions add up from the mean answer of the reference rows to the row's own answer.",
    ]
    if reference.personal:
        notes.append(
            "Of personal columns no value is shown, and reference rows hold only what 20 training rows "
            f"share: {', '.join(reference.personal)}."
        )
    return tuple(notes)
