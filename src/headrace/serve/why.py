"""Why a release answers as it does: contributions of raw columns, for requests and for files alike.

Asks the release's own graph, from the reference rows that it keeps. Needs numpy and onnxruntime alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import from_json
from headrace.core.errors import DataError
from headrace.core.ports import Store
from headrace.core.schema import Type
from headrace.core.task import Kind
from headrace.explain.reference import Reference, feeds_of
from headrace.explain.shapley import Contributions, Explainer, is_null
from headrace.explain.words import sentence, shown
from headrace.graph.run import Runner
from headrace.release.manifest import Serving

TOP = 5
"""So many columns are named where nobody says how many."""

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Reason:
    """A column's contribution to one answer. value: null, and for personal columns not given. error: the
    standard error of sampling, 0 where it is exact."""

    column: str
    value: float | bool | str | None
    contribution: float
    error: float
    text: str
    personal: bool = False


@dataclass(frozen=True)
class Reasons:
    """Why one row was answered so: `base` and all contributions add up to `answer`; `rest` is the sum of
    those that are not named. of: the code of the class whose probability it is; None: a value."""

    of: int | None
    base: float
    answer: float
    reasons: tuple[Reason, ...]
    rest: float


class Why:
    """A release's explainer, loaded and ready. Safe for use by several threads."""

    def __init__(self, store: Store, serving: Serving, runner: Runner) -> None:
        """Raises DataError where the release keeps no reference rows."""
        if not serving.reference:
            raise DataError(
                "this release can't explain its answers",
                why="it keeps no reference rows: `evaluate.explain` was off when it was made, or it is older",
                fix="run again with `evaluate: {explain: true}`, and promote what it makes",
            )
        reference = from_json(store.get(serving.reference).read_bytes(), Reference)
        self._kind = serving.task.kind
        self._types = runner.inputs
        self._personal = {*reference.personal, *serving.treated}
        self._runner = runner
        self._explainer = Explainer(self._scores, self._types, feeds_of(reference, self._types))

    def tell(self, feeds: Feeds, rows: int, top: int) -> list[Reasons]:
        """The `top` largest contributions to each row's answer, by size; of several classes' probabilities
        to that of the decided one.

        Raises:
            DataError, HeadraceError: as the graph's runner.
        """
        found = self._explainer.explain(feeds, rows)
        return [self._row(feeds, found, i, top) for i in range(rows)]

    def _scores(self, feeds: Feeds, rows: int) -> NDArray[np.float64]:
        name = "prediction" if self._kind is Kind.REGRESSION else "probability"
        return np.asarray(self._runner.run(feeds, rows)[name], np.float64).reshape(rows, -1)

    def _row(self, feeds: Feeds, found: Contributions, row: int, top: int) -> Reasons:
        values = found.values[row]
        order = np.argsort(-np.abs(values), kind="stable")
        named = [self._reason(feeds, found, row, int(j)) for j in order[:top]]
        of = {Kind.REGRESSION: None, Kind.BINARY: 1}.get(self._kind, int(found.of[row]))
        rest = math.fsum(values[order[top:]].tolist())
        return Reasons(of, float(found.base[row]), float(found.answer[row]), tuple(named), rest)

    def _reason(self, feeds: Feeds, found: Contributions, row: int, j: int) -> Reason:
        name = found.columns[j]
        kind, value, personal = self._types[name], feeds[name][row], name in self._personal
        added, error = float(found.values[row, j]), float(found.errors[row, j])
        text = sentence(name, kind, value, added, personal=personal)
        told = None if personal else _plain(kind, value)
        return Reason(name, told, added, error, text, personal)


def _plain(kind: Type, value: Any) -> float | bool | str | None:
    """A raw value for JSON; times as RFC 3339."""
    if is_null(kind, value):
        return None
    if kind is Type.BOOL:
        return bool(value)
    if kind is Type.TIME:
        return shown(kind, value).replace(" ", "T")
    return str(value) if kind is Type.TEXT else float(value)
