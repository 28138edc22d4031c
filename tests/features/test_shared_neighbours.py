"""Encoders that ask by one distance search once, and tell what each alone would."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.core.schema import Type
from headrace.core.spec.features import FeatureSpec, Neighbours, NeighboursFeature
from headrace.expr import Expr, parse
from headrace.features.encoders import encoders_of
from headrace.features.neighbours import search, shared
from tests.encoders import REGRESSION

TYPES = dict.fromkeys(("x", "y", "a"), Type.NUMBER)
PLANS: dict[str, dict[str, object]] = {
    "near": {"of": ("x", "y"), "k": (3, 8), "stats": ("mean", "distance")},
    "trend": {"of": ("x", "y"), "k": 30, "stats": ("linear",), "columns": ("a",)},
    "wide": {"of": ("x", "y"), "k": 500, "stats": ("mean",), "columns": ("a",), "target": False},
    "other": {"of": ("x", "a"), "k": 5},
}


def declared(*names: str) -> tuple[dict[str, FeatureSpec], dict[str, dict[str, Expr]]]:
    specs = {n: NeighboursFeature(neighbours=Neighbours.model_validate(PLANS[n])) for n in names}
    return {**specs}, {n: {t: parse(t, TYPES) for t in s.reads} for n, s in specs.items()}


def rows(n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = np.round(rng.normal(size=(2, n)), 1)
    x[rng.random(n) < 0.05] = np.nan
    return {"x": x, "y": y, "a": rng.normal(size=n)}


def told(*names: str, units: np.ndarray, folds: int = 2) -> dict[str, list[np.ndarray]]:
    """What encoders that were made together tell, fold by fold, as folds are fitted: one after the other."""
    raw, others = rows(400, 0), rows(150, 1)
    y = np.random.default_rng(2).normal(size=400)
    found: dict[str, list[np.ndarray]] = {n: [] for n in names}
    made = encoders_of(*declared(*names))
    for fold in range(folds):
        some = np.arange(400) % folds != fold
        for one in made:
            mine = {t: raw[t][some] for t in one.inputs}
            fitted = one.fit(mine, y[some], units=units[some], task=REGRESSION, seed=0)
            found[one.name] += [fitted.own(), fitted.values({t: others[t] for t in one.inputs})]
    return found


@pytest.mark.parametrize("lumpy", [False, True])
def test_together_they_tell_what_each_tells_alone(lumpy: bool) -> None:
    units = np.arange(400) // (7 if lumpy else 1)
    together = told(*PLANS, units=units)
    for name in PLANS:
        for a, b in zip(together[name], told(name, units=units)[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_one_search_serves_all_that_ask_by_one_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(points: np.ndarray, units: np.ndarray, places: np.ndarray, own: np.ndarray, k: int) -> object:
        asked.append(k)
        return search.nearest_others(points, units, places, own, k)

    monkeypatch.setattr(shared, "nearest_others", counted)
    told("near", "trend", "other", units=np.arange(400))
    assert sorted(asked) == [5, 5, 30, 30]  # of two folds, once for near and trend, once for the other


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    units = np.arange(400)
    expected = told("near", "trend", units=units)
    monkeypatch.setattr(shared, "MOST_CELLS", 10)
    for name, columns in told("near", "trend", units=units).items():
        for a, b in zip(columns, expected[name], strict=True):
            np.testing.assert_array_equal(a, b)
