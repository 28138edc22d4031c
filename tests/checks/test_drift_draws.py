"""Windows that might have been: what each is compared with, and what is kept away from it."""

from __future__ import annotations

import numpy as np
import pytest
from drift_streams import CASES, HOUR, World, held, world
from numpy.typing import NDArray

from headrace.checks.drift.resample import Draws, Size, draw
from headrace.core.schema import Type
from headrace.summary.bins import make_bins
from headrace.summary.counts import Counter


def stream(name: str) -> World:
    case = CASES[name]
    return world(case.kind, 3, reference=case.reference, columns=5, rows=case.rows, span=case.span, windows=3)


def eighths(n: int, span: int) -> Draws:
    """Draws of `n` rows, one a minute, whose only column tells which eighth of them it is."""
    place = np.arange(n) * 8 // n
    raw: dict[str, NDArray] = {"at": np.array([f"p{i}" for i in place], object)}
    bins = make_bins(raw, {"at": Type.TEXT})
    codes = Counter(bins).codes(raw, n)
    rows = held(bins, codes, np.arange(n, dtype=np.int64) * 60_000_000, timed=True)
    return draw(bins, rows, Size(span, span * 60_000_000), 0)


@pytest.mark.parametrize("name", ["ar50", "ar200", "hours1", "hours1long", "hours24", "season6", "season24"])
def test_what_a_window_is_compared_with_is_most_of_all_reference_rows(name: str) -> None:
    """Of those that are not kept too; the least that is left out is the window itself."""
    w = stream(name)
    drawn = draw(w.bins, w.rows, w.size, 0)
    assert drawn.pieces == 1
    assert len(drawn.reference) == len(drawn.window) == len(drawn.near)
    span = w.bins.span("c0")
    rows, total = drawn.reference[:, span].sum(1), w.reference[span].sum()
    assert (rows <= total - drawn.window[:, span].sum(1)).all()
    assert rows.min() > 0.85 * total


def test_a_twentieth_on_each_side_is_kept_away_where_the_reference_hangs_together() -> None:
    n, span = 12_000, 60
    drawn = eighths(n, span)
    missing = n - drawn.reference.sum(1)
    middle = missing[len(missing) // 4 : -len(missing) // 4]
    assert (np.abs(middle - span - 2 * 0.05 * n) <= 0.01 * n).all()
    assert missing.min() >= span + 0.05 * n - 0.01 * n


def test_draws_that_share_rows_or_lie_beside_each_other_are_near() -> None:
    w = stream("hours24")
    drawn = draw(w.bins, w.rows, w.size, 0)
    first, behind = drawn.near.T
    each = np.arange(len(drawn.window))
    assert (first <= np.maximum(each - drawn.gap + 1, 0)).all()
    assert (behind >= np.minimum(each + drawn.gap, len(each))).all()
    assert (np.diff(first) >= 0).all()
    assert (np.diff(behind) >= 0).all()
    assert (behind - first).max() < 0.1 * len(each)
    for i in each[:: len(each) // 20]:  # near is mutual
        assert all(first[j] <= i < behind[j] for j in range(first[i], behind[i]))


def test_no_more_is_left_out_than_hangs_together() -> None:
    """Levels that take ten hours to change: of 500 hours more is kept away than of 2,000."""
    shares = []
    for name in ("hours1", "hours1long"):
        w = stream(name)
        drawn = draw(w.bins, w.rows, w.size, 0)
        span = w.bins.span("c0")
        shares.append(1 - float(np.median(drawn.reference[:, span].sum(1))) / w.reference[span].sum())
    assert 0.03 < shares[0] < 0.12
    assert shares[1] < 0.03
    assert w.size.span == HOUR


def test_thinned_windows_are_in_the_order_of_time_too() -> None:
    w = stream("ar200")
    drawn = draw(w.bins, w.rows, Size(100, 200 * 60_000_000), 0)
    assert (np.diff(drawn.near[:, 0]) >= 0).all()
    assert len(drawn.near) == len(drawn.window)
