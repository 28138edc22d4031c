"""Gradient-boosted trees: XGBoost (Chen & Guestrin, KDD 2016), categories and nulls split natively."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.bags import fit_bags, refuse_bags
from headrace.learn.candidate import Fitted, Matrix, Range, Space, Vector
from headrace.learn.constant import only_class
from headrace.learn.links import emit_link, emit_spread, link, spread
from headrace.learn.needs import need_model
from headrace.learn.other_trees import from_xgboost, xgboost_base, xgboost_leaves

MANY_ROWS = 1_000_000
_OBJECTIVE = {
    Kind.REGRESSION: "reg:squarederror",
    Kind.BINARY: "binary:logistic",
    Kind.MULTICLASS: "multi:softprob",
}


@dataclass(frozen=True)
class FittedXGBoost:
    """A booster; its answers are sums in double of the leaves that it finds (its own are float32).
    `types`: how it reads each column. `classes`: the codes it knows (multiclass)."""

    booster: Any
    types: tuple[str, ...]
    classes: tuple[int, ...]
    task: Task

    @property
    def _targets(self) -> int:
        return len(self.classes) if self.task.kind is Kind.MULTICLASS else 1

    @cached_property
    def _model(self) -> dict[str, Any]:
        model: dict[str, Any] = json.loads(self.booster.save_raw("json").decode())
        return model

    def score(self, X: Matrix) -> Vector:
        """[rows], or [rows, classes] for multiclass."""
        return link(self.task, self.raw(X))

    def emit(self, g: GraphBuilder, x: str) -> str:
        """One tree node, the base score, the link."""
        return emit_link(g, self.task, self.emit_raw(g, x))

    def emit_raw(self, g: GraphBuilder, x: str) -> str:
        """See `learn.bags.Raw`."""
        sums = from_xgboost(self._model, self._targets).emit(g, x)
        base = g.constant(xgboost_base(self._model, self._targets), np.float64)
        raw = g.node("Add", sums, base)
        if self.task.kind is Kind.MULTICLASS:
            raw = emit_spread(g, self.task, self.classes, raw)
        return raw

    def contributions(self, X: Matrix) -> Vector:
        """See `Explained`; a class that training rows lack gets nothing."""
        found = np.asarray(self.booster.predict(matrix(X, self.types), pred_contribs=True), np.float64)
        if self.task.kind is not Kind.MULTICLASS:
            return found
        every = np.zeros((len(X), X.shape[1] + 1, len(self.task.classes)))
        every[:, :, list(self.classes)] = found.transpose(0, 2, 1)
        return every

    def raw(self, X: Matrix) -> Vector:
        """See `learn.bags.Raw`."""
        found = np.asarray(self.booster.predict(matrix(X, self.types), pred_leaf=True), np.int64)
        raw = np.zeros((len(X), self._targets))
        for number, values in enumerate(xgboost_leaves(self._model)):
            raw[:, number % self._targets] += values[found.reshape(len(X), -1)[:, number]]
        raw += xgboost_base(self._model, self._targets)
        return spread(self.task, self.classes, raw) if self.task.kind is Kind.MULTICLASS else raw


def matrix(X: Matrix, types: tuple[str, ...], y: Vector | None = None) -> Any:
    """XGBoost's form of rows; codes are categories (type c)."""
    xgboost = need_model("xgboost")
    return xgboost.DMatrix(np.ascontiguousarray(X), y, feature_types=list(types), enable_categorical=True)


class XGBoost:
    """XGBoost by histograms."""

    name = "xgboost"
    library = "xgboost"
    summary = "gradient-boosted trees (XGBoost), grown level by level"
    tasks = frozenset(Kind)

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """As `boosting`: no early stopping, leaves that fit the number of rows."""
        many = n_rows >= MANY_ROWS
        return {
            "trees": 100 if many else 600 if task.kind is Kind.REGRESSION else 200,
            "learning_rate": 0.1 if many else 0.05,
            "depth": 6,
            "min_weight": 1.0 if n_rows < 2000 else 5.0,
            "columns": 0.7,
            "rows": 1.0 if many else 0.8,
            "l1": 0.0,
            "l2": 1.0,
            "min_gain": 0.0,
            "bags": 1,
        }

    def refuse(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """See `Strict`."""
        return refuse_bags(params)

    def space(self, task: Task) -> Space:
        """The parameters that matter most, over their usual decades."""
        return {
            "trees": Range(100, 1500, log=True, integer=True),
            "learning_rate": Range(0.01, 0.2, log=True),
            "depth": Range(3, 10, integer=True),
            "min_weight": Range(0.5, 500, log=True),
            "columns": Range(0.2, 1.0),
            "rows": Range(0.5, 1.0),
            "l1": Range(1e-4, 10, log=True),
            "l2": Range(0.01, 100, log=True),
            "min_gain": Range(1e-4, 5, log=True),
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
        """Fit, once for each bag; one draw of rows and columns a tree."""
        constant = only_class(y, task)
        if constant is not None:
            return constant
        xgboost = need_model("xgboost")
        types = tuple("c" if f.kind is FeatureKind.CATEGORY else "float" for f in features)
        settings: dict[str, Any] = {
            "objective": _OBJECTIVE[task.kind],
            "eta": params["learning_rate"],
            "max_depth": params["depth"],
            "min_child_weight": params["min_weight"],
            "colsample_bytree": params["columns"],
            "subsample": params["rows"],
            "alpha": params["l1"],
            "lambda": params["l2"],
            "gamma": params["min_gain"],
            "nthread": threads,
            "tree_method": "hist",
            "verbosity": 0,
        }
        classes: tuple[int, ...] = ()
        if task.kind is Kind.MULTICLASS:  # it wants codes without gaps
            known, codes = np.unique(y, return_inverse=True)
            classes, y = tuple(int(c) for c in known), codes.astype(np.float64)
            settings["num_class"] = len(classes)
        rows = matrix(X, types, y)

        def one(drawn: int) -> Fitted:
            booster = xgboost.train({**settings, "seed": drawn}, rows, num_boost_round=params["trees"])
            return FittedXGBoost(booster, types, classes, task)

        return fit_bags(one, task, params["bags"], seed)


XGBOOST = XGBoost()
