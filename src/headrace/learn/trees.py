"""Tree ensembles as one exact node.

Trees of LightGBM and scikit-learn are written into ai.onnx.ml 5 `TreeEnsemble` in float64. Both libraries
compare a float32 value, widened to double, with a double threshold by `<=`; so does the node, once its
input is cast. Rounding thresholds to float32, as the usual converters do, moves rows to other leaves.
XGBoost and CatBoost compare float32 with float32, by `<` and by `>`: widened, both say the same
(`other_trees`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from headrace.graph.build import GraphBuilder

_LEQ, LESS, GREATER, MEMBER = 0, 1, 3, 6
_SUM = 1


@dataclass
class Ensemble:
    """Trees, flattened as the node wants them. Live: filled by `from_lightgbm` or `from_sklearn`."""

    targets: int
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    yes_leaf: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    no_leaf: list[int] = field(default_factory=list)
    missing_yes: list[int] = field(default_factory=list)
    members: list[float] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    leaf_values: list[float] = field(default_factory=list)
    leaf_targets: list[int] = field(default_factory=list)

    def leaf(self, value: float, target: int) -> int:
        """Append a leaf; returns its number."""
        self.leaf_values.append(value)
        self.leaf_targets.append(target)
        return len(self.leaf_values) - 1

    def stump(self, value: float, target: int) -> None:
        """A tree without a split: the node needs a root, so both ways lead to equal leaves."""
        root = self.branch(0, 0.0, _LEQ, missing_yes=True)
        self.link(root, (self.leaf(value, target), True), (self.leaf(value, target), True))
        self.roots.append(root)

    def branch(self, feature: int, split: float, mode: int, *, missing_yes: bool) -> int:
        """Append an inner node, not linked yet; returns its number."""
        for column, value in ((self.features, feature), (self.modes, mode), (self.missing_yes, missing_yes)):
            column.append(int(value))
        self.splits.append(split)
        for column in (self.yes, self.yes_leaf, self.no, self.no_leaf):
            column.append(0)
        return len(self.features) - 1

    def link(self, node: int, yes: tuple[int, bool], no: tuple[int, bool]) -> None:
        """Point an inner node at its children: (number, whether it is a leaf)."""
        self.yes[node], self.yes_leaf[node] = yes[0], int(yes[1])
        self.no[node], self.no_leaf[node] = no[0], int(no[1])

    def emit(self, g: GraphBuilder, x: str) -> str:
        """The sums of the leaves that the rows of `x` reach: double [rows, targets]."""
        extra: dict[str, Any] = {}
        if self.members:
            extra["membership_values"] = _tensor(self.members, np.float64)
        return g.node(
            "TreeEnsemble",
            g.node("Cast", x, to=TensorProto.DOUBLE),
            domain="ai.onnx.ml",
            n_targets=self.targets,
            aggregate_function=_SUM,
            post_transform=0,
            tree_roots=self.roots,
            nodes_featureids=self.features,
            nodes_splits=_tensor(self.splits, np.float64),
            nodes_modes=_tensor(self.modes, np.uint8),
            nodes_truenodeids=self.yes,
            nodes_trueleafs=self.yes_leaf,
            nodes_falsenodeids=self.no,
            nodes_falseleafs=self.no_leaf,
            nodes_missing_value_tracks_true=self.missing_yes,
            leaf_targetids=self.leaf_targets,
            leaf_weights=_tensor(self.leaf_values, np.float64),
            **extra,
        )


def emit_positions(g: GraphBuilder, x: str, cuts: Sequence[float]) -> str:
    """int64 [rows]: how many of `cuts` (increasing) lie below each number of the double tensor `x` [rows].

    A balanced tree: log2(len(cuts)) comparisons a row, and no matrix of rows by cuts.
    """
    ensemble = Ensemble(1)
    if len(cuts):
        ensemble.roots.append(_halve(ensemble, cuts, 0, len(cuts))[0])
    else:
        ensemble.stump(0.0, 0)
    column = g.node("Unsqueeze", x, g.constant([1], np.int64))
    found = g.node("Squeeze", ensemble.emit(g, column), g.constant([1], np.int64))
    return g.node("Cast", found, to=TensorProto.INT64)


def _halve(ensemble: Ensemble, cuts: Sequence[float], low: int, high: int) -> tuple[int, bool]:
    """The tree that tells the positions `low` to `high` apart."""
    if low == high:
        return ensemble.leaf(float(low), 0), True
    middle = (low + high) // 2
    branch = ensemble.branch(0, float(cuts[middle]), _LEQ, missing_yes=True)
    yes = _halve(ensemble, cuts, low, middle)
    ensemble.link(branch, yes, _halve(ensemble, cuts, middle + 1, high))
    return branch, False


def _tensor(values: Sequence[float], dtype: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values, dtype), "t")


def from_lightgbm(text: str) -> Ensemble:
    """The trees of `Booster.model_to_string()`; their sum is the raw score, [rows, trees an iteration]. Its
    numbers have all digits, and it is read in a fraction of the time of `dump_model()`.

    Raises:
        ValueError: a split treats zero as missing, which the node can't say.
    """
    head, *trees = text.partition("\nend of trees")[0].split("\nTree=")
    ensemble = Ensemble(int(_lines(head)["num_tree_per_iteration"]))
    for number, tree in enumerate(trees):
        _add_lightgbm(ensemble, _lines(tree), number % ensemble.targets)
    return ensemble


def _lines(text: str) -> dict[str, str]:
    return {name: value for name, mark, value in (t.partition("=") for t in text.splitlines()) if mark}


_CATEGORY, _LEFT, _MISSING = 1, 2, 3
"""LightGBM's type of a split: a bit each for a category and for going left where missing; above them by two
bits what is missing: nothing, zero, NaN."""


def _add_lightgbm(ensemble: Ensemble, tree: Mapping[str, str], target: int) -> None:
    """Append one tree. Children below zero are leaves: -1 is the first."""
    values = [float(v) for v in tree["leaf_value"].split()]
    if len(values) == 1:
        ensemble.stump(values[0], target)
        return
    kinds, left, right = (
        [int(v) for v in tree[name].split()] for name in ("decision_type", "left_child", "right_child")
    )
    node, leaf = len(ensemble.features), len(ensemble.leaf_values)
    for kind, feature, told in zip(
        kinds, tree["split_feature"].split(), tree["threshold"].split(), strict=True
    ):
        missing, split = kind >> 2 & _MISSING, float(told)
        if missing == 1:
            raise ValueError("zero_as_missing has no counterpart in ONNX")
        if kind & _CATEGORY:
            codes = _codes(tree, int(split))
            # NaN is in no set; without NaN in training LightGBM reads it as code 0
            ensemble.branch(int(feature), 0.0, MEMBER, missing_yes=missing == 0 and 0 in codes)
            ensemble.members += [*map(float, codes), np.nan]
        else:
            way = bool(kind & _LEFT) if missing == 2 else split >= 0.0
            ensemble.branch(int(feature), split, _LEQ, missing_yes=way)
    for value in values:
        ensemble.leaf(value, target)
    for i, (yes, no) in enumerate(zip(left, right, strict=True)):
        ends = [(node + c, False) if c >= 0 else (leaf - c - 1, True) for c in (yes, no)]
        ensemble.link(node + i, *ends)
    ensemble.roots.append(node)


def _codes(tree: Mapping[str, str], number: int) -> list[int]:
    """The categories that a split sends left: the bits of its words of 32."""
    begin, end = (int(v) for v in tree["cat_boundaries"].split()[number : number + 2])
    words = [int(v) for v in tree["cat_threshold"].split()[begin:end]]
    return [32 * i + bit for i, word in enumerate(words) for bit in range(32) if word >> bit & 1]


def from_sklearn(trees: Sequence[Any], code: int) -> Ensemble:
    """scikit-learn `Tree` objects (`estimator.tree_`), averaged: the value of a leaf, or its share of class
    number `code` of the estimator's. One target."""
    ensemble = Ensemble(1)
    for tree in trees:
        _add_sklearn(ensemble, tree, 0, tree.value[:, 0, code] / len(trees))
    return ensemble


def emit_shares(g: GraphBuilder, x: str, trees: Sequence[Any], columns: Sequence[int], classes: int) -> str:
    """scikit-learn classification trees of several classes, averaged: double [rows, classes].

    `columns[i]` is the class that the estimator's number i stands for; the others have share 0. A leaf of
    the node holds one number only, so it holds its own number in a table of shares: [rows, trees] leaf
    numbers, from which each class gathers its share. Copying the trees for every class would multiply the
    file's size.
    """
    ensemble, tables, first = Ensemble(len(trees)), [], 0
    for target, tree in enumerate(trees):
        _add_sklearn(ensemble, tree, target, np.arange(first, first + tree.node_count, dtype=np.float64))
        tables.append(tree.value[:, 0, :] / len(trees))
        first += tree.node_count
    leaves = g.node("Cast", ensemble.emit(g, x), to=TensorProto.INT64)
    table, axis = np.concatenate(tables), g.constant([1], np.int64)
    parts = []
    for code in range(classes):
        shares = table[:, list(columns).index(code)] if code in columns else np.zeros(len(table))
        gathered = g.node("Gather", g.constant(shares, np.float64), leaves, axis=0)
        parts.append(g.node("ReduceSum", gathered, axis, keepdims=1))
    return g.node("Concat", *parts, axis=1)


def _add_sklearn(ensemble: Ensemble, tree: Any, target: int, values: Any) -> None:
    """Append one tree; `values[i]` is what its node i answers if it is a leaf."""
    nodes = tree.__getstate__()["nodes"]
    left, right = nodes["left_child"], nodes["right_child"]
    if left[0] < 0:
        ensemble.stump(float(values[0]), target)
        return
    numbers: list[tuple[int, bool]] = []
    for i, node in enumerate(nodes):
        if left[i] < 0:
            numbers.append((ensemble.leaf(float(values[i]), target), True))
        else:
            way = bool(node["missing_go_to_left"])
            split = float(node["threshold"])
            numbers.append((ensemble.branch(int(node["feature"]), split, _LEQ, missing_yes=way), False))
    for i in np.flatnonzero(left >= 0).tolist():
        ensemble.link(numbers[i][0], numbers[left[i]], numbers[right[i]])
    ensemble.roots.append(numbers[0][0])
