"""Leaving units out by taking them off gives what adding all others up gives, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.metrics import measure
from headrace.metrics.resample import draw, leave_one_out


@pytest.mark.parametrize("most", [3, 2**18, 2**24])
def test_units_taken_off_are_units_left_out(most: int) -> None:
    rng = np.random.default_rng(most)
    table = rng.integers(0, most, (40, 17)).astype(np.float32)
    add = measure._adding(table)
    (left_out,) = leave_one_out(40)
    (drawn,) = draw(40, 25, rng)
    for weights in (left_out, drawn, np.vstack([left_out[:3], drawn[:3]]), np.ones((1, 40)), left_out * 2):
        assert np.array_equal(add(weights), weights.astype(np.float32) @ table)


def test_only_weights_that_leave_out_one_unit_are_taken_for_such() -> None:
    (left_out,) = leave_one_out(5)
    assert np.array_equal(measure._left_out(left_out), np.arange(5))
    two = left_out.copy()
    two[0, 4] = 0
    for other in (two, np.ones((2, 5)), left_out * 2, left_out + 1):
        assert measure._left_out(other) is None
