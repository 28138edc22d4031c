"""What a release keeps to explain with, curves, and contributions in words."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.core.codec import from_json, to_json
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.task import FIRST_CODE, Feature, FeatureKind
from headrace.explain.dependence import column_grid, curves, feature_grid
from headrace.explain.effects import effects
from headrace.explain.reference import SHARED, Reference, choose, feeds_of, kept
from headrace.explain.words import sentence, signed

TYPES = {"mail": Type.TEXT, "at": Type.TIME, "x": Type.NUMBER}


def test_what_is_personal_is_kept_only_where_many_share_it() -> None:
    rows = 100
    mails = [f"m{i}@example.com" for i in range(rows - SHARED)] + ["all@example.com"] * SHARED
    feeds = {
        "mail": np.array(mails, dtype=object),
        "at": np.arange(rows),
        "x": np.where(np.arange(rows) % 2, np.nan, 1.5),
    }
    found = kept(feeds, TYPES, np.arange(rows), {"mail", "at", "elsewhere"})
    assert set(found.columns["mail"]) == {None, "all@example.com"}
    assert set(found.columns["at"]) == {None} and found.personal == ("at", "mail")
    assert found.columns["x"][:3] == (1.5, None, 1.5) and (found.rows, found.of) == (rows, rows)
    fewer = {n: v[:-1] for n, v in feeds.items()}
    assert set(kept(fewer, TYPES, np.arange(99), {"mail"}).columns["mail"]) == {None}


def test_a_reference_is_the_same_after_it_was_kept() -> None:
    feeds = {
        "mail": np.array(["a", NULL_TEXT, ""], dtype=object),
        "at": np.array([2**53 + 1, NULL_TIME, -5]),
        "x": np.array([0.1, np.nan, -0.0]),
    }
    made = kept(feeds, TYPES, np.arange(3), set())
    back = feeds_of(from_json(to_json(made), Reference), TYPES)
    assert back["mail"].tolist() == feeds["mail"].tolist()
    assert back["at"].tolist() == feeds["at"].tolist() and back["at"].dtype == np.int64
    np.testing.assert_array_equal(back["x"], feeds["x"])


@pytest.mark.parametrize("classes", [1, 3])
def test_few_reference_rows_have_the_mean_of_all(classes: int) -> None:
    rng = np.random.default_rng(1)
    answers = rng.gamma(1.0, size=(2000, classes))
    chosen = choose(answers, 50)
    assert len(set(chosen)) == 50 and (np.diff(chosen) > 0).all()
    random = answers.std() / np.sqrt(50)
    assert np.abs(answers[chosen].mean(axis=0) - answers.mean(axis=0)).max() < random
    assert choose(answers[:3], 50).tolist() == [0, 1, 2] and not len(choose(answers[:0], 50))


def test_a_curve_follows_the_column_and_its_band_the_interaction() -> None:
    rng = np.random.default_rng(2)
    sign = np.where(rng.random(400) < 0.5, 1.0, -1.0)

    def crossing(value: object) -> np.ndarray:
        assert isinstance(value, float)
        return (2 * value + sign * value).reshape(-1, 1)

    grid = column_grid(Type.NUMBER, rng.normal(size=3000))
    (curve,) = curves("x", "column", grid, 400, crossing, [""])
    assert len(curve.points) == 12 and curve.rows == 400
    slope = curve.range / (grid[-1][1] - grid[0][1])  # type: ignore[operator]  # numbers
    assert slope == pytest.approx(2 + sign.mean())
    first, middle = curve.points[0], curve.points[6]
    assert first.high - first.low > 2 * (middle.high - middle.low)
    (flat,) = curves("x", "column", grid, 400, lambda v: np.full((400, 1), float(str(v))), [""])
    assert all(p.low == pytest.approx(p.mean) == p.high for p in flat.points)


def test_where_curves_pass() -> None:
    words = np.array(["b"] * 5 + ["a"] * 3 + [NULL_TEXT], dtype=object)
    assert [at for at, _ in column_grid(Type.TEXT, words)] == ["b", "a", None]
    assert [at for at, _ in column_grid(Type.BOOL, np.array([0.0, 1.0, np.nan]))] == [False, True]
    assert column_grid(Type.NUMBER, np.full(5, np.nan)) == []
    assert curves("x", "column", [(1.0, 1.0)], 5, lambda v: np.zeros((5, 1)), [""]) == []
    place = Feature("place", FeatureKind.CATEGORY, ("rome",))
    codes = np.array([FIRST_CODE, FIRST_CODE, 0, 1, 2], dtype=np.float32)
    assert {at for at, _ in feature_grid(place, codes)} == {"rome", None, "(unseen)", "(rare)"}


def test_effects_are_sorted_and_ranked() -> None:
    contributions = np.array([[1.0, -3.0], [2.0, 3.0], [0.0, -3.0]])
    found = effects(["a", "b"], contributions, contributions * 0 + 0.5, {"a": np.array([5.0, np.nan, 7.0])})
    assert [(e.name, e.size, e.mean, e.error) for e in found] == [("b", 3, -1, 0.5), ("a", 1, 1, 0.5)]
    assert [d.rank for d in found[1].dots] == [0.0, None, 1.0]
    assert [d.rank for d in found[0].dots] == [None] * 3


@pytest.mark.parametrize(
    ("kind", "value", "added", "told"),
    [
        (Type.NUMBER, 1200.0, 0.08, "d = 1,200: +0.080"),
        (Type.NUMBER, np.nan, -0.5, "d unknown: -0.50"),
        (Type.NUMBER, 1234567.891, 1e-9, "d = 1,234,567.89: +1.0e-09"),
        (Type.NUMBER, 0.000123, -1234.5, "d = 0.000123: -1,234"),
        (Type.TEXT, "two\nlines", 0.0, "d = two lines: +0"),
        (Type.TEXT, NULL_TEXT, 1.0, "d unknown: +1.0"),
        (Type.BOOL, 1.0, 0.25, "d = true: +0.25"),
        (Type.TIME, NULL_TIME, 0.25, "d unknown: +0.25"),
        (Type.TIME, 1_370_059_200_000_000, 0.25, "d = 2013-06-01 04:00:00Z: +0.25"),
    ],
)
def test_words(kind: Type, value: object, added: float, told: str) -> None:
    assert sentence("d", kind, value, added) == told
    assert sentence("d", kind, value, added, personal=True) == f"d (personal): {signed(added)}"
