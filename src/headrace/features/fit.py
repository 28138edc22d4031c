"""Learn the categories' vocabularies: one pass over the training rows, and nothing but training rows.

Numbers and booleans learn nothing here, so rows are read only where there is a category.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import FeatureKind
from headrace.features.compile import category_graph
from headrace.features.fitted import KEPT, Fitted, FittedFeatures
from headrace.features.plan import Planned
from headrace.features.values import text_of
from headrace.graph.encode import Batch
from headrace.graph.run import Runner
from headrace.graph.texts import Prepare

MIN_COUNT, MAX_CATEGORIES = 20, 200


@dataclass(frozen=True)
class Grouping:
    """Rare is a value seen fewer than `min_count` times, or beyond the `max_categories` most frequent."""

    min_count: int
    max_categories: int


def fit_features(
    planned: tuple[Planned, ...],
    batches: Iterable[Batch],
    *,
    min_count: int = MIN_COUNT,
    max_categories: int = MAX_CATEGORIES,
    grouping: Mapping[str, Grouping] | None = None,
    threads: int = 1,
    prepares: Mapping[str, Prepare] | None = None,
) -> FittedFeatures:
    """Count the categories' values over the training rows and give the frequent ones codes.

    A vocabulary is ordered by falling count, then by text. A value seen fewer than `min_count` times, or
    beyond the `max_categories` most frequent, is rare (`grouping` says otherwise of features by name): all
    rare values share the code RARE. A value never
    seen in training gets UNSEEN at prediction. No training row has the code UNSEEN, so a learner has
    nothing to fit for it and has to treat it as a level without effect (a zero one-hot block; in a tree,
    whatever side its split sends it to); a fold of cross-validation that fits its own vocabulary meets it.

    `prepares` says what is done to text columns before they enter the graph (see `graph.texts`).
    `batches` are Arrow or feeds, every training row once, in a fixed order. Memory holds a batch and at most
    twice `KEPT` distinct values a category.

    Raises:
        DataError: a batch lacks a column or has it in another type.
    """
    categories = [p for p in planned if p.kind is FeatureKind.CATEGORY]
    counts = {p.name: Counts() for p in categories}
    if categories:
        runner = Runner(category_graph(tuple(categories), prepares), threads=threads)
        for outputs in runner.run_batches(batches):
            for p, values in zip(categories, outputs.values(), strict=True):
                counts[p.name].add(values)
    usual = Grouping(min_count, max_categories)
    columns = [
        _fitted(p, counts[p.name], (grouping or {}).get(p.name, usual)) if p.name in counts else Fitted(p)
        for p in planned
    ]
    return FittedFeatures(tuple(columns))


class Counts:
    """Counts of one category's values, in bounded memory.

    Beyond twice `KEPT` distinct values the least frequent half is let go, so that a frequent value keeps
    its place even among millions of identifiers.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.nulls = 0
        self.capped = False
        self.values: Counter[str | float] = Counter()

    def add(self, values: np.ndarray) -> None:
        self.rows += len(values)
        if values.dtype == np.object_:
            self.values.update(values.tolist())
            self.nulls += self.values.pop(NULL_TEXT, 0)
        else:
            known = values[~np.isnan(values)] + 0.0  # minus zero is zero
            self.nulls += len(values) - len(known)
            distinct, times = np.unique(known, return_counts=True)
            for value, count in zip(distinct.tolist(), times.tolist(), strict=True):
                self.values[value] += count
        if len(self.values) > 2 * KEPT:
            self.capped = True
            self.values = _most_frequent(self.values)


def _most_frequent(values: Counter[str | float]) -> Counter[str | float]:
    """The `KEPT` most frequent; of equals, those met first."""
    order = np.argsort(-np.fromiter(values.values(), np.int64, len(values)), kind="stable")
    names = list(values)
    return Counter({names[i]: values[names[i]] for i in order[:KEPT].tolist()})


def _ranked(values: Mapping[str | float, int]) -> list[tuple[str | float, int]]:
    return sorted(values.items(), key=lambda item: (-item[1], item[0]))


def _fitted(planned: Planned, counts: Counts, grouping: Grouping) -> Fitted:
    is_bool = planned.expr.type is Type.BOOL
    ranked = _ranked(counts.values)
    capped = counts.capped or len(ranked) > KEPT
    frequent = [v for v, n in ranked[: grouping.max_categories] if n >= grouping.min_count]
    rare = [v for v, _ in ranked[len(frequent) : KEPT]]
    return Fitted(
        planned,
        vocabulary=tuple(text_of(v, is_bool=is_bool) for v in frequent),
        rare=tuple(text_of(v, is_bool=is_bool) for v in rare),
        rows=counts.rows,
        nulls=counts.nulls,
        distinct=len(ranked),
        capped=capped,
    )
