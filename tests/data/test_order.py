"""Sorting and searching rows by key and moment, against numpy's own slower ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.data.order import highest, in_order, last, ranks, starts


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("keys", [1, 7, 2**33, 2**61])
@pytest.mark.parametrize("span", [1, 50, 2**20, 2**52])
def test_rows_lie_in_order_of_code_moment_and_row(keys: int, span: int, ordered: bool) -> None:
    draw = np.random.default_rng([keys % 997, span % 997, ordered])
    for rows in (1, 2, 5_000):
        codes = draw.integers(0, min(keys, 40), rows) * (keys // min(keys, 40))
        moments = draw.integers(-span, span, rows)
        if span > 2**40:
            moments[::3] += draw.integers(-2, 3, len(moments[::3])) - moments[::3]  # many near neighbours
        if ordered:
            moments.sort()
        expected = np.lexsort((np.arange(rows), moments, codes))
        assert in_order(codes, moments, keys).tolist() == expected.tolist()


def test_no_rows_have_an_order() -> None:
    none = np.zeros(0, np.int64)
    assert in_order(none, none, 0).tolist() == []
    assert starts(none, 3).tolist() == [0, 0, 0, 0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=9), min_size=1, max_size=5), st.integers(-1, 10))
def test_the_last_place_at_a_moment(groups: list[list[int]], moment: int) -> None:
    known = np.array([t for g in groups for t in sorted(g)] or [0], np.int64)
    begin = starts(np.repeat(np.arange(len(groups)), [len(g) for g in groups]), len(groups))
    found = last(known, begin[:-1], begin[1:], np.full(len(groups), moment))
    expected = [int(begin[i]) + sum(t <= moment for t in g) - 1 for i, g in enumerate(groups)]
    assert found.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), max_size=40))
def test_ranks_are_those_of_unique(values: list[int]) -> None:
    column = np.array(values, np.int64)
    for found, expected in zip(ranks(column), np.unique(column, return_inverse=True), strict=True):
        assert np.array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-(2**62), 2**62 - 1) | st.integers(0, 9), max_size=8), max_size=8))
def test_the_highest_so_far_of_each_group(groups: list[list[int]]) -> None:
    values = np.array([v for g in groups for v in g], np.int64)
    codes = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    expected = [max(g[: i + 1]) for g in groups for i in range(len(g))]
    assert highest(values, codes).tolist() == expected
