"""The trees of XGBoost and CatBoost as one exact node, and as leaf numbers for an exact sum in double.

Both libraries add float32 leaves (XGBoost) or in another order; answers here are sums in double of the
leaves that a row reaches, in numpy and in the graph alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from headrace.learn.candidate import Vector
from headrace.learn.trees import GREATER, LESS, MEMBER, Ensemble

_CATEGORICAL = 1


def from_xgboost(model: Mapping[str, Any], targets: int) -> Ensemble:
    """The trees of `json.loads(Booster.save_raw("json"))`; their sum is the raw score less the base score.

    A number goes left where it is less than the split, both float32; a category goes right where it is among
    the node's; NaN goes the node's default way.
    """
    ensemble = Ensemble(targets)
    booster = model["learner"]["gradient_booster"]["model"]
    for tree, target in zip(booster["trees"], booster["tree_info"], strict=True):
        leaves = np.asarray(tree["split_conditions"], np.float32).astype(np.float64)
        if tree["left_children"][0] < 0:
            ensemble.stump(float(leaves[0]), target)
            continue
        _add_xgboost(ensemble, tree, leaves, target)
    return ensemble


def _add_xgboost(ensemble: Ensemble, tree: Mapping[str, Any], values: Vector, target: int) -> None:
    """Append one tree. `values`: the split of an inner node, the answer of a leaf."""
    left, right = tree["left_children"], tree["right_children"]
    members = _members(tree)
    places: list[tuple[int, bool]] = []
    for i, value in enumerate(values.tolist()):
        if left[i] < 0:
            places.append((ensemble.leaf(value, target), True))
            continue
        feature, default_left = int(tree["split_indices"][i]), bool(tree["default_left"][i])
        if tree["split_type"][i] == _CATEGORICAL:
            branch = ensemble.branch(feature, 0.0, MEMBER, missing_yes=not default_left)
            ensemble.members += [*map(float, members[i]), np.nan]
        else:
            branch = ensemble.branch(feature, value, LESS, missing_yes=default_left)
        places.append((branch, False))
    for i, place in enumerate(places):
        if not place[1]:
            ways = places[left[i]], places[right[i]]
            among = tree["split_type"][i] == _CATEGORICAL
            ensemble.link(place[0], ways[among], ways[not among])
    ensemble.roots.append(places[0][0])


def _members(tree: Mapping[str, Any]) -> dict[int, list[int]]:
    """The categories of each node that splits by them."""
    spans = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    return {node: tree["categories"][at : at + size] for node, at, size in spans}


def xgboost_leaves(model: Mapping[str, Any]) -> list[Vector]:
    """For each tree, the answer of its nodes by number (what `pred_leaf` counts)."""
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    return [np.asarray(tree["split_conditions"], np.float32).astype(np.float64) for tree in trees]


def xgboost_base(model: Mapping[str, Any], targets: int) -> Vector:
    """What every row's raw score starts from, [targets]; for binary the log-odds of the stored share."""
    learner = model["learner"]
    stored = json.loads(learner["learner_model_param"]["base_score"])
    base = np.asarray(stored, np.float32).astype(np.float64).reshape(-1)
    if learner["objective"]["name"] == "binary:logistic":
        base = np.log(base / (1.0 - base))
    return np.asarray(np.broadcast_to(base, (targets,)), np.float64)


def from_catboost(model: Mapping[str, Any], targets: int) -> Ensemble:
    """The oblivious trees of CatBoost's JSON; their sum is the raw score less the bias.

    Every split asks whether a float32 number is greater than a float32 border; split i's answer is bit i of
    the leaf's number. NaN is less than every border, or greater where the column says so.
    """
    missing_yes = {
        column["flat_feature_index"]: column["nan_value_treatment"] == "AsTrue"
        for column in model["features_info"].get("float_features", ())
    }
    ensemble = Ensemble(targets)
    for tree in model["oblivious_trees"]:
        splits = [
            (int(s["float_feature_index"]), float(np.float32(s["border"]))) for s in tree["splits"] or ()
        ]
        values = np.asarray(tree["leaf_values"], np.float64).reshape(-1, targets)
        for target in range(targets):
            if np.all(values[:, target] == values[0, target]):
                ensemble.stump(float(values[0, target]), target)
            else:
                ensemble.roots.append(_oblivious(ensemble, splits, missing_yes, values[:, target], target)[0])
    return ensemble


def _oblivious(
    ensemble: Ensemble,
    splits: list[tuple[int, float]],
    missing_yes: Mapping[int, bool],
    values: Vector,
    target: int,
) -> tuple[int, bool]:
    """The subtree that the last split heads; its answers are `values`, lower bits within."""
    if not splits or np.all(values == values[0]):
        return ensemble.leaf(float(values[0]), target), True
    feature, border = splits[-1]
    half = len(values) // 2
    branch = ensemble.branch(feature, border, GREATER, missing_yes=missing_yes.get(feature, False))
    yes = _oblivious(ensemble, splits[:-1], missing_yes, values[half:], target)
    ensemble.link(branch, yes, _oblivious(ensemble, splits[:-1], missing_yes, values[:half], target))
    return branch, False
