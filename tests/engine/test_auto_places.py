"""Proposals where there are coordinates: neighbours judged together, in time, compared in named ratios."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from worlds import homes

import headrace.engine.choosing as choosing
from headrace.core.spec.features import NeighboursFeature
from headrace.core.task import Feature, FeatureKind
from headrace.engine.proposal_columns import joined
from headrace.learn.select.blocks import Block
from headrace.project import Project

FEATURES = {
    "latitude": "latitude",
    "longitude": "longitude",
    "income": "median_income",
    "rooms": "total_rooms",
    "households": "households",
    "room_share": "total_rooms / households",
}


def asking(folder: Path, housing: Path, budget: str) -> Project:
    return homes(
        folder, housing, {"features": {**FEATURES, "auto": {"budget": budget, "most": 3}}}, rows=1_200
    )


def test_neighbours_are_kept_together_and_compare_rows_in_named_ratios(tmp_path: Path, housing: Path) -> None:
    lock = asking(tmp_path / "p", housing, "10 min").propose().lock
    kept = {n: f for n, f in lock.feature_specs().items() if isinstance(f, NeighboursFeature)}
    assert {"near", "trend", "kindred"} <= set(kept)
    assert len({lock.about[n].measured for n in ("near", "trend", "kindred")}) == 1
    assert "total_rooms / households" in kept["near"].neighbours.columns
    of = kept["kindred"].neighbours.of
    assert of[0].startswith("longitude * ") and of[1].startswith("latitude * ")
    assert any(t.startswith("total_rooms / households * ") for t in of)
    weights = [float(t.rpartition("* ")[2]) for t in of]
    assert all(w > 0 for w in weights)
    degree, income = weights[1], weights[next(i for i, t in enumerate(of) if "income" in t)]
    assert degree > 5 * income  # places count much more


def test_what_there_was_no_time_to_compute_is_told(
    tmp_path: Path, housing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "COMPUTING", 0.0)
    lock = asking(tmp_path / "p", housing, "10 min").propose().lock
    assert not any(isinstance(f, NeighboursFeature) for f in lock.feature_specs().values())
    for name in ("near", "trend", "kindred", "areas"):
        assert lock.dropped[name].why == "not tried: there was no time to compute it"


def test_blocks_by_fold_are_put_side_by_side() -> None:
    rng = np.random.default_rng(0)

    def one(name: str, width: int) -> Block:
        parts = [(rng.normal(size=(n, width)), rng.normal(size=(9 - n, width))) for n in (4, 6)]
        features = tuple(Feature(f"{name}_{i}", FeatureKind.NUMBER) for i in range(width))
        return Block(name, features, None, tuple((a.astype("f4"), b.astype("f4")) for a, b in parts))

    a, b = one("a", 2), one("b", 3)
    both = joined("both", [a, b])
    assert [f.name for f in both.features] == ["a_0", "a_1", "b_0", "b_1", "b_2"]
    for i in (0, 1):
        np.testing.assert_array_equal(both.folds[i][0], np.hstack([a.folds[i][0], b.folds[i][0]]))
        np.testing.assert_array_equal(both.folds[i][1], np.hstack([a.folds[i][1], b.folds[i][1]]))
    whole = Block("w", (Feature("w", FeatureKind.NUMBER),), np.arange(9.0, dtype=np.float32)[:, None])
    folds = [(np.arange(n), np.arange(n, 9)) for n in (4, 6)]
    every = joined("every", [a, whole, b], folds)
    assert [f.name for f in every.features] == ["a_0", "a_1", "w", "b_0", "b_1", "b_2"]
    for i, (fit, test) in enumerate(folds):
        np.testing.assert_array_equal(every.folds[i][0][:, 2], fit)
        np.testing.assert_array_equal(every.folds[i][1][:, 2], test)
        np.testing.assert_array_equal(every.folds[i][1][:, 3:], b.folds[i][1])
