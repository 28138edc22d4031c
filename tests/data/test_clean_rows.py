"""Training rows that are left out: against pandas; and nothing else is touched or looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from headrace.core.errors import DataError
from headrace.data.clean_rows import clean_rows
from headrace.data.split import DROPPED, TRAIN, Split


def world(seed: int, rows: int = 400) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    numbers = np.where(draw.random(rows) < 0.1, np.nan, draw.standard_t(2, rows))
    return {
        "parts": draw.choice([0, 0, 0, 1, 2, -1], rows).astype(np.int8),
        "names": draw.integers(0, 250, rows).astype(np.uint64),
        "drop": draw.random(rows) < 0.05,
        "numbers": numbers,
    }


@pytest.mark.parametrize("seed", range(5))
def test_rows_left_out_are_those_of_pandas(seed: int) -> None:
    w = world(seed)
    found = clean_rows(w["parts"], names=w["names"], drop={"bad": w["drop"]}, numbers={"x": w["numbers"]})
    frame = pd.DataFrame({"name": w["names"], "bad": w["drop"], "x": w["numbers"]})[w["parts"] == TRAIN]
    left = frame[~frame.duplicated("name")]
    reasons = {"duplicate": len(frame) - len(left), "drop: bad": int(left["bad"].sum())}
    left = left[~left["bad"]]
    q1, q3 = left["x"].quantile(0.25), left["x"].quantile(0.75)
    low, high = q1 - 3 * (q3 - q1), q3 + 3 * (q3 - q1)
    out = (left["x"] < low) | (left["x"] > high)
    reasons["outlier: x"] = int(out.sum())
    assert reasons["outlier: x"] > 0
    assert found.reasons == reasons
    assert found.bounds["x"] == pytest.approx((low, high))
    kept = np.flatnonzero((w["parts"] == TRAIN) & ~found.out)
    assert kept.tolist() == left[~out].index.tolist()


def test_other_parts_are_neither_touched_nor_looked_at() -> None:
    w = world(9)
    rest = w["parts"] != TRAIN
    found = clean_rows(w["parts"], names=w["names"], drop={"bad": w["drop"]}, numbers={"x": w["numbers"]})
    assert not found.out[rest].any()
    changed = clean_rows(
        w["parts"],
        names=np.where(rest, w["names"][0], w["names"]),
        drop={"bad": w["drop"] | rest},
        numbers={"x": np.where(rest, 1e9, w["numbers"])},
    )
    np.testing.assert_array_equal(found.out, changed.out)
    assert (found.reasons, found.bounds) == (changed.reasons, changed.bounds)


def test_the_split_says_what_was_left_out() -> None:
    parts = np.array([0, 0, 0, 1, 2], np.int8)
    split = Split(parts, np.arange(5), {"train": 3, "validation": 1, "test": 1}, {"gap": 2})
    found = clean_rows(parts, drop={"x > 1": np.array([True, False, False, True, True])})
    done = found.apply(split)
    assert done.parts.tolist() == [DROPPED, 0, 0, 1, 2]
    assert done.counts == {"train": 2, "validation": 1, "test": 1}
    assert done.dropped == {"gap": 2, "drop: x > 1": 1}
    assert done.units is split.units
    assert clean_rows(parts).apply(split) is split


def test_nothing_left_to_train_on_is_an_error() -> None:
    parts = np.array([0, 0, 1, 2], np.int8)
    split = Split(parts, np.arange(4), {"train": 2, "validation": 1, "test": 1}, {})
    with pytest.raises(DataError, match=r"no training row: 1 by duplicate, 1 by drop: bad"):
        clean_rows(parts, names=np.zeros(4, np.uint64), drop={"bad": np.ones(4, bool)}).apply(split)


def test_a_column_that_hardly_varies_has_no_outliers() -> None:
    parts = np.zeros(100, np.int8)
    mostly = np.zeros(100)
    mostly[:20] = 5
    found = clean_rows(parts, numbers={"x": mostly, "null": np.full(100, np.nan)})
    assert not found.out.any()
    assert (found.reasons, found.bounds) == ({}, {})
