"""Whole experiments, looked at again and again: what they conclude, and how often that is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.metrics.sequential import units_needed
from headrace.policy.experiments import FAULT, LEAST, Guarded, Look, Rules, Units, Verdict, look
from headrace.policy.guarded import parse_guard

DAY = 86_400_000_000


def units(
    rng: np.random.Generator,
    number: int,
    *,
    share: float = 0.5,
    planned_share: float = 0.5,
    effect: float = 0.0,
    base: float = 0.2,
    **more: Any,
) -> Units:
    """Units that came evenly over 20 days, with an outcome of zero or one."""
    del planned_share
    treated = rng.random(number) < share
    outcome = (rng.random(number) < base + effect * treated).astype(float)
    first = np.linspace(0, 20 * DAY, number, endpoint=False).astype(np.int64)
    return Units(treated, ~treated, outcome, np.ones(number), first, **more)


def until(whole: Units, day: int) -> Units:
    """What was known by a day."""
    there = whole.first < day * DAY
    cut: dict[str, Any] = {
        name: value[there] for name, value in vars(whole).items() if isinstance(value, np.ndarray)
    }
    return Units(**cut)


def concluded(whole: Units, rules: Rules) -> Look:
    """The first look that says something: one a day for 20 days."""
    for day in range(1, 21):
        seen = look(until(whole, day), rules, day * DAY)
        if seen.verdict is not Verdict.WAIT:
            return seen
    return seen


def test_equal_arms_are_called_different_no_more_often_than_was_said() -> None:
    rng = np.random.default_rng(1)
    rules = Rules(share=0.5, planned=0)
    seen = [concluded(units(rng, 2_000), rules).verdict for _ in range(400)]
    wins = sum(v in (Verdict.BETTER, Verdict.WORSE) for v in seen)
    assert wins <= 30  # 20 are expected at most; beyond 30 lies one chance in seventy at 5%
    assert sum(v is Verdict.FAULT for v in seen) <= 10  # 4 are expected at most


def test_a_planned_effect_is_found_with_its_power_and_its_sign() -> None:
    rng = np.random.default_rng(2)
    needed = units_needed(0.42, 0.05, share=0.5, level=0.05, power=0.8)
    better = [
        concluded(units(rng, needed, effect=0.05), Rules(share=0.5, planned=needed)).verdict
        for _ in range(120)
    ]
    assert sum(v is Verdict.BETTER for v in better) >= 0.72 * len(better)  # 80% less three errors
    assert Verdict.WORSE not in better
    worse = concluded(units(rng, 2 * needed, effect=0.05), Rules(share=0.5, planned=needed, higher=False))
    assert worse.verdict is Verdict.WORSE


def test_the_end_without_a_difference_is_said() -> None:
    seen = concluded(units(np.random.default_rng(3), 2_000), Rules(share=0.5, planned=1_500))
    assert seen.verdict is Verdict.NO_DIFFERENCE
    assert "1,500" in seen.reason


def test_a_faulty_split_is_found_before_anything_is_believed() -> None:
    rng = np.random.default_rng(4)
    whole = units(rng, 6_000, share=0.44, effect=0.1)
    seen = concluded(whole, Rules(share=0.5, minimum=20 * DAY))
    assert seen.verdict is Verdict.FAULT
    assert seen.uneven <= FAULT
    assert "50.00% were planned" in seen.reason


def test_nothing_is_said_before_the_shortest_duration() -> None:
    whole = units(np.random.default_rng(5), 6_000, effect=0.2)
    assert look(until(whole, 6), Rules(share=0.5, minimum=7 * DAY), 6 * DAY).verdict is Verdict.WAIT
    assert look(until(whole, 7), Rules(share=0.5, minimum=7 * DAY), 7 * DAY).verdict is Verdict.BETTER
    few = look(until(units(np.random.default_rng(5), LEAST), 20), Rules(share=0.5), 20 * DAY)
    assert few.verdict is Verdict.WAIT and few.effect is None


def test_a_guardrail_stops_and_noise_does_not() -> None:
    def guarded(share: float, seed: int) -> Units:
        rng = np.random.default_rng(seed)
        marks = (rng.random(4_000) < share).astype(float)
        return units(rng, 4_000, guardrails={"x <= 2%": Guarded(marks, np.ones(4_000), 0.02)})

    assert look(guarded(0.06, 1), Rules(share=0.5), 20 * DAY).verdict is Verdict.HARM
    fine = [look(guarded(0.02, s), Rules(share=0.5), 20 * DAY).verdict is Verdict.HARM for s in range(60)]
    assert sum(fine) <= 3


def test_a_covariate_takes_noise_out_and_leaves_the_effect() -> None:
    rng = np.random.default_rng(6)
    number = 4_000
    treated = rng.random(number) < 0.5
    before = rng.normal(size=number)
    outcome = 2.0 * before + rng.normal(size=number) + 0.2 * treated
    known = np.where(rng.random(number) < 0.9, before, np.nan)
    first = np.zeros(number, dtype=np.int64)
    plain = look(Units(treated, ~treated, outcome, np.ones(number), first), Rules(share=0.5), DAY).effect
    held = look(
        Units(treated, ~treated, outcome, np.ones(number), first, before=known), Rules(share=0.5), DAY
    ).effect
    assert plain is not None and held is not None
    assert held.reduction == pytest.approx(0.72, abs=0.05)  # 0.8 of the variance, known of nine in ten
    width_before = plain.interval.high - plain.interval.low
    assert (held.interval.high - held.interval.low) / width_before == pytest.approx(0.53, abs=0.05)
    assert held.interval.low < 0.2 < held.interval.high


def test_the_interval_of_a_ratio_holds_its_truth() -> None:
    """Clicks by page: pages differ between units, so that the mean over units would be another figure."""
    rng = np.random.default_rng(7)
    missed, naive = 0, 0
    for _ in range(200):
        pages = rng.integers(1, 20, size=1_000).astype(float)
        rate = 0.1 + 0.02 * (pages > 10)
        clicks = rng.binomial(pages.astype(int), rate).astype(float)
        treated = rng.random(1_000) < 0.5
        of = Units(treated, ~treated, clicks, pages, np.zeros(1_000, dtype=np.int64), per=pages)
        effect = look(of, Rules(share=0.5), DAY).effect
        assert effect is not None
        missed += not effect.interval.low <= 0 <= effect.interval.high
        assert effect.means[1] == pytest.approx(clicks[treated].sum() / pages[treated].sum())
        naive += abs(effect.means[1] - (clicks / pages)[treated].mean()) > 1e-9
    assert missed <= 10
    assert naive == 200


def test_slices_share_the_level_and_small_ones_are_left_out() -> None:
    rng = np.random.default_rng(8)
    number = 8_000
    place = rng.choice(["north", "south", "islet"], p=[0.5, 0.49, 0.01], size=number)
    treated = rng.random(number) < 0.5
    outcome = (rng.random(number) < 0.2 + 0.15 * (treated & (place == "south"))).astype(float)
    of = Units(
        treated, ~treated, outcome, np.ones(number), np.zeros(number, dtype=np.int64),
        slices={"place": list(place)},
    )  # fmt: skip
    seen = look(of, Rules(share=0.5), DAY)
    assert set(seen.slices) == {"place = north", "place = south"}
    assert (seen.slices["place = south"].shown, seen.slices["place = north"].shown) == (1, 0)
    assert seen.slices["place = north"].interval.level == pytest.approx(0.975)


def test_an_effect_that_wears_off_is_noted() -> None:
    rng = np.random.default_rng(9)
    number = 12_000
    treated = rng.random(number) < 0.5
    early = np.arange(number) < number // 2
    outcome = (rng.random(number) < 0.2 + 0.15 * (treated & early)).astype(float)
    of = Units(treated, ~treated, outcome, np.ones(number), np.arange(number, dtype=np.int64))
    assert "novelty" in look(of, Rules(share=0.5), DAY).novelty
    assert look(units(rng, number, effect=0.1), Rules(share=0.5), DAY).novelty == ""


@pytest.mark.parametrize(
    ("text", "numerator", "bound", "least"),
    [
        ("fallback_share <= 1%", "CAST(starts_with(answered_by, 'fallback') AS DOUBLE)", 0.01, False),
        ("p95 < 1 s", "CAST(took_us > 1000000 AS DOUBLE)", 0.05, False),
        ("accuracy >= 0.9", "CAST(label = prediction AS DOUBLE)", 0.9, True),
    ],
)
def test_guardrails_are_read(text: str, numerator: str, bound: float, least: bool) -> None:
    guard = parse_guard(text)
    assert guard is not None
    assert (guard.numerator, guard.bound, guard.least) == (numerator, bound, least)


@pytest.mark.parametrize(
    "text", ["complaints a day <= 5", "p99 <= 50", "p99 >= 50 ms", "psi < 1", "", "mae <= 5 s"]
)
def test_other_guardrails_are_nobody_s(text: str) -> None:
    assert parse_guard(text) is None
