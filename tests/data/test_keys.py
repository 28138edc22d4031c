"""Keys as numbers: batches, single requests and a plain dictionary agree, for every type of column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import DataError
from headrace.data import keys as module
from headrace.data.keys import Keys
from headrace.graph.buffers import Array

FAR = 2**62 + 1
KINDS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "near": (pa.int32(), [None, -2, 0, 1, 5]),
    "far": (pa.int64(), [None, -FAR, 0, FAR - 1, FAR]),
    "double": (pa.float64(), [None, -1.5, 0.0, 2.0, 1e300]),
    "text": (pa.string(), [None, "", "a", "ab", "ä" * 40]),
    "long text": (pa.large_string(), [None, "", "a", "ab"]),
    "flag": (pa.bool_(), [None, True, False]),
    "time": (pa.timestamp("us"), [None, -5, 0, 10**15]),
}


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_batches_requests_and_a_dictionary_agree(data: st.DataObject) -> None:
    kinds = [KINDS[data.draw(st.sampled_from(sorted(KINDS)))] for _ in range(data.draw(st.integers(0, 3)))]
    row = st.tuples(*[st.sampled_from(values) for _, values in kinds])
    rows, asked = data.draw(st.lists(row, max_size=12)), data.draw(st.lists(row, min_size=1, max_size=12))
    keys, numbers = Keys.of(columns(kinds, rows), len(rows))
    seen: dict[tuple[Any, ...], int] = {}
    for key, number in zip(rows, numbers.tolist(), strict=True):
        if None in key:
            assert number == -1
        else:
            assert 0 <= number < keys.count
            assert seen.setdefault(key, number) == number
    assert len(set(seen.values())) == len(seen)
    for key, number in zip(asked, keys.match(columns(kinds, asked), len(asked)).tolist(), strict=True):
        if not kinds:
            assert number == 0
        elif key in seen:
            assert number == seen[key]
        else:
            # Numbers that lie close together may have a place without a row, which no row shares.
            assert number == -1 or number not in seen.values()
        assert keys.find(key) == number


def columns(kinds: list[tuple[pa.DataType, list[Any]]], rows: list[tuple[Any, ...]]) -> list[Array]:
    return [pa.array([r[i] for r in rows], kind) for i, (kind, _) in enumerate(kinds)]


def test_many_columns_of_many_values_don_t_overflow() -> None:
    draw = np.random.default_rng(0)
    table: list[Array] = [pa.array(draw.integers(-(2**60), 2**60, 3_000)) for _ in range(8)]
    keys, numbers = Keys.of(table, 3_000)
    assert len(set(numbers.tolist())) == 3_000 and numbers.min() >= 0 and keys.count <= 3_000 + 1
    assert keys.match(table, 3_000).tolist() == numbers.tolist()
    crossed = [*table[:-1], table[-1].take(np.roll(np.arange(3_000), 1))]
    assert set(keys.match(crossed, 3_000).tolist()) == {-1}


def test_numbers_are_compared_by_value() -> None:
    whole, _ = Keys.of([pa.array([1, 2, FAR])], 3)
    assert (whole.match([pa.array([1.0, 1.5, 1e300, None])], 4) >= 0).tolist() == [True, False, False, False]
    assert whole.find([1.0]) == whole.find([1]) >= 0
    assert [whole.find([v]) for v in (1.5, float("nan"), float("inf"), 10**400, "1", None)] == [-1] * 6
    doubles, _ = Keys.of([pa.array([0.0, 2.0**53])], 2)
    assert doubles.match([pa.array([-0.0])], 1).tolist() == [doubles.find([0])]
    assert doubles.match([pa.array([2**53, 2**53 + 1])], 2).tolist() == [doubles.find([2**53]), -1]
    assert doubles.find([2**53 + 1]) == -1


def test_texts_whose_names_collide_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "hash_texts", lambda values: np.full(len(values), 7, np.uint64))
    keys, numbers = Keys.of([pa.array(["a", "b", "a"])], 3)
    assert keys.match([pa.array(["b", "c", None, "a"])], 4).tolist() == [numbers[1], -1, -1, numbers[0]]
    one, _ = Keys.of([pa.array(["a"])], 1)
    assert one.match([pa.array(["b", "a"])], 2).tolist() == [-1, 0]


def test_columns_of_other_types_are_refused() -> None:
    keys, _ = Keys.of([pa.array([True])], 1)
    with pytest.raises(DataError, match="a key of int64 can't be compared with one of bool"):
        keys.match([pa.array([1])], 1)
