"""A small neural network: scikit-learn's multi-layer perceptron, its inputs imputed and standardised."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.core.task import Feature, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Range, Space, Vector
from headrace.learn.constant import only_class
from headrace.learn.dense import Dense, fit_dense
from headrace.learn.links import emit_link, emit_spread, link, spread
from headrace.learn.needs import need

FAR = 10.0
"""Inputs beyond so many standard deviations are read as so many: a network's answers there are fancy."""
LOOKS = 4_000_000
"""How often a row is looked at in all: epochs are fewer where rows are many."""


@dataclass(frozen=True)
class FittedNetwork:
    """Layers of weights [inputs, outputs] and biases, rectified between. `classes`: the codes it knows
    (multiclass). A regression's answer is scaled back by `centre` and `spread`."""

    dense: Dense
    layers: tuple[tuple[Vector, Vector], ...]
    classes: tuple[int, ...]
    centre: float
    spread: float
    task: Task

    def score(self, X: Matrix) -> Vector:
        """[rows], or [rows, classes] for multiclass."""
        z = np.clip(self.dense.apply(X), -FAR, FAR)
        for i, (weights, bias) in enumerate(self.layers):
            z = (np.maximum(z, 0.0) if i else z) @ weights + bias
        if self.task.kind is Kind.MULTICLASS:
            z = spread(self.task, self.classes, z)
        elif self.task.kind is Kind.REGRESSION:
            z = z * self.spread + self.centre
        return link(self.task, z)

    def emit(self, g: GraphBuilder, x: str) -> str:
        """The same, as nodes."""
        z = g.node("Clip", self.dense.emit(g, x), g.constant(-FAR), g.constant(FAR))
        for i, (weights, bias) in enumerate(self.layers):
            z = g.node("Relu", z) if i else z
            z = g.node("Add", g.node("MatMul", z, g.constant(weights)), g.constant(bias))
        if self.task.kind is Kind.MULTICLASS:
            z = emit_spread(g, self.task, self.classes, z)
        elif self.task.kind is Kind.REGRESSION:
            z = g.node("Add", g.node("Mul", z, g.constant(self.spread)), g.constant(self.centre))
        return emit_link(g, self.task, z)


class Network:
    """Rectified layers of equal width, trained by Adam (Kingma & Ba 2015)."""

    name = "mlp"
    summary = "a small neural network on imputed, standardised, one-hot columns"
    tasks = frozenset(Kind)

    def refuse(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """See `Strict`."""
        for name in ("width", "layers", "batch", "epochs"):
            if params[name] < 1:
                yield name, "at least 1"
        if params["penalty"] < 0:
            yield "penalty", "0 or more"
        if not params["learning_rate"] > 0:
            yield "learning_rate", "a number above 0"

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """Every row is looked at 200 times, less often where there are more than 20,000."""
        return {
            "width": 64,
            "layers": 2,
            "penalty": 0.001,
            "learning_rate": 0.002,
            "batch": 64 if n_rows < 5_000 else 256 if n_rows < 50_000 else 1024,
            "epochs": int(np.clip(LOOKS // max(1, n_rows), 10, 200)),
        }

    def space(self, task: Task) -> Space:
        """Size, penalty and steps."""
        return {
            "width": Range(16, 256, log=True, integer=True),
            "layers": Range(1, 3, integer=True),
            "penalty": Range(1e-6, 1.0, log=True),
            "learning_rate": Range(3e-4, 1e-2, log=True),
            "epochs": Range(10, 200, log=True, integer=True),
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
        """Fit on one thread of linear algebra: more would change the last bits with their number."""
        constant = only_class(y, task)
        if constant is not None:
            return constant
        networks, pools = need("sklearn.neural_network"), need("threadpoolctl")
        regression = task.kind is Kind.REGRESSION
        dense = fit_dense(X, features)
        centre, scale = (float(y.mean()), float(y.std()) or 1.0) if regression else (0.0, 1.0)
        make = networks.MLPRegressor if regression else networks.MLPClassifier
        network = make(
            hidden_layer_sizes=(params["width"],) * params["layers"],
            alpha=params["penalty"],
            learning_rate_init=params["learning_rate"],
            batch_size=min(params["batch"], len(X)),
            max_iter=params["epochs"],
            random_state=seed,
        )
        with pools.threadpool_limits(1), warnings.catch_warnings():
            # a fit that stopped early is a worse candidate, not an error: cross-validation says how much
            warnings.simplefilter("ignore")
            Z = np.clip(dense.apply(X), -FAR, FAR)
            network.fit(Z, (y - centre) / scale if regression else y.astype(np.int64))
        layers = list(zip(network.coefs_, network.intercepts_, strict=True))
        classes: tuple[int, ...] = ()
        if task.kind is Kind.MULTICLASS:
            classes = tuple(int(c) for c in network.classes_)
            if len(classes) == 2:  # scikit-learn fits one contrast
                weights, bias = layers[-1]
                layers[-1] = np.hstack([np.zeros_like(weights), weights]), np.r_[0.0, bias]
        return FittedNetwork(dense, tuple(layers), classes, centre, scale, task)


MLP = Network()
