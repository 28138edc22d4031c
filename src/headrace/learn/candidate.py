"""What a candidate is: how it is fitted, what it answers, and how it becomes graph nodes.

A candidate doesn't know where its rows come from, how it is validated or who else competes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import Problem, UserError, did_you_mean
from headrace.core.task import Feature, Kind, Task
from headrace.graph.build import GraphBuilder

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]
Param = bool | int | float | str | None


@dataclass(frozen=True)
class Range:
    """A parameter that may be any number from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Choice:
    """A parameter that is one of `options`."""

    options: tuple[Param, ...]


Space = Mapping[str, Range | Choice]
"""What a tuner may vary, as data. Parameters that are not named keep their defaults."""


@runtime_checkable
class Fitted(Protocol):
    """A model that has been fitted. Immutable; `score` and `emit` may be called by several threads."""

    def score(self, X: Matrix) -> Vector:
        """float64 scores of a float32 matrix [rows, features].

        regression: values [rows]; binary: probability of code 1 [rows]; multiclass: [rows, classes],
        every row adding up to 1. Always finite, also for rows that are all NaN.
        """
        ...

    def emit(self, g: GraphBuilder, x: str) -> str:
        """Add nodes that compute `score` from the float32 matrix tensor `x`; the double tensor's name."""
        ...


@runtime_checkable
class Explained(Protocol):
    """A fitted model that can say exactly what each feature added to its raw score."""

    def contributions(self, X: Matrix) -> Vector:
        """SHAP values of trees (TreeSHAP, Lundberg et al. 2020, Nature Machine Intelligence 2).

        X: float32 [rows, features]. float64 [rows, features + 1], the last column the raw score of no row in
        particular; a row's sum is its raw score: the value itself (regression) or log-odds (binary).
        multiclass: [rows, features + 1, classes], raw scores before the softmax.
        """
        ...


@runtime_checkable
class Candidate(Protocol):
    """A way to learn. Holds no state: the same arguments give the same fitted model."""

    @property
    def name(self) -> str:
        """How a spec names it."""
        ...

    @property
    def summary(self) -> str:
        """One line for people."""
        ...

    @property
    def tasks(self) -> frozenset[Kind]:
        """The kinds of task it can learn."""
        ...

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """Every parameter with its default for a training set of this size. No other is known."""
        ...

    def space(self, task: Task) -> Space:
        """The search space; its names are among the defaults'."""
        ...

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
        """Fit on a float32 matrix [rows, features] and float64 codes or values [rows].

        `params` is complete (see `resolve_params`). Some classes may be absent from `y`.

        Raises:
            UserError: a parameter's value is impossible.
            MissingDependency: the library it needs is not installed.
        """
        ...


@runtime_checkable
class Continues(Protocol):
    """A candidate that looks at every row once, in their order, and can go on from what it has learned."""

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
        """`Candidate.fit`, and what was learned (JSON; `rows`: of how many).

        learned: what an earlier call with the same parameters told, whose rows are the first of these: the
        result is the same, to the bit, as without it (None).
        """
        ...


@runtime_checkable
class Strict(Protocol):
    """A candidate that knows impossible values of its parameters before it is fitted."""

    def refuse(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Each parameter whose value is impossible, and what it wants instead."""
        ...


@runtime_checkable
class Limited(Protocol):
    """A candidate that is only for so many rows."""

    def most_rows(self, params: Mapping[str, Any]) -> int | None:
        """The most rows it is fitted on with these parameters; None: any number."""
        ...


def check_size(candidate: Candidate, params: Mapping[str, Any], n_rows: int) -> None:
    """Ask a candidate before the first fold whether it takes all rows: the final fit will need to.

    Raises:
        UserError: there are more than it takes.
    """
    most = candidate.most_rows(params) if isinstance(candidate, Limited) else None
    if most is not None and n_rows > most:
        raise UserError(
            f"{candidate.name} is for at most {most:,} training rows with these parameters, not {n_rows:,}",
            where=f"models: {candidate.name}",
            why="every answer is compared with the kept rows, and fitting takes their square",
            fix="take boosting, forest or linear",
        )


def resolve_params(
    candidate: Candidate, task: Task, n_rows: int, n_features: int, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The candidate's defaults with `given` on top.

    Raises:
        UserError: unknown parameters, values of another type and impossible ones, all of them at once; or
            the candidate can't learn this kind of task.
    """
    if task.kind not in candidate.tasks:
        able = ", ".join(sorted(candidate.tasks))
        raise UserError(
            f"{candidate.name} can't learn a {task.kind} task",
            where=f"models: {candidate.name}",
            fix=f"it learns: {able}; take another model for this task",
        )
    params = candidate.defaults(task, n_rows, n_features)
    problems = []
    for name, value in given.items():
        where = f"models: {candidate.name}"
        if name not in params:
            what = f"{candidate.name} has no parameter {name!r}"
            problems.append(Problem(what, where=where, fix=did_you_mean(name, params)))
        elif ":" not in candidate.name and not _fits(value, params[name]):
            # (an estimator of scikit-learn's takes several types where its default has one)
            what = f"{name} = {value!r} is of the wrong type"
            problems.append(Problem(what, where=where, fix=f"write it like its default, {params[name]!r}"))
    merged = {**params, **given}
    if isinstance(candidate, Strict) and not problems:
        where = f"models: {candidate.name}"
        for name, wanted in candidate.refuse(merged):
            what = f"{name} = {merged[name]!r} is impossible"
            problems.append(Problem(what, where=where, fix=f"give {wanted}"))
    if problems:
        raise UserError.of(problems)
    return merged


def _fits(value: object, default: object) -> bool:
    """Whether a value may stand where `default` stands: whole numbers pass as floats, bools not."""
    if default is None or value is None:
        return default is None
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
