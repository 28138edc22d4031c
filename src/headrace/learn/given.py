"""Models that somebody else has fitted: scikit-learn estimators and ONNX files, as `Fitted`.

They read the feature matrix as it is: float32, NaN for null, codes for categories. What is served is the
graph; an estimator is converted by skl2onnx, and compared with its graph on real rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from headrace.core.errors import UserError
from headrace.core.task import Feature, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Space, Vector
from headrace.learn.foreign import answers, convert, element, is_forest, require_equal, sample
from headrace.learn.needs import need
from headrace.learn.onnx_merge import merge

FARTHEST = np.float32(1e15)
"""Features beyond it are taken as this far: scalers and squares of what is given overflow float32 sooner."""


@dataclass(frozen=True)
class GivenModel:
    """An ONNX model, and the estimator that it was converted from where there is one.

    `codes` are the classes' codes in the order of the model's columns.
    """

    name: str
    model: Any
    task: Task
    codes: tuple[int, ...]
    estimator: Any = None

    def score(self, X: Matrix) -> Vector:
        """What the estimator answers; without one, what the model does."""
        if self.estimator is None:
            return answers(self.name, self, self.task, X)
        X = np.clip(X, -FARTHEST, FARTHEST)
        if self.task.kind is Kind.REGRESSION:
            return _asked(self.name, self.estimator.predict, X).reshape(len(X))
        out = np.zeros((len(X), len(self.task.classes)))
        out[:, [int(c) for c in self.estimator.classes_]] = _asked(self.name, self.estimator.predict_proba, X)
        return out[:, 1] if self.task.kind is Kind.BINARY else out

    def emit(self, g: GraphBuilder, x: str) -> str:
        """The model's nodes behind the matrix."""
        for compare, end in (("Greater", FARTHEST), ("Less", -FARTHEST)):  # Clip would lose NaN
            limit = g.constant(end, np.float32)
            x = g.node("Where", g.node(compare, x, limit), limit, x)
        if element(self.model) == TensorProto.DOUBLE:
            x = g.node("Cast", x, to=TensorProto.DOUBLE)
        raw = g.node("Cast", merge(g, self.model, x)[-1], to=TensorProto.DOUBLE)
        if self.task.kind is Kind.REGRESSION:
            return g.node("Reshape", raw, g.constant([-1], np.int64))
        if self.task.kind is Kind.BINARY:
            if len(self.codes) == 1:  # the probability of the positive class alone
                return g.node("Reshape", raw, g.constant([-1], np.int64))
            return g.node("Gather", raw, g.constant(self.codes.index(1), np.int64), axis=1)
        padded = g.node("Pad", raw, g.constant([0, 0, 0, 1], np.int64))
        last = len(self.codes)
        order = [self.codes.index(c) if c in self.codes else last for c in range(len(self.task.classes))]
        return g.node("Gather", padded, g.constant(order, np.int64), axis=1)


GIVEN = "given"
"""What a given model's line says it is; no spec can name it."""


@dataclass(frozen=True)
class GivenCandidate:
    """A candidate that was fitted before it came here: fitting it gives what was given."""

    fitted: GivenModel

    name: str = GIVEN
    summary: str = "a model that a script gave"

    @property
    def tasks(self) -> frozenset[Kind]:
        """The one that it was fitted for."""
        return frozenset({self.fitted.task.kind})

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """None: it is fitted."""
        return {}

    def space(self, task: Task) -> Space:
        """Nothing to search."""
        return {}

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
        """What was given, whatever the rows are."""
        return self.fitted


def given_model(model: Any, task: Task, X: Matrix) -> GivenModel:
    """A fitted scikit-learn estimator (or pipeline), or the path of an ONNX file, as `Fitted`.

    X: float32 [rows, features], real rows to compare estimator and graph on.

    An ONNX file has one input, float32 [rows, features]; its last output is a regression's values [rows] or
    [rows, 1], the probability of the positive class [rows] or [rows, 1], or probabilities [rows, classes] in
    the order of the task's classes.

    Raises:
        UserError: the model is of another kind, does not fit the task, can't be turned into a graph, or
            answers otherwise than its graph does.
    """
    fitted = _from_file(Path(model), task, X) if isinstance(model, str | Path) else _converted(model, task, X)
    probe = sample(X)
    got = answers(fitted.name, fitted, task, probe)
    if not np.isfinite(got).all():
        raise UserError(f"{fitted.name} gave scores that are not finite", fix="look at how it treats NaN")
    if fitted.estimator is not None:
        require_equal(fitted.name, got, fitted.score(probe))
    return fitted


def restored(name: str, data: bytes, task: Task, codes: tuple[int, ...]) -> GivenModel:
    """A given model from the bytes of its graph."""
    return GivenModel(name, need("onnx").load_from_string(data), task, codes)


def _asked(name: str, answer: Any, X: Matrix) -> Vector:
    """What the estimator says of rows.

    Raises:
        UserError: it raised, as many do on nulls.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # edge rows overflow; what comes of it is compared
            return np.asarray(answer(X), np.float64)
    except Exception as error:  # user-code boundary: estimators may be anybody's
        nulls = bool(np.isnan(X).any())
        raise UserError(
            f"{name} can't answer rows" + (" with nulls, which requests may hold" if nulls else ""),
            why=f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}",
            fix="put an imputer first: make_pipeline(SimpleImputer(), …)" if nulls else "look at its input",
        ) from error


def _from_file(path: Path, task: Task, X: Matrix) -> GivenModel:
    onnx = need("onnx")
    try:
        model = onnx.load(str(path))
    except FileNotFoundError:
        raise UserError(f"there is no file {str(path)!r}", fix="give the path of an ONNX file") from None
    except Exception as error:  # user-code boundary: bytes from elsewhere
        raise UserError(f"{path.name} is no ONNX file", why=str(error).splitlines()[0]) from error
    if len(model.graph.input) != 1:
        names = ", ".join(i.name for i in model.graph.input)
        raise UserError(
            f"{path.name} has {len(model.graph.input)} inputs: {names}",
            fix="export it with one input, the float32 matrix [rows, features]",
        )
    width = _width(path.name, model, X)
    wanted = {1} if task.kind is Kind.REGRESSION else {len(task.classes)}
    if task.kind is Kind.BINARY:
        wanted.add(1)
    if width not in wanted:
        raise UserError(
            f"{path.name} answers {width} numbers a row; this {task.kind} task takes "
            + " or ".join(map(str, sorted(wanted)))
        )
    codes = (1,) if task.kind is Kind.BINARY and width == 1 else tuple(range(width))
    return GivenModel(path.name, model, task, codes)


def _width(name: str, model: Any, X: Matrix) -> int:
    """How many numbers a row the model's last output holds."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answer = np.asarray(session.run(None, {session.get_inputs()[0].name: X[:2]})[-1])
    except Exception as error:  # user-code boundary: graphs from elsewhere
        raise UserError(
            f"{name} does not run on the feature matrix",
            why=str(error).splitlines()[0][:300],
            fix=f"its input has to take float32 [rows, {X.shape[1]}]",
        ) from error
    return 1 if answer.ndim < 2 else int(answer.shape[1])


def _converted(estimator: Any, task: Task, X: Matrix) -> GivenModel:
    name = type(estimator).__name__
    answers = "predict" if task.kind is Kind.REGRESSION else "predict_proba"
    if not hasattr(estimator, answers):
        raise UserError(
            f"{name} has no {answers}",
            why=f"a {task.kind} task needs it",
            fix="give a fitted scikit-learn estimator, or the path of an ONNX file",
        )
    codes: tuple[int, ...] = ()
    if task.kind is not Kind.REGRESSION:
        try:
            codes = tuple(int(c) for c in estimator.classes_)
        except (AttributeError, TypeError, ValueError):
            codes = (-1,)
        if any(c not in range(len(task.classes)) for c in codes):
            raise UserError(
                f"{name} was not fitted on the codes of this task's classes",
                fix="fit it on the y that data() gives",
            )
    if is_forest(type(estimator)):
        width = 1 if task.kind is Kind.BINARY else len(task.classes)
        trees = _trees(estimator, task, X.shape[1])
        return GivenModel(name, trees, task, (1,) if width == 1 else tuple(range(width)), estimator)
    return GivenModel(name, convert(name, estimator, X), task, codes, estimator)


def _trees(estimator: Any, task: Task, width: int) -> Any:
    """Trees as our own nodes: skl2onnx's forget which way a null goes."""
    from headrace.learn.candidates._sktrees import tree_mean

    g = GraphBuilder()
    score = tree_mean(estimator, task).emit(g, g.matrix_input("x", width))
    g.output(score, "score", TensorProto.DOUBLE, [None] * (1 + (task.kind is Kind.MULTICLASS)))
    return need("onnx").load_from_string(g.build())
