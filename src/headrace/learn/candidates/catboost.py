"""Gradient-boosted oblivious trees: CatBoost (Prokhorenkova et al., NeurIPS 2018), on numbers alone.

CatBoost's own treatment of categories (ordered target statistics and their combinations) can't be written
as a graph: its exporter refuses it. Categories come as smoothed target statistics instead, as for forests.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headrace.core.task import Feature, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.bags import fit_bags, refuse_bags
from headrace.learn.candidate import Fitted, Matrix, Range, Space, Vector
from headrace.learn.constant import Constant, only_class
from headrace.learn.encode import TargetCodes, fit_target_codes
from headrace.learn.links import emit_link, emit_spread, link, spread
from headrace.learn.needs import need_model
from headrace.learn.other_trees import from_catboost

MANY_ROWS, FEW_ROWS = 1_000_000, 50
"""Below the few no rows are drawn: CatBoost refuses a draw that may come out empty."""
_LOSS = {Kind.REGRESSION: "RMSE", Kind.BINARY: "Logloss", Kind.MULTICLASS: "MultiClass"}


@dataclass(frozen=True)
class FittedCatBoost:
    """CatBoost behind target statistics. `classes`: the codes it knows, in its order (multiclass)."""

    encoding: TargetCodes
    model: Any
    classes: tuple[int, ...]
    task: Task

    def score(self, X: Matrix) -> Vector:
        """[rows], or [rows, classes] for multiclass."""
        return link(self.task, self.raw(X))

    def raw(self, X: Matrix) -> Vector:
        """See `learn.bags.Raw`."""
        raw = self._raw(self.encoding.apply(X))
        return spread(self.task, self.classes, raw) if self.task.kind is Kind.MULTICLASS else raw

    def emit(self, g: GraphBuilder, x: str) -> str:
        """Target statistics, one tree node, the bias, the link."""
        return emit_link(g, self.task, self.emit_raw(g, x))

    def emit_raw(self, g: GraphBuilder, x: str) -> str:
        """See `learn.bags.Raw`."""
        sums = from_catboost(self._dump, self._targets).emit(g, self.encoding.emit(g, x))
        raw = g.node("Add", sums, g.constant(self._bias, np.float64))
        if self.task.kind is Kind.MULTICLASS:
            raw = emit_spread(g, self.task, self.classes, raw)
        return raw

    def contributions(self, X: Matrix) -> Vector:
        """See `Explained`; the statistics of a category count together, a class that training rows lack
        gets nothing."""
        pool = need_model("catboost").Pool(self.encoding.apply(X))
        found = np.asarray(self.model.get_feature_importance(pool, type="ShapValues"), np.float64)
        found = found.reshape(len(X), self._targets, -1)
        out = np.zeros((len(X), X.shape[1] + 1, self._targets))
        for at, column in enumerate([*self.encoding.sources(), X.shape[1]]):
            out[:, column] += found[:, :, at]
        if self.task.kind is not Kind.MULTICLASS:
            return out[:, :, 0]
        every = np.zeros((len(X), X.shape[1] + 1, len(self.task.classes)))
        every[:, :, list(self.classes)] = out
        return every

    @property
    def _targets(self) -> int:
        return len(self.classes) if self.task.kind is Kind.MULTICLASS else 1

    @cached_property
    def _dump(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
            path = Path(folder) / "model.json"
            self.model.save_model(str(path), format="json")
            dump: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return dump

    @cached_property
    def _bias(self) -> Vector:
        scale, bias = self._dump["scale_and_bias"]
        if scale != 1:
            raise ValueError("CatBoost scaled its leaves, which the graph does not")
        return np.asarray(bias, np.float64).reshape(-1)

    def _raw(self, Z: Matrix) -> Vector:
        """Sums of the leaves that CatBoost finds, tree after tree."""
        leaves = np.asarray(self.model.calc_leaf_indexes(Z), np.int64).reshape(len(Z), -1)
        raw = np.zeros((len(Z), self._targets))
        for number, tree in enumerate(self._dump["oblivious_trees"]):
            values = np.asarray(tree["leaf_values"], np.float64).reshape(-1, self._targets)
            raw += values[leaves[:, number]]
        return raw + self._bias


class CatBoost:
    """CatBoost with plain boosting."""

    name = "catboost"
    library = "catboost"
    summary = "gradient-boosted oblivious trees (CatBoost), strong without tuning; categories as statistics"
    tasks = frozenset(Kind)

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """Depth 6 as the library's own; its steps are cheap, so there are more than of `boosting`."""
        many = n_rows >= MANY_ROWS
        return {
            "trees": 200 if many else 600 if n_rows < 20_000 or task.kind is Kind.REGRESSION else 400,
            "learning_rate": 0.1 if many else 0.06,
            "depth": 6,
            "l2": 3.0,
            "rows": 0.8,
            "columns": 0.8,
            "random_strength": 1.0,
            "smoothing": 20.0,
            "bags": 1,
        }

    def refuse(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """See `Strict`."""
        return refuse_bags(params)

    def space(self, task: Task) -> Space:
        """The parameters that matter most, over their usual decades."""
        return {
            "trees": Range(100, 1500, log=True, integer=True),
            "learning_rate": Range(0.02, 0.3, log=True),
            "depth": Range(4, 8, integer=True),
            "l2": Range(0.5, 50, log=True),
            "rows": Range(0.5, 1.0),
            "columns": Range(0.3, 1.0),
            "random_strength": Range(0.1, 10, log=True),
            "smoothing": Range(1, 200, log=True),
        }

    def fit(
        self,
        X: Matrix,
        y: Vector,
        *,
        features: tuple[Feature, ...],
        task: Task,
        params: Mapping[str, Any],
        seed: int,
        threads: int,
    ) -> Fitted:
        """Fit, once for each bag; the same for any number of threads."""
        constant = only_class(y, task)
        if constant is not None:
            return constant
        catboost = need_model("catboost")
        encoding = fit_target_codes(X, y, features=features, task=task, smoothing=params["smoothing"])
        Z = encoding.apply(X)
        if np.array_equal(
            Z, np.broadcast_to(Z[0], Z.shape), equal_nan=True
        ):  # CatBoost refuses columns that don't vary
            return Constant(tuple(np.atleast_1d(_overall(y, task)).tolist()), task)
        drawn = params["rows"] < 1.0 and len(X) >= FEW_ROWS
        codes = y if task.kind is Kind.REGRESSION else y.astype(np.int64)
        classes: tuple[int, ...] = ()
        if task.kind is Kind.MULTICLASS:
            classes = tuple(int(c) for c in np.unique(y))
        settings = _settings(params, task, threads, drawn=drawn)

        def one(number: int) -> Fitted:
            model = catboost.CatBoost({**settings, "random_seed": number})
            model.fit(Z, codes)
            return FittedCatBoost(encoding, model, classes, task)

        return fit_bags(one, task, params["bags"], seed)


def _settings(params: Mapping[str, Any], task: Task, threads: int, *, drawn: bool) -> dict[str, Any]:
    return {
        "loss_function": _LOSS[task.kind],
        "iterations": params["trees"],
        "learning_rate": params["learning_rate"],
        "depth": params["depth"],
        "l2_leaf_reg": params["l2"],
        "bootstrap_type": "Bernoulli" if drawn else "No",
        **({"subsample": params["rows"]} if drawn else {}),
        "rsm": params["columns"],
        "random_strength": params["random_strength"],
        "boosting_type": "Plain",
        "thread_count": threads,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }


def _overall(y: Vector, task: Task) -> Vector:
    if task.kind is Kind.MULTICLASS:
        return np.bincount(y.astype(np.int64), minlength=len(task.classes)) / len(y)
    return np.asarray(y.mean(), np.float64)


CATBOOST = CatBoost()
