"""The alert budget in full: streams long enough to expect more than a hundred alarms each, the tail at one
alarm in 720 windows, and what catches a shift of 0.3 standard deviations in one of 50 columns. Prints the
tables of docs/drift.md.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from drift_streams import CASES, Kind, budgets, caught

RATES = (1 / 20, 1 / 50, 1 / 100, 1 / 720)
WORLDS, WINDOWS = 150, 200
MONTH_OF_HOURS, MONTH_OF_DAYS = 730.5, 30.44


@pytest.mark.deep
@pytest.mark.parametrize("name", list(CASES))
def test_alarms_stay_within_a_fifth_of_their_budget(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = budgets(name, WORLDS, WINDOWS, RATES)
    ratios = {r: told.alarms[r] / (told.windows * r) for r in RATES}
    errors = {r: float(np.std(told.by_world[r]) / r / math.sqrt(WORLDS)) for r in RATES}
    with capsys.disabled():
        print(f"\n{CASES[name].told}: {told.windows} windows, {told.alarms[1 / 50]} alarms at 1/50")
        print("  " + "  ".join(f"1/{1 / r:.0f}: {ratios[r]:.2f} ± {errors[r]:.2f}" for r in RATES))
        print(f"  usual defaults: PSI > 0.2 {told.psi:.0%}, KS p < 0.05 {told.ks:.0%}")
    assert told.windows / 50 > 100
    # Within ±20% as far as so many streams can tell; a tail that is far wrong is found at 1/720.
    assert 0.8 - 2 * errors[1 / 50] < ratios[1 / 50] < 1.2 + 2 * errors[1 / 50]
    assert ratios[1 / 720] < 2 + 2 * errors[1 / 720]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("rows", "windows"),
    [
        (300, MONTH_OF_HOURS),
        (400, MONTH_OF_HOURS),
        (1_000, MONTH_OF_HOURS),
        (200, MONTH_OF_DAYS),
        (1_000, MONTH_OF_DAYS),
    ],
)
def test_a_shift_is_caught_within_three_windows(
    rows: int, windows: float, capsys: pytest.CaptureFixture[str]
) -> None:
    found = caught(Kind("iid"), rows, 1 / windows, references=8, repeats=25)
    with capsys.disabled():
        print(f"\n{rows} rows a window, one alarm in {windows:.0f}: caught in {found:.1%} of 200 repeats")
    assert found >= 0.9
