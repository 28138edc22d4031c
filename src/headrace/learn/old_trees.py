"""The tree ensembles of ai.onnx.ml 1 to 4, rewritten for opset 5.

skl2onnx still writes TreeEnsembleClassifier and TreeEnsembleRegressor; opset 5 has only `TreeEnsemble`,
which gives sums. What the old nodes did around it (base values, the mean, the link from sums to
probabilities, the label) becomes nodes of its own. Thresholds and weights keep the old nodes' precision,
mostly float32; sums are taken in double, and rounded to the float32 that the old nodes answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Vector
from headrace.learn.links import emit_sigmoid, emit_softmax
from headrace.learn.trees import Ensemble

_MODES = {"BRANCH_LEQ": 0, "BRANCH_LT": 1, "BRANCH_GTE": 2, "BRANCH_GT": 3, "BRANCH_EQ": 4, "BRANCH_NEQ": 5}

Attributes = Mapping[str, Any]
Leaves = dict[tuple[int, int], dict[int, float]]


def emit_regressor(g: GraphBuilder, x: str, old: Attributes) -> list[str]:
    """What TreeEnsembleRegressor answers: float [rows, targets].

    Raises:
        ValueError: an attribute says what the rewriting doesn't know.
    """
    how, link = _text(old, "aggregate_function", "SUM"), _text(old, "post_transform", "NONE")
    if how not in ("SUM", "AVERAGE") or link not in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        raise ValueError(f"TreeEnsembleRegressor with {how} and {link} has no counterpart")
    forest, targets = _read(old), int(old.get("n_targets", 1))
    weights = _weights(old, "target", forest)
    scale = 1 / len(forest.roots) if how == "AVERAGE" else 1.0
    raw = _based(g, _sums(g, x, forest, weights, targets, scale), _numbers(old, "base_values"), targets)
    return [g.node("Cast", _linked(g, raw, link), to=TensorProto.FLOAT)]


def emit_classifier(g: GraphBuilder, x: str, old: Attributes) -> list[str]:
    """What TreeEnsembleClassifier answers: the labels [rows] and their scores, float [rows, classes].

    Where there are two classes and every weight is written for the first, it means the second, and the
    first one's score complements it (1 - s where no weight is negative or a logistic link follows, else
    -s): so onnxruntime reads these nodes.

    Raises:
        ValueError: an attribute says what the rewriting doesn't know.
    """
    labels = old.get("classlabels_int64s") or [_str(label) for label in old.get("classlabels_strings", ())]
    link, forest = _text(old, "post_transform", "NONE"), _read(old)
    weights = _weights(old, "class", forest)
    base = _numbers(old, "base_values")
    if len(labels) == 2 and {t for leaf in weights.values() for t in leaf} == {0}:
        if link not in ("NONE", "LOGISTIC"):
            raise ValueError(f"TreeEnsembleClassifier of one weight with {link} has no counterpart")
        raw = _linked(g, _based(g, _sums(g, x, forest, weights, 1, 1.0), base, 1), link)
        shares = link == "LOGISTIC" or all(w >= 0 for parts in weights.values() for w in parts.values())
        rest = g.node("Sub", g.constant(1.0, np.float64), raw) if shares else g.node("Neg", raw)
        scores = g.node("Concat", rest, raw, axis=1)
    else:
        sums = _sums(g, x, forest, weights, len(labels), 1.0)
        scores = _linked(g, _based(g, sums, base, len(labels)), link)
    best = g.node("ArgMax", scores, axis=1, keepdims=0)
    names = g.constant(labels) if isinstance(labels[0], str) else g.constant(labels, np.int64)
    return [g.node("Gather", names, best, axis=0), g.node("Cast", scores, to=TensorProto.FLOAT)]


@dataclass(frozen=True)
class _Forest:
    """The nodes_* attributes by position; `at` finds the position of (tree, node); `roots` are the first
    node of each tree."""

    keys: Sequence[tuple[int, int]]
    at: Mapping[tuple[int, int], int]
    roots: Sequence[int]
    modes: Sequence[str]
    features: Sequence[int]
    splits: Vector
    yes: Sequence[int]
    no: Sequence[int]
    missing_yes: Sequence[int]


def _read(old: Attributes) -> _Forest:
    trees, nodes = old["nodes_treeids"], old["nodes_nodeids"]
    keys = list(zip(trees, nodes, strict=True))
    firsts: dict[int, int] = {}
    for i, tree in enumerate(trees):
        firsts.setdefault(tree, i)
    modes = [_str(mode) for mode in old["nodes_modes"]]
    unknown = sorted(set(modes) - set(_MODES) - {"LEAF"})
    if unknown:
        raise ValueError(f"tree nodes of mode {unknown[0]} have no counterpart")
    missing = old.get("nodes_missing_value_tracks_true") or [0] * len(keys)
    return _Forest(
        keys,
        {key: i for i, key in enumerate(keys)},
        list(firsts.values()),
        modes,
        old["nodes_featureids"],
        _numbers(old, "nodes_values"),
        old["nodes_truenodeids"],
        old["nodes_falsenodeids"],
        missing,
    )


def _weights(old: Attributes, prefix: str, forest: _Forest) -> Leaves:
    """Each leaf's weight by target; a leaf without any weighs nothing."""
    leaves: Leaves = {key: {} for key, mode in zip(forest.keys, forest.modes, strict=True) if mode == "LEAF"}
    names = (f"{prefix}_treeids", f"{prefix}_nodeids", f"{prefix}_ids")
    weights = _numbers(old, f"{prefix}_weights").tolist()
    for tree, node, target, weight in zip(*(old[n] for n in names), weights, strict=True):
        leaf = leaves[tree, node]
        leaf[target] = leaf.get(target, 0.0) + weight
    return leaves


def _sums(g: GraphBuilder, x: str, forest: _Forest, weights: Leaves, targets: int, scale: float) -> str:
    """double [rows, targets]. A leaf of `TreeEnsemble` holds one number: where it needs several, it holds
    its own number, and each target gathers its weight from a table (as `trees.emit_shares` does)."""
    if all(len(parts) <= 1 for parts in weights.values()):
        ensemble = Ensemble(targets)
        for root in forest.roots:
            _grow(ensemble, forest, root, {k: _only(weights[k], scale) for k in _leaves(forest, root)})
        return ensemble.emit(g, x)
    ensemble, table = Ensemble(len(forest.roots)), np.zeros((len(weights), targets))
    numbers = {key: i for i, key in enumerate(weights)}
    for key, parts in weights.items():
        for target, weight in parts.items():
            table[numbers[key], target] = weight * scale
    for tree, root in enumerate(forest.roots):
        _grow(ensemble, forest, root, {k: (float(numbers[k]), tree) for k in _leaves(forest, root)})
    leaves, axis = g.node("Cast", ensemble.emit(g, x), to=TensorProto.INT64), g.constant([1], np.int64)
    parts_ = [g.node("Gather", g.constant(column, np.float64), leaves, axis=0) for column in table.T]
    return g.node("Concat", *[g.node("ReduceSum", p, axis, keepdims=1) for p in parts_], axis=1)


def _only(parts: Mapping[int, float], scale: float) -> tuple[float, int]:
    """The one weight of a leaf and its target."""
    return next(((weight * scale, target) for target, weight in parts.items()), (0.0, 0))


def _tree(forest: _Forest, root: int) -> list[int]:
    """The positions of a tree's nodes that its root leads to, parents first."""
    tree, found, waiting = forest.keys[root][0], [], [root]
    while waiting:
        i = waiting.pop()
        found.append(i)
        if forest.modes[i] != "LEAF":
            waiting += [forest.at[tree, forest.no[i]], forest.at[tree, forest.yes[i]]]
    return found


def _leaves(forest: _Forest, root: int) -> list[tuple[int, int]]:
    return [forest.keys[i] for i in _tree(forest, root) if forest.modes[i] == "LEAF"]


def _grow(
    ensemble: Ensemble, forest: _Forest, root: int, answers: Mapping[tuple[int, int], tuple[float, int]]
) -> None:
    """Append one tree whose leaves answer (value, target)."""
    if forest.modes[root] == "LEAF":
        ensemble.stump(*answers[forest.keys[root]])
        return
    made: dict[int, tuple[int, bool]] = {}
    nodes = _tree(forest, root)
    for i in nodes:
        if forest.modes[i] == "LEAF":
            made[i] = ensemble.leaf(*answers[forest.keys[i]]), True
        else:
            mode, way = _MODES[forest.modes[i]], bool(forest.missing_yes[i])
            split = float(forest.splits[i])
            made[i] = ensemble.branch(int(forest.features[i]), split, mode, missing_yes=way), False
    tree = forest.keys[root][0]
    for i in nodes:
        if forest.modes[i] != "LEAF":
            yes, no = (made[forest.at[tree, way[i]]] for way in (forest.yes, forest.no))
            ensemble.link(made[i][0], yes, no)
    ensemble.roots.append(made[root][0])


def _based(g: GraphBuilder, sums: str, base: Vector, targets: int) -> str:
    if not len(base):
        return sums
    if len(base) != targets:
        raise ValueError(f"{len(base)} base values for {targets} sums have no counterpart")
    return g.node("Add", sums, g.constant(base, np.float64))


def _linked(g: GraphBuilder, raw: str, link: str) -> str:
    """The post_transform of the old nodes. SOFTMAX_ZERO leaves scores of zero out of the softmax."""
    if link == "NONE":
        return raw
    if link == "LOGISTIC":
        return emit_sigmoid(g, raw)
    if link == "SOFTMAX":
        return emit_softmax(g, raw)
    if link != "SOFTMAX_ZERO":
        raise ValueError(f"post_transform {link} has no counterpart")
    axis, zero = g.constant([-1], np.int64), g.constant(0.0, np.float64)
    exps = g.node("Exp", g.node("Sub", raw, g.node("ReduceMax", raw, axis, keepdims=1)))
    kept = g.node("Where", g.node("Equal", raw, zero), zero, exps)
    total = g.node("ReduceSum", kept, axis, keepdims=1)
    # all scores zero: nothing is kept, and nothing divided by one stays zero
    return g.node(
        "Div", kept, g.node("Where", g.node("Equal", total, zero), g.constant(1.0, np.float64), total)
    )


def _numbers(old: Attributes, name: str) -> Vector:
    """A list of floats, or the double tensor that stands for it; absent is empty."""
    tensor = old.get(f"{name}_as_tensor")
    if isinstance(tensor, onnx.TensorProto):
        return np.asarray(numpy_helper.to_array(tensor), np.float64).ravel()
    return np.asarray(old.get(name, ()), np.float64)


def _text(old: Attributes, name: str, default: str) -> str:
    return _str(old.get(name, default))


def _str(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
