"""Linear models that learn row by row: River's, each row looked at once, in the order of the rows.

What a fit has learned is a few numbers for every column, so that learning can go on where it stopped, and
comes to the same bits as if it had not (`learn.continuing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.core.task import Feature, Kind, Task
from headrace.learn.candidate import Fitted, Matrix, Range, Space, Vector
from headrace.learn.candidates.linear import FittedLinear
from headrace.learn.constant import only_class
from headrace.learn.dense import Dense
from headrace.learn.encode import category_columns, code_indices, code_names
from headrace.learn.links import NEVER
from headrace.learn.needs import need_model

FAR = 10.0
"""Inputs beyond so many standard deviations are read as so many: one row must not throw the weights away."""
_ONE, _TARGET = "1", "y"
_BLOCK = 4096


@dataclass(frozen=True)
class _Keys:
    """What River knows the inputs by: a number's value, its being null, each code of a category. Names of
    categories, not their codes, which may change from one set of training rows to the next."""

    numbers: tuple[int, ...]
    values: tuple[str, ...]
    nulls: tuple[str, ...]
    codes: Mapping[int, tuple[str, ...]]

    @staticmethod
    def of(features: tuple[Feature, ...]) -> _Keys:
        categories = category_columns(features)
        numbers = tuple(i for i in range(len(features)) if i not in categories)
        return _Keys(
            numbers,
            tuple(f"value {features[i].name}" for i in numbers),
            tuple(f"null {features[i].name}" for i in numbers),
            {i: tuple(f"code {features[i].name} {n}" for n in code_names(features[i])) for i in categories},
        )

    def rows(self, X: Matrix) -> Iterator[tuple[dict[str, float], list[str]]]:
        """Of each row the numbers that it has, and the keys that are 1 in it."""
        nulls = dict(zip(self.values, self.nulls, strict=True))
        for start in range(0, len(X), _BLOCK):
            block = X[start : start + _BLOCK]
            named = [
                np.array(n, object)[code_indices(block[:, i], len(n))].tolist() for i, n in self.codes.items()
            ]
            for i, row in enumerate(block[:, list(self.numbers)].astype(np.float64).tolist()):
                known = {k: v for k, v in zip(self.values, row, strict=True) if v == v}  # NaN is not
                ones = [nulls[k] for k in self.values if k not in known] if len(known) < len(row) else []
                yield known, ones + [names[i] for names in named]


@dataclass
class _Learner:
    """River's parts, and how many rows they have learned of. Live.

    Numbers are standardised by what is known up to their row, a null is the mean and a flag; so is a
    regression's target.
    """

    task: Task
    model: Any
    inputs: Any
    target: Any
    rows: int = 0

    @staticmethod
    def new(task: Task, params: Mapping[str, Any]) -> _Learner:
        """One that has learned nothing."""
        linear_model, optim = need_model("river.linear_model", "watch"), need_model("river.optim", "watch")
        preprocessing = need_model("river.preprocessing", "watch")
        steps = optim.schedulers.InverseScaling(float(params["learning_rate"]), float(params["decay"]))
        more = {"optimizer": optim.SGD(steps), "l2": float(params["penalty"])}
        if task.kind is Kind.MULTICLASS:
            model = linear_model.SoftmaxRegression(**more)
        elif task.kind is Kind.BINARY:
            model = linear_model.LogisticRegression(**more, intercept_lr=steps)
        else:
            # steps grow with the error: many inputs that go together would throw each other ever further
            model = linear_model.LinearRegression(**more, intercept_lr=steps, clip_gradient=FAR)
        return _Learner(task, model, preprocessing.StandardScaler(), preprocessing.StandardScaler())

    def learn(self, known: dict[str, float], ones: list[str], y: float) -> None:
        """One row."""
        self.inputs.learn_one(known)
        z = {k: min(max(v, -FAR), FAR) for k, v in self.inputs.transform_one(known).items()}
        z.update(dict.fromkeys(ones, 1.0))
        if self.task.kind is Kind.BINARY:
            self.model.learn_one(z, y == 1.0)
        elif self.task.kind is Kind.MULTICLASS:
            z[_ONE] = 1.0  # River's softmax has no intercept
            self.model.learn_one(z, int(y))
        else:
            truth = {_TARGET: y}
            self.target.learn_one(truth)
            self.model.learn_one(z, min(max(self.target.transform_one(truth)[_TARGET], -FAR), FAR))
        self.rows += 1

    def plain(self) -> dict[str, Any]:
        """What was learned, ready for JSON. Lists: sums come to the same bits in the same order alone."""
        model, outputs = self.model, []
        if self.task.kind is Kind.MULTICLASS:
            for code, weights in model.weights.items():
                steps = model.optimizers[code].n_iterations
                outputs.append([code, 0.0, steps, [list(w) for w in weights.items()]])
        else:
            weights = [list(w) for w in model.weights.items()]
            outputs.append([1, model.intercept, model.optimizer.n_iterations, weights])
        return {
            "rows": self.rows,
            "inputs": _scales(self.inputs),
            "target": _scales(self.target),
            "outputs": outputs,
        }

    def resume(self, learned: Mapping[str, Any]) -> None:
        """Be where another one was when it told `plain`."""
        self.rows = learned["rows"]
        for scaler, told in ((self.inputs, learned["inputs"]), (self.target, learned["target"])):
            for key, count, mean, var in told:
                scaler.counts[key], scaler.means[key], scaler.vars[key] = count, mean, var
        for code, intercept, steps, weights in learned["outputs"]:
            if self.task.kind is Kind.MULTICLASS:
                self.model.weights[code].update(dict(weights))
                self.model.optimizers[code].n_iterations = steps
            else:
                self.model.intercept, self.model.optimizer.n_iterations = intercept, steps
                for key, weight in weights:
                    self.model._weights[key] = weight  # River has no public way to set them


def _scales(scaler: Any) -> list[list[Any]]:
    return [[k, n, float(scaler.means[k]), float(scaler.vars[k])] for k, n in scaler.counts.items()]


def _fitted(keys: _Keys, task: Task, learned: Mapping[str, Any]) -> FittedLinear:
    """The linear model that was learned, in the project's own encoding."""
    outputs = {code: (intercept, dict(weights)) for code, intercept, _, weights in learned["outputs"]}
    met = {key for _, weights in outputs.values() for key in weights}
    known = {key: (mean, var**0.5 or 1.0) for key, _, mean, var in learned["inputs"]}
    centres = np.array([known.get(k, (0.0, 1.0)) for k in keys.values], np.float64).reshape(-1, 2)
    flagged = [i for i, key in enumerate(keys.nulls) if key in met]
    seen = [
        (column, tuple(c for c, key in enumerate(names) if key in met), len(names))
        for column, names in keys.codes.items()
    ]
    dense = Dense(
        np.array(keys.numbers, np.int64),
        medians=centres[:, 0],  # a null is the mean
        means=centres[:, 0],
        scales=centres[:, 1],
        flagged=np.array(flagged, np.int64),
        seen=tuple(seen),
    )
    columns = [*keys.values, *(keys.nulls[i] for i in flagged)]
    columns += [keys.codes[column][c] for column, codes, _ in seen for c in codes]
    width = len(task.classes) if task.kind is Kind.MULTICLASS else 1
    weights, intercept = np.zeros((len(columns), width)), np.full(width, NEVER)
    for code, (constant, learned_weights) in outputs.items():
        at = code if task.kind is Kind.MULTICLASS else 0
        weights[:, at] = [learned_weights.get(key, 0.0) for key in columns]
        intercept[at] = learned_weights.get(_ONE, constant)
    if task.kind is Kind.REGRESSION:
        ((_, _, mean, var),) = learned["target"]
        weights, intercept = weights * var**0.5, intercept * var**0.5 + mean
    return FittedLinear(dense, weights, intercept, task, FAR)


class River:
    """Stochastic gradient descent on one row after the other, in their order: what comes later counts more
    (Robbins & Monro 1951, Annals of Mathematical Statistics 22)."""

    name = "river"
    summary = "River's linear models: learn row by row, and go on with every new row"
    tasks = frozenset(Kind)
    library = "river"
    extra = "watch"

    def refuse(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """See `Strict`."""
        if not params["learning_rate"] > 0:
            yield "learning_rate", "a number above 0"
        if not 0 <= params["decay"] <= 1:
            yield "decay", "a number from 0 to 1"
        if not params["penalty"] >= 0:
            yield "penalty", "0 or more"

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """None depends on the number of rows: what was learned of fewer has to stay of use.

        `learning_rate`: of the first step; less for many features, whose steps add up. `decay`: step t is the
        first by t to this power. `penalty`: of squared weights, at every step.
        """
        first, most = (0.03, 0.3) if task.kind is Kind.REGRESSION else (0.1, 2.0)
        return {"learning_rate": min(first, most / (n_features + 1)), "decay": 0.25, "penalty": 0.0}

    def space(self, task: Task) -> Space:
        """Steps, how they fall, and how much weights are held."""
        return {
            "learning_rate": Range(1e-4, 0.1, log=True),
            "decay": Range(0.0, 0.5),
            "penalty": Range(1e-6, 0.1, log=True),
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
        """Learn every row, once."""
        return self.carry_on(X, y, features=features, task=task, params=params, learned=None)[0]

    def carry_on(
        self,
        X: Matrix,
        y: Vector,
        *,
        features: tuple[Feature, ...],
        task: Task,
        params: Mapping[str, Any],
        learned: Mapping[str, Any] | None,
    ) -> tuple[Fitted, Mapping[str, Any]]:
        """See `Continues`."""
        learner, keys = _Learner.new(task, params), _Keys.of(features)
        if learned is not None:
            learner.resume(learned)
        at = learner.rows
        for (known, ones), truth in zip(keys.rows(X[at:]), y[at:].tolist(), strict=True):
            learner.learn(known, ones, truth)
        told = learner.plain()
        constant = only_class(y, task)
        return (_fitted(keys, task, told) if constant is None else constant), told


RIVER = River()
