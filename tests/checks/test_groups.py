"""Rows into groups, by hand-made columns."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.checks.groups import Coder, Grouping, cuts_of, one_group
from headrace.core.schema import NULL_TEXT, Type


def grouped(
    kind: Type, train: list, rows: list, *, min_rows: int = 2, most: int = 9, fold: bool = True
) -> Grouping:
    dtype = object if kind == Type.TEXT else np.float64
    coder = Coder(cuts_of("x", kind, np.array(train, dtype)))
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        coder.add(np.array(part, dtype))
    return coder.result(min_rows=min_rows, most=most, fold=fold)


def members(g: Grouping) -> dict[str, list[int]]:
    return {label: np.flatnonzero(g.rows(i)).tolist() for i, label in enumerate(g.labels)}


def test_numbers_are_cut_at_the_quartiles_of_train() -> None:
    g = grouped(Type.NUMBER, list(np.arange(101.0)), [25.0, 25.5, 99, 1000, -3, float("nan")])
    assert members(g) == {
        "x <= 25": [0, 4],
        "25 < x <= 50": [1],
        "x > 75": [2, 3],
        "x is null": [5],
    }


def test_a_mass_at_one_number_is_a_group() -> None:
    g = grouped(Type.NUMBER, [0.0] * 90 + list(np.arange(1.0, 11)), [0.0, 0, 3, 7])
    assert members(g) == {"x <= 0": [0, 1], "x > 0": [2, 3]}


def test_few_numbers_and_booleans_are_groups_by_value() -> None:
    assert members(grouped(Type.NUMBER, [1.0, 2, 1, 2], [2.0, 1, 1, 2])) == {"x = 1": [1, 2], "x = 2": [0, 3]}
    assert members(grouped(Type.BOOL, [1.0, 0], [1.0, 0, 0, 1])) == {"x = false": [1, 2], "x = true": [0, 3]}


def test_rare_and_unseen_texts_are_one_group_unless_each_counts() -> None:
    rows = ["a", "b", "a", NULL_TEXT, "c", "new", "b"]
    g = grouped(Type.TEXT, ["a"] * 5 + ["b"] * 4 + ["c"], rows)
    assert members(g) == {"x = a": [0, 2], "x = b": [1, 6], "x: other values": [4, 5], "x is null": [3]}
    assert g.own == (True, True, False, True)
    alone = grouped(Type.TEXT, ["a"] * 5 + ["b"] * 4 + ["c"], rows, fold=False)
    assert members(alone) == {
        "x = a": [0, 2],
        "x = b": [1, 6],
        "x = c": [4],
        "x = new": [5],
        "x is null": [3],
    }


def test_a_value_that_train_lets_expect_is_told_where_it_is_missing() -> None:
    g = grouped(Type.TEXT, ["a", "b"] * 50, ["a"] * 20)
    assert members(g)["x = b"] == []


def test_only_the_most_frequent_have_groups_of_their_own() -> None:
    rows = ["a"] * 5 + ["b"] * 4 + ["c"] * 3
    assert grouped(Type.TEXT, rows, rows, most=1).labels == ("x = a", "x: other values")


def test_nothing_but_nulls() -> None:
    assert grouped(Type.NUMBER, [np.nan] * 4, [np.nan] * 3).labels == ("x is null",)
    assert grouped(Type.TEXT, [NULL_TEXT], [NULL_TEXT, "a", "a"]).labels == ("x = a", "x is null")
    assert grouped(Type.NUMBER, [], []).labels == ()


def test_a_time_has_no_groups() -> None:
    with pytest.raises(ValueError, match="time"):
        cuts_of("at", Type.TIME, np.zeros(3, np.int64))


def test_a_condition_is_one_group_and_null_does_not_hold() -> None:
    g = one_group("x > 1", np.array([1.0, 0.0, np.nan]))
    assert members(g) == {"x > 1": [0], "not (x > 1)": [1, 2]}
    assert g.own == (True, False)
