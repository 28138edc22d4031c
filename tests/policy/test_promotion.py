"""The promotion gates under simulation: equal models are seldom called better or blocked by a slice, planted
losses are caught, and small losses can't add up.

Rows of a day move together, and each model has good and bad days of its own, so that a comparison that takes
rows for independent is falsely sure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest

from headrace.core.errors import DataError
from headrace.core.evidence import Interval, Outcome, Rule, judge
from headrace.core.task import Kind, Task
from headrace.core.views import Reign
from headrace.metrics.catalog import METRICS
from headrace.metrics.intervals import Estimate
from headrace.metrics.record import Predictions
from headrace.policy.promotion import (
    ALPHA,
    Gain,
    best_evidence,
    gain,
    gain_evidence,
    slice_evidence,
    slice_gains,
    standing_line,
)

BINARY, THREE, NUMBER = (
    Task(Kind.BINARY, ("no", "yes")),
    Task(Kind.MULTICLASS, tuple("abc")),
    Task(Kind.REGRESSION),
)
ACCURACY, F1, MAE = METRICS["accuracy"], METRICS["f1"], METRICS["mae"]
SHARES = {"big": 0.35, "planted": 0.15, "c": 0.15, "d": 0.15, "e": 0.1, "f": 0.1}


@dataclass(frozen=True)
class World:
    """`days` days of `size` rows; `day` is how much a model's errors have in common within a day."""

    days: int
    size: int
    day: float = 0.0


ROWS, DAYS = World(1000, 2), World(50, 40, 0.5)
MORE_ROWS, LONGER_DAYS = World(2000, 2), World(50, 80, 0.5)


class Draw:
    """One sample of a world, and models of it."""

    def __init__(self, world: World, seed: int) -> None:
        self.rng = np.random.default_rng([11, seed])
        self.world = world
        self.units = np.repeat(np.arange(world.days), world.size)
        self.rows = len(self.units)
        self.x = self.rng.normal(0, 1.5, self.rows)
        self.slice = self.rng.choice(list(SHARES), self.rows, p=list(SHARES.values()))

    def noise(self) -> np.ndarray:
        own = self.rng.normal(0, self.world.day, self.world.days)[self.units] if self.world.day else 0.0
        return self.rng.normal(0, 0.5, self.rows) + own

    def binary(self) -> Predictions:
        """A model that sees x through noise of its own."""
        score = 1 / (1 + np.exp(-(self.x + self.noise())))
        return Predictions(
            BINARY, (self.x > 0).astype(float), score, self.units, (score >= 0.5).astype(np.int64)
        )

    def number(self) -> Predictions:
        return Predictions(NUMBER, self.x, self.x + self.noise(), self.units)

    def spoiled(self, p: Predictions, rows: np.ndarray, points: float) -> Predictions:
        """The same decisions, wrong for so many more of these rows (in points of accuracy)."""
        assert p.decision is not None
        right = rows & (p.decision == p.y)
        share = points * np.count_nonzero(rows) / np.count_nonzero(right)
        wrong = right & (self.rng.random(self.rows) < share)
        return replace(p, decision=np.where(wrong, 1 - p.decision, p.decision))

    def slices(self) -> dict[str, np.ndarray]:
        return {name: self.slice == name for name in SHARES}


def alike(world: World, repetitions: int, *, by_rows: bool = False) -> dict[str, float]:
    """Shares of pairs of equal models where the first is called better, and blocked by some slice."""
    found: Counter[str] = Counter()
    for seed in range(repetitions):
        draw = Draw(world, seed)
        pairs = {
            "accuracy": (ACCURACY, draw.binary(), draw.binary()),
            "mae": (MAE, draw.number(), draw.number()),
        }
        for name, (metric, *models) in pairs.items():
            ours, theirs = (replace(m, units=np.arange(m.rows)) if by_rows else m for m in models)
            found[f"{name} better"] += gain(metric, ours, theirs, seed=seed, resamples=100).says == "better"
            parts = slice_gains(metric, ours, theirs, draw.slices(), min_rows=50, seed=seed, resamples=100)
            found[f"{name} blocked"] += any(s.lost is not None and s.lost < -0.05 for s in parts)
            found[f"{name} lost"] += any(s.lost != 0 for s in parts)
    return {n: c / repetitions for n, c in found.items()}


def caught(world: World, repetitions: int, points: float = 0.1) -> dict[str, float]:
    """How often a loss of so many points of accuracy on the planted slice blocks, and other slices do."""
    found: Counter[str] = Counter()
    for seed in range(repetitions):
        draw = Draw(world, seed)
        ours, theirs = draw.binary(), draw.binary()
        ours = draw.spoiled(ours, draw.slice == "planted", points)
        parts = slice_gains(ACCURACY, ours, theirs, draw.slices(), min_rows=50, seed=seed, resamples=100)
        for e in slice_evidence(parts, ACCURACY, "champion"):
            outcome, _ = judge(e, Rule(">=", -0.05))
            assert outcome in (Outcome.PASS, Outcome.FAIL)
            found["planted" if "planted" in e.gate else "others"] += outcome == Outcome.FAIL
    return {n: c / repetitions for n, c in found.items()}


def losing(steps: int, seed: int, *, memory: bool, margin: float = 0.02) -> int:
    """How many of `steps` releases in a row, each half a margin worse than the champion, are promoted."""
    world = World(100, 200)
    draw = Draw(world, seed)
    champions = [draw.binary()]
    promoted = 0
    for step in range(steps):
        # Every champion meets new rows, on which its decisions are those of the same model.
        ours = draw.spoiled(champions[-1], np.ones(draw.rows, bool), margin / 2 * 0.85)
        against = gain(ACCURACY, ours, champions[-1], seed=step, resamples=100)
        verdicts = [
            judge(gain_evidence("champion", against, ACCURACY, "c"), Rule(">=", -margin, safe_end=True))
        ]
        if memory and len(champions) > 1:
            former = {
                f"c{i}": gain(ACCURACY, ours, c, seed=step, resamples=100)
                for i, c in enumerate(champions[:-1])
            }
            verdicts.append(judge(best_evidence(former, ACCURACY), Rule(">=", -margin, safe_end=True)))
        if all(outcome == Outcome.PASS for outcome, _ in verdicts):
            champions.append(ours)
            promoted += 1
    return promoted


def test_equal_models_are_seldom_better_or_blocked_by_a_slice() -> None:
    for world in (ROWS, DAYS):
        shares = alike(world, 50)
        most = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / 50)
        assert max(shares.values()) <= most, (world, shares)


def test_rows_in_place_of_days_call_equal_models_better() -> None:
    """What the test above would see if days were torn apart."""
    torn = alike(World(25, 80, 0.5), 30, by_rows=True)
    assert max(torn["accuracy better"], torn["mae better"]) > 0.15, torn


@pytest.mark.deep
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("world", [ROWS, DAYS])
def test_a_thousand_equal_pairs(world: World) -> None:
    shares = alike(world, 1000)
    assert max(v for n, v in shares.items() if "better" in n) <= 0.05, shares
    assert max(v for n, v in shares.items() if "blocked" in n) <= 0.05, shares
    assert max(v for n, v in shares.items() if "lost" in n) <= 0.05 + 0.014, shares


def test_ten_points_lost_on_a_small_slice_are_caught() -> None:
    """On 4,000 rows, 600 of them in the slice, two of a unit or 80. In truth: 100% and 98%."""
    for world in (MORE_ROWS, LONGER_DAYS):
        found = caught(world, 30)
        assert found["planted"] >= 0.85, (world, found)
        assert found["others"] <= 0.15, (world, found)
        assert caught(world, 20, points=0.0)["planted"] <= 0.1


@pytest.mark.deep
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("world", "power"), [(ROWS, 0.85), (DAYS, 0.65), (MORE_ROWS, 0.98), (LONGER_DAYS, 0.95)]
)
def test_the_power_of_the_slices_gate(world: World, power: float) -> None:
    found = caught(world, 500)
    assert found["planted"] >= power, found
    assert found["others"] <= 0.06, found


def test_small_losses_do_not_add_up() -> None:
    for seed in range(2):
        assert losing(10, seed, memory=False) == 10, "each alone passes against the champion before it"
        assert losing(10, seed, memory=True) <= 3


@pytest.mark.deep
@pytest.mark.timeout(3000)
def test_small_losses_do_not_add_up_in_many_worlds() -> None:
    promoted = [losing(10, seed, memory=True) for seed in range(100)]
    assert max(promoted) <= 3
    assert np.mean(promoted) <= 2


def test_what_may_be_said() -> None:
    draw = Draw(World(400, 5), 1)
    good, bad = draw.binary(), draw.binary()
    bad = draw.spoiled(bad, np.ones(draw.rows, bool), 0.1)
    assert gain(ACCURACY, good, bad, seed=0).says == "better"
    assert gain(ACCURACY, bad, good, seed=0).says == "worse"
    same = gain(ACCURACY, good, good, seed=0)
    assert (same.says, same.value, same.interval) == ("not told apart", 0.0, Interval(0.0, 0.0))
    assert (same.p_worse, same.p_better) == (1.0, 1.0)
    lost = gain(ACCURACY, bad, good, seed=0)
    assert lost.ours is not None
    assert lost.theirs is not None
    assert lost.value == pytest.approx((lost.ours - lost.theirs) / lost.theirs)
    assert lost.p_worse is not None
    assert lost.p_better is not None
    assert lost.p_worse < 1e-6 < 0.9 < lost.p_better


def test_p_values_invert_the_interval() -> None:
    for seed in range(20):
        draw = Draw(ROWS, seed)
        found = gain(MAE, draw.number(), draw.number(), seed=seed, resamples=100)
        assert found.interval is not None
        assert (found.p_worse <= 0.025) == (found.interval.high < 0)
        assert (found.p_better <= 0.025) == (found.interval.low > 0)


def test_errors_are_better_when_lower_and_gains_are_shares_of_the_other() -> None:
    draw = Draw(ROWS, 3)
    p = draw.number()
    worse = replace(p, score=p.y + 1.5 * (p.score - p.y))
    assert gain(MAE, worse, p, seed=0).value == pytest.approx(-0.5)
    assert gain(MAE, p, worse, seed=0).value == pytest.approx(1 / 3)


def test_three_classes() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    right = np.eye(3)[y]

    def model(share: float) -> Predictions:
        score = np.where((rng.random(600) < share)[:, None], right, np.roll(right, 1, axis=1))
        return Predictions(THREE, y.astype(float), score, np.arange(600), score.argmax(axis=1))

    better, other = model(0.9), model(0.7)
    assert gain(METRICS["f1_macro"], better, other, seed=0).says == "better"
    parts = slice_gains(METRICS["accuracy"], other, better, {"a": y == 0, "rest": y > 0}, min_rows=20, seed=0)
    assert [s.lost is not None and s.lost < -0.1 for s in parts] == [True, True]


def test_what_can_not_be_judged_says_why() -> None:
    draw = Draw(World(4, 100), 0)
    few = gain(ACCURACY, draw.binary(), draw.binary(), seed=0)
    assert few.interval is None
    assert "4 independent units" in few.why_none
    evidence = gain_evidence("champion", few, ACCURACY, "abc")
    assert judge(evidence, Rule(">=", -0.02, safe_end=True))[0] == Outcome.UNKNOWN
    (tiny,) = slice_gains(
        ACCURACY, draw.binary(), draw.binary(), {"s": np.arange(400) < 9}, min_rows=50, seed=0
    )
    (told,) = slice_evidence([tiny], ACCURACY, "abc")
    assert judge(told, Rule(">=", -0.05)) == (
        Outcome.UNKNOWN,
        "9 rows that neither was trained on; evaluate.min_rows asks for 50",
    )
    one_class = replace(draw.binary(), y=np.zeros(400), decision=np.zeros(400, np.int64))
    undefined = gain(F1, one_class, one_class, seed=0)
    assert undefined.value is None
    assert "undefined" in undefined.why_none
    assert judge(best_evidence({"a": undefined}, F1), Rule(">=", 0, safe_end=True))[0] == Outcome.UNKNOWN
    with pytest.raises(DataError, match="not of the same rows"):
        gain(ACCURACY, draw.binary(), Draw(ROWS, 1).binary(), seed=0)
    assert slice_gains(ACCURACY, draw.binary(), draw.binary(), {}, min_rows=50, seed=0) == ()


def test_the_best_of_several_counts_with_the_lowest_safe_end() -> None:
    draw = Draw(World(300, 10), 2)
    ours = draw.binary()
    everywhere = np.ones(draw.rows, bool)
    former: dict[str, Gain] = {
        name: gain(ACCURACY, ours, draw.spoiled(draw.binary(), everywhere, points), seed=0)
        for name, points in (("a", 0.05), ("b", 0.0), ("c", 0.1))
    }
    evidence = best_evidence(former, ACCURACY, ["d predicts something else"])
    assert evidence.where.startswith("against b, the best-looking of 3 former champions, on 3000 rows; d ")
    assert evidence.value == former["b"].value
    assert evidence.interval is not None
    lows = [g.interval.low for g in former.values() if g.interval]
    assert evidence.interval.low == pytest.approx(min(lows))
    assert evidence.interval.high > former["b"].interval.high
    alone = best_evidence({"b": former["b"]}, ACCURACY)
    assert alone.interval is not None
    assert alone.interval.high == pytest.approx(former["b"].interval.high)
    broken = replace(
        former["a"], interval=None, why_none="3 independent units", estimate=_unknown(former["a"])
    )
    held = best_evidence({**former, "a": broken}, ACCURACY)
    assert (held.interval, held.why_none) == (None, "3 independent units")


def _unknown(g: Gain) -> Estimate:
    return replace(g.estimate, interval=None, pivot=None)


def test_the_line_of_champions_leaves_out_what_was_taken_down() -> None:
    def line(*steps: str) -> tuple[str, ...]:
        reigns = [Reign(s.strip("<"), "", "", "", "rollback" if "<" in s else "promotion") for s in steps]
        return standing_line(reigns)

    assert line() == ()
    assert line("a", "b", "c") == ("a", "b", "c")
    assert line("a", "b", "<a", "c") == ("a", "c")
    assert line("a", "b", "c", "<b") == ("a", "b")
    assert line("a", "b", "<a", "b") == ("a", "b"), "by name it came back"
    assert line("a", "b", "a") == ("a", "b")
