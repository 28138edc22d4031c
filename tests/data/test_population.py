"""The training rows' groups against a declared population, with an interval over whole units."""

import numpy as np
import pytest
from spine import clock, edit_spec, fresh, verdict
from worlds import homes, wine

from headrace.core.errors import SpecError
from headrace.core.evidence import Outcome
from headrace.core.schema import NULL_TEXT, Type
from headrace.data.population import names_of, represent

__all__ = ["clock", "fresh"]


def test_shares_missing_and_unknown_groups():
    groups = np.array(["a"] * 6 + ["b"] * 2 + ["x"] * 2, dtype=object)
    found = represent(groups, np.arange(10), {"a": 0.5, "b": 0.3, "c": 0.2})
    assert [(s.group, round(s.difference, 9)) for s in found.shares] == [
        ("c", -0.2), ("x", 0.2), ("a", 0.1), ("b", -0.1)
    ]  # fmt: skip
    assert found.largest == pytest.approx(0.2)
    assert represent(groups, np.repeat([0, 1], 5), {"a": 1.0}).interval is None


def test_groups_are_named_as_people_write_them():
    assert list(names_of(np.array([1.0, 2.5, np.nan]), Type.NUMBER)) == ["1", "2.5", "null"]
    assert list(names_of(np.array([1.0, 0.0, np.nan]), Type.BOOL)) == ["true", "false", "null"]
    assert list(names_of(np.array(["a", NULL_TEXT], dtype=object), Type.TEXT)) == ["a", "null"]


def test_the_interval_covers_the_true_difference_where_rows_depend():
    """Days of very different make-up: rows by themselves would cover far less often."""
    rng = np.random.default_rng(5)
    covered = naive = 0
    for _ in range(300):
        day = np.repeat(np.arange(40), rng.integers(5, 40, 40))
        lean = rng.beta(2, 3, 40)
        groups = np.where(rng.random(len(day)) < lean[day], "a", "b").astype(object)
        for units, add in ((day, 1), (np.arange(len(day)), 0)):
            found = represent(groups, units, {"a": 0.2, "b": 0.8})
            worst = found.shares[0]
            truth = (0.4 if worst.group == "a" else 0.6) - worst.declared
            inside = found.interval.low <= truth <= found.interval.high
            covered += inside * add
            naive += inside * (1 - add)
    assert 0.92 <= covered / 300 <= 0.98
    assert naive / 300 < 0.8


def test_a_run_is_held_to_its_population(fresh):
    edit_spec(
        fresh,
        ("  expect:", "  population:\n    depot: {shares: {north: 0.5, south: 0.5}, within: 0.05}\n"
         "    hour(at) >= 12: {shares: {'true': 0.9, 'false': 0.1}, within: 0.2}\n  expect:"),
    )  # fmt: skip
    result = fresh.run()
    good, bad = verdict(result, "represents: depot"), verdict(result, "represents: hour(at) >= 12")
    assert (good.outcome, bad.outcome) == (Outcome.PASS, Outcome.FAIL)
    assert good.evidence.n > 30
    assert good.evidence.interval is not None
    assert "declared" in bad.evidence.where
    assert result.status == "blocked"


def test_three_classes_and_a_regression(tmp_path, housing):
    shares = {"shares": {"class_0": 0.33, "class_1": 0.4, "class_2": 0.27}, "within": 0.02}
    result = wine(tmp_path / "wine", {"data": {"population": {"kind": shares}}}).run()
    assert verdict(result, "represents: kind").outcome is Outcome.PASS
    coast = {"shares": {"INLAND": 0.9, "MOON": 0.1}, "within": 0.05}
    result = homes(
        tmp_path / "homes", housing, {"data": {"population": {"ocean_proximity": coast}}}, rows=400
    ).run()
    told = verdict(result, "represents: ocean_proximity").evidence.where
    assert "no row of MOON" in told
    assert "not declared: " in told


@pytest.mark.parametrize(
    ("population", "told"),
    [
        ("{depto: {shares: {a: 0.5, b: 0.5}}}", "depto"),
        ("{at: {shares: {a: 0.5, b: 0.5}}}", "has no groups"),
        ("{depot: {shares: {a: 0.5, b: 0.2}}}", "add up to 0.7"),
        ("{depot: {shares: {a: 1.5, b: -0.5}}}", "between 0 and 1"),
        ("{depot: {shares: {a: 0.5}}}", "shares"),
        ("{depot: {shares: {a: 0.5, b: 0.5}, within: 2}}", "within"),
    ],
)
def test_mistakes_are_told(fresh, population, told):
    edit_spec(fresh, ("  expect:", f"  population: {population}\n  expect:"))
    with pytest.raises(SpecError, match=told):
        fresh.check()
