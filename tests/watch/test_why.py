"""Why there is an alert: planted causes are found, and nothing is found where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.core.clock import iso
from headrace.core.event import GENESIS, Draft, seal_event
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.watching import Family, Reading, Window
from headrace.summary.bins import Bins, make_bins
from headrace.summary.counts import Counter
from headrace.watch.effects import effects
from headrace.watch.why import (
    CHANGE_KINDS,
    began,
    changes_before,
    explained,
    from_micros,
    moves,
    slice_of,
    undone,
)

HOUR = 3_600_000_000
START = 1_763_740_800_000_000
TYPES = {"gust": Type.NUMBER, "origin": Type.TEXT, "heavy": Type.BOOL}


def rows(n: int, seed: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "gust": rng.normal(20, 5, n),
        "origin": rng.choice(np.array(["EWR", "JFK", "LGA"], object), n, p=[0.4, 0.4, 0.2]),
        "heavy": (rng.random(n) < 0.3).astype(np.float64),
    }


def coded(bins: Bins, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    return Counter(bins).codes(columns, len(columns["gust"]))


@pytest.fixture(scope="module")
def reference() -> tuple[Bins, NDArray[np.uint8]]:
    columns = rows(5000, 1)
    bins = make_bins(columns, TYPES)
    return bins, coded(bins, columns)


def counted(bins: Bins, codes: NDArray[np.uint8], column: str) -> NDArray[np.int64]:
    at = bins.index(column)
    return np.bincount(codes[:, at], minlength=bins.columns[at].width)


def test_the_values_that_moved_are_named(reference: tuple[Bins, NDArray[np.uint8]]) -> None:
    bins, codes = reference
    now = rows(1000, 2)
    now["gust"][:400] = np.nan
    found = moves(bins, "gust", counted(bins, codes, "gust"), counted(bins, coded(bins, now), "gust"))
    assert (found[0].of, found[0].what, found[0].before) == ("gust", "null", 0.0)
    assert found[0].after == pytest.approx(0.4)


def test_the_slice_that_a_fault_is_in_is_found(reference: tuple[Bins, NDArray[np.uint8]]) -> None:
    bins, codes = reference
    now = rows(1000, 3)
    now["gust"][now["origin"] == "LGA"] = np.nan
    found = slice_of(bins, coded(bins, now), "gust", counted(bins, codes, "gust"), ["origin", "heavy"])
    assert found is not None and (found.of, found.value) == ("origin", "LGA")
    assert found.share == 1.0 and found.elsewhere < 0.05


def test_no_slice_is_named_where_the_fault_is_everywhere(reference: tuple[Bins, NDArray[np.uint8]]) -> None:
    """At level 0.01 over all that is looked at."""
    bins, codes = reference
    named = 0
    for seed in range(200):
        now = rows(400, 100 + seed)
        now["gust"] = np.where(np.random.default_rng(seed).random(400) < 0.5, np.nan, now["gust"])
        before = counted(bins, codes, "gust")
        named += slice_of(bins, coded(bins, now), "gust", before, ["origin", "heavy"]) is not None
    assert named <= 6  # 2 expected at most; P(more than 6) < 0.005


def seen(number: int, value: float | None, **told: Any) -> tuple[Window, Reading]:
    begin = START + number * HOUR
    reading = Reading(Family.DRIFT, "ks", "gust", value, 0.1, value is not None and value > 0.1)
    return Window("r", "champion", begin, begin + HOUR, 100), replace(reading, **told)


def test_the_run_of_windows_begins_where_it_was_half_an_alarm() -> None:
    window, reading = seen(9, 0.3, details={"reference": 0.0})
    earlier = [seen(8, 0.2), seen(7, 0.06), seen(6, 0.01), seen(5, 0.4)]
    assert began(window, reading, earlier) == START + 7 * HOUR
    assert began(window, reading, [seen(8, None), *earlier]) == window.start
    assert began(window, reading, []) == window.start


def test_half_an_alarm_is_half_way_from_what_is_usual() -> None:
    """Also where smaller is worse, and where what is usual is nearer to an alarm than nothing is."""
    fell = {"family": Family.PERFORMANCE, "check": "roc_auc", "threshold": 0.7}
    window, reading = seen(9, 0.6, exceeds=True, details={"reference": 0.8}, **fell)
    earlier = [
        seen(n, auc, exceeds=auc < 0.7, **fell) for n, auc in ((8, 0.65), (7, 0.74), (6, 0.79), (5, 0.6))
    ]
    assert began(window, reading, earlier) == START + 7 * HOUR
    window, reading = seen(9, 0.5, threshold=0.4, details={"reference": 0.3})
    assert (
        began(window, reading, [seen(8, 0.36, exceeds=False), seen(7, 0.31, exceeds=False)])
        == START + 8 * HOUR
    )


def test_where_nothing_is_usual_alarms_alone_count() -> None:
    """Volumes differ by the hour of the week; bounds are declared."""
    few = {"family": Family.QUALITY, "check": "volume", "threshold": 40.0, "p": 1e-6}
    window, reading = seen(9, 3.0, exceeds=True, details={"usual": 100.0}, **few)
    assert began(
        window, reading, [seen(8, 5.0, exceeds=True, **few), seen(7, 60.0, exceeds=False, **few)]
    ) == (START + 8 * HOUR)


def test_what_was_done_shortly_before_is_told_the_nearest_first() -> None:
    def event(number: int, kind: str, subject: str, hours: float, **payload: Any) -> Any:
        time = iso(from_micros(START + round(hours * HOUR)))
        return seal_event(Draft(kind, subject, time, "ann", payload), number, GENESIS)

    events = [
        event(1, "table.snapshot", "weather", -30),
        event(2, "release.promoted", "r2", -2),
        event(3, "table.snapshot", "weather", -1, rows=26115),
        event(4, "route.set", "default", 0.5),
    ]
    assert {e.kind for e in events} <= set(CHANGE_KINDS)
    told = [c.what for c in changes_before(events, START, 24 * HOUR, START + HOUR)]
    assert told == [
        "a new snapshot of weather with 26115 rows",
        "r2 became champion",
        "the route default was changed",
    ]


class Linear:
    """A graph whose prediction is the gust, or 50 where it is not known, and 10 at LGA."""

    def run(self, feeds: Mapping[str, NDArray[Any]], rows: int) -> dict[str, NDArray[Any]]:
        gust = np.where(np.isnan(feeds["gust"]), 50.0, feeds["gust"])
        return {"prediction": gust + 10.0 * (feeds["origin"] == "LGA")}


def test_what_a_column_did_to_answers_is_taken_back(reference: tuple[Bins, NDArray[np.uint8]]) -> None:
    bins, codes = reference
    now = rows(2000, 4)
    now["gust"][:] = np.nan
    made = coded(bins, now)
    (found,) = effects(Linear(), now, bins, made, {"gust": counted(bins, codes, "gust")})
    assert found.answer == "prediction"
    assert found.now == pytest.approx(52, abs=0.5) and found.without == pytest.approx(22, abs=1)
    now["origin"][:] = "LGA"
    now["gust"] = rows(2000, 4)["gust"]
    made = coded(bins, now)
    before = {name: counted(bins, codes, name) for name in ("gust", "origin")}
    same, found = effects(Linear(), now, bins, made, before)
    assert found.now - found.without == pytest.approx(8, abs=0.5)
    assert same.now == found.now and same.now - same.without == pytest.approx(0, abs=0.5)


def test_a_shift_is_taken_back_in_the_order_of_values(reference: tuple[Bins, NDArray[np.uint8]]) -> None:
    bins, codes = reference
    now = rows(1000, 5)
    now["gust"] += 5
    made = coded(bins, now)[:, 0]
    was = undone(bins, "gust", made, counted(bins, codes, "gust"), 1)
    assert np.corrcoef(now["gust"], was)[0, 1] > 0.94
    shares = np.bincount(was, minlength=bins.columns[0].width) / len(was)
    target = counted(bins, codes, "gust") / len(codes)
    assert np.abs(shares - target).max() < 0.003


def test_moments_and_digests_have_no_way_back() -> None:
    columns = {"name": np.array(["ann", "bob", NULL_TEXT], object)}
    bins = make_bins(columns, {"name": Type.TEXT}, hashed=["name"])
    assert effects(Linear(), columns, bins, np.zeros((3, 1), np.uint8), {"name": np.ones(7)}) == ()


def test_all_of_it_in_words() -> None:
    window = Window("r", "champion", START, START + HOUR, 100)
    told = explained(
        window, START - HOUR, (), None, (), (), Reading(Family.VALUE, "estimated", value=-3.2, unit="USD")
    )
    assert told.lines == ("since 2025-11-21T15:00Z", "worth: -3.2 USD (estimated)")
