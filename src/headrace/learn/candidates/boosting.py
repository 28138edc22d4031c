"""Gradient-boosted trees: LightGBM (Ke et al., NeurIPS 2017), categories and nulls split natively."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.core.task import Feature, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.bags import fit_bags, refuse_bags
from headrace.learn.candidate import Fitted, Matrix, Range, Space, Vector
from headrace.learn.constant import only_class
from headrace.learn.encode import category_columns
from headrace.learn.links import emit_link, link
from headrace.learn.needs import need
from headrace.learn.trees import from_lightgbm

MANY_ROWS = 1_000_000
"""Above it, fewer and faster steps: noise is small, and time is not."""

_OBJECTIVE = {Kind.REGRESSION: "regression", Kind.BINARY: "binary", Kind.MULTICLASS: "multiclass"}


@dataclass(frozen=True)
class FittedBoosting:
    """A LightGBM booster that answers raw scores; the link is ours, the same in numpy and in the graph."""

    booster: Any
    task: Task
    threads: int

    def score(self, X: Matrix) -> Vector:
        """[rows], or [rows, classes] for multiclass."""
        return link(self.task, self.raw(X))

    def raw(self, X: Matrix) -> Vector:
        """See `learn.bags.Raw`."""
        # one-row calls would pay LightGBM's thread start-up; batches use what fit was given
        raw = self.booster.predict(np.ascontiguousarray(X), raw_score=True, num_threads=self.threads)
        return np.asarray(raw, np.float64).reshape(len(X), -1)

    def emit(self, g: GraphBuilder, x: str) -> str:
        """One tree node and the link."""
        return emit_link(g, self.task, self.emit_raw(g, x))

    def emit_raw(self, g: GraphBuilder, x: str) -> str:
        """One tree node."""
        return from_lightgbm(self.booster.model_to_string()).emit(g, x)

    def contributions(self, X: Matrix) -> Vector:
        """See `Explained`."""
        found = self.booster.predict(np.ascontiguousarray(X), pred_contrib=True, num_threads=self.threads)
        found = np.asarray(found, np.float64)
        if self.task.kind is not Kind.MULTICLASS:
            return found
        return np.ascontiguousarray(found.reshape(len(X), -1, X.shape[1] + 1).transpose(0, 2, 1))


class Boosting:
    """LightGBM with fixed threads' order, so that the same rows and seed give the same trees."""

    name = "boosting"
    summary = "gradient-boosted trees (LightGBM), usually the strongest on tables"
    tasks = frozenset(Kind)

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """No early stopping: it would need rows of its own, and which ones depends on the split.

        Where rows are few, a leaf holds a 40th of them or ten: leaves of 50 can't split 100 rows.

        random_cuts: of each column one cut is drawn and the best column taken (Extremely randomized trees:
        Geurts, Ernst & Wehenkel, Machine Learning 63, 2006). A tree then takes less time and says less of
        these very rows; several bags make up for what one draw costs.
        """
        many = n_rows >= MANY_ROWS
        regression = task.kind is Kind.REGRESSION
        return {
            "trees": 100 if many else 800 if regression else 200,
            "learning_rate": 0.1 if many else 0.05,
            "leaves": 31,
            "min_leaf": min(20 if regression else 50, max(10, n_rows // 40)),
            "columns": 1.0 if many else 0.7,
            "rows": 1.0 if many else 0.8,
            "l1": 0.0,
            "l2": 0.0,
            "category_smooth": 10.0,
            "bins": 255,
            "random_cuts": False,
            "bags": 1,
        }

    def refuse(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """See `Strict`."""
        yield from refuse_bags(params)
        if not 2 <= params["bins"] <= 65_535:
            yield "bins", "a whole number from 2 to 65,535"

    def space(self, task: Task) -> Space:
        """The parameters that matter most, over their usual decades. Leaves up to thousands of rows: where
        rows of one day share their fate, a leaf has to span many days to be no memory of one."""
        return {
            "trees": Range(100, 2000, log=True, integer=True),
            "learning_rate": Range(0.01, 0.2, log=True),
            "leaves": Range(7, 255, log=True, integer=True),
            "min_leaf": Range(5, 3000, log=True, integer=True),
            "columns": Range(0.2, 1.0),
            "rows": Range(0.5, 1.0),
            "l1": Range(1e-4, 10, log=True),
            "l2": Range(0.001, 100, log=True),
            "category_smooth": Range(1, 200, log=True),
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
        """Bin the float32 matrix without copying it, then boost, once for each bag."""
        constant = only_class(y, task)
        if constant is not None:
            return constant
        lightgbm = need("lightgbm")
        # binned once for all bags
        rows = lightgbm.Dataset(
            np.ascontiguousarray(X),
            y,
            categorical_feature=category_columns(features),
            params=_settings(params, seed, threads),
            free_raw_data=True,
        )

        def one(drawn: int) -> Fitted:
            settings = {**_settings(params, drawn, threads), "objective": _OBJECTIVE[task.kind]}
            if task.kind is Kind.MULTICLASS:
                settings["num_class"] = len(task.classes)
            booster = lightgbm.train(settings, rows, num_boost_round=params["trees"])
            return FittedBoosting(booster.free_dataset(), task, threads)

        return fit_bags(one, task, params["bags"], seed)


def _settings(params: Mapping[str, Any], seed: int, threads: int) -> dict[str, Any]:
    return {
        "learning_rate": params["learning_rate"],
        "num_leaves": params["leaves"],
        "max_bin": params["bins"],
        "extra_trees": params["random_cuts"],
        "min_data_in_leaf": params["min_leaf"],
        "feature_fraction": params["columns"],
        "bagging_fraction": params["rows"],
        "bagging_freq": 0 if params["rows"] == 1.0 else 1,
        "lambda_l1": params["l1"],
        "lambda_l2": params["l2"],
        "cat_smooth": params["category_smooth"],
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_col_wise": True,
        "feature_pre_filter": False,
        "zero_as_missing": False,
        "verbosity": -1,
    }


BOOSTING = Boosting()
