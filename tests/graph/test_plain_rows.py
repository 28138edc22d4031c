"""Rows without anything odd are encoded by columns: the very values that the careful way gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.core.errors import DataError
from headrace.core.schema import Type
from headrace.graph.rows import Row, RowEncoder

TYPES = {"n": Type.NUMBER, "m": Type.NUMBER, "b": Type.BOOL, "t": Type.TEXT, "when": Type.TIME}
TIMES = (
    "2013-06-01T05:15:00",
    "2013-06-01 05:15:00.25-04:00",
    "2013-03-10 02:30",
    "2013-11-03 01:30",
    "1899-01-01",
    "2050-07-01 12:00",
    "2013-06-01",
    None,
)


def rows(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(5)
    numbers = (1, 2**53 + 1, 10**30, -0.0, 1e-320, 0.1, None, float("nan"))
    return [
        {
            "when": TIMES[rng.integers(len(TIMES))],
            "n": numbers[rng.integers(len(numbers))],
            "t": ("a", "", "Übermaß", None)[rng.integers(4)],
            "b": (True, False, None)[rng.integers(3)],
            "m": float(rng.normal()),
        }
        for _ in range(count)
    ]


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(
        a[n].dtype == b[n].dtype
        and (a[n].tolist() == b[n].tolist() if a[n].dtype == object else a[n].tobytes() == b[n].tobytes())
        for n in a
    )


def test_columns_give_what_the_careful_way_gives() -> None:
    encoder = RowEncoder(TYPES, zone="America/New_York", required=TYPES)
    asked = [r for r in rows(400) if r["when"] not in (TIMES[2], TIMES[3], TIMES[4], TIMES[5])]
    plain = encoder.plain(asked)
    assert plain is not None
    assert same(plain, encoder.thorough(asked))
    for at, row in enumerate(asked[:50]):
        alone = encoder.plain([row])
        assert alone is not None and same(alone, {n: v[at : at + 1] for n, v in plain.items()})


def test_rows_alone_and_joined_and_in_lent_arrays_are_the_same_feeds() -> None:
    encoder = RowEncoder(TYPES, zone="America/New_York", required=TYPES)
    asked = [r for r in rows(400) if r["when"] not in (TIMES[2], TIMES[3], TIMES[4], TIMES[5])]
    want = encoder.thorough(asked)
    found = [row for r in asked if (row := encoder.row(r)) is not None]
    assert len(found) == len(asked)
    assert same(Row.joined(found), want)
    for at, row in enumerate(found[:50]):
        mine = {n: v[at : at + 1] for n, v in want.items()}
        assert same(row.lent(), mine) and same(dict(row), mine)


def test_moments_that_need_a_look_are_no_plain_rows() -> None:
    encoder = RowEncoder(TYPES, zone="America/New_York", required=TYPES)
    asked = rows(200)
    assert encoder.plain(asked) is None, "clocks change on one of their days"
    assert same(encoder.encode(asked), encoder.thorough(asked))


@pytest.mark.parametrize(
    "odd",
    [
        {"n": "1"},
        {"n": True},
        {"n": float("inf")},
        {"n": -float("inf")},
        {"n": 10**400},
        {"b": 1},
        {"t": "a\x00b"},
        {"t": 5},
        {"when": "yesterday"},
        {"more": 1},
    ],
)
def test_what_is_odd_is_looked_at_with_care(odd: dict[str, Any]) -> None:
    encoder = RowEncoder(TYPES, zone="UTC", required=TYPES)
    good = {"n": 1.0, "m": 2, "b": None, "t": "x", "when": None}
    for asked in ([{**good, **odd}], [good, {**good, **odd}, good]):
        assert encoder.plain(asked) is None
        if "inf" not in str(odd):
            with pytest.raises(DataError):
                encoder.encode(asked)
    assert encoder.plain([good, {k: v for k, v in good.items() if k != "b"}]) is None
