"""What reviewers found: agreement, and how often answers are overturned."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.core.review import AUDIT, Item, Reviewed, Said, State
from headrace.policy.review_found import agreement, overturned, pairs_of


def decided(right: bool, *, chance: float = 1.0, why: str = AUDIT, open_: bool = False) -> Reviewed:
    item = Item("p", "r", {}, {"prediction": "a"}, why, asked=1, chance=chance)
    if open_:
        return Reviewed(item, State.EXPIRED)
    return Reviewed(item, State.DECIDED, "a" if right else "b")


def test_kappa_of_the_textbook() -> None:
    """Cohen's measure on a table of 50 grants: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no."""
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    found = agreement(pairs)
    assert (found.items, found.share) == (50, 0.7)
    assert found.kappa == pytest.approx(0.4)


def test_kappa_by_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    first = rng.choice(["a", "b", "c"], 200)
    second = np.where(rng.random(200) < 0.6, first, rng.choice(["a", "b", "c"], 200))
    found = agreement(list(zip(first.tolist(), second.tolist(), strict=True)))
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second))


def test_kappa_that_says_nothing() -> None:
    assert agreement([]).why_none == "no item was decided twice"
    same = agreement([("a", "a")] * 5)
    assert (same.share, same.kappa) == (1.0, None)
    assert "the same" in same.why_none


def test_pairs_are_the_first_two_decisions() -> None:
    item = decided(True).item
    said = (Said("ann", 0, "a", 1), Said("bob", 0, "b", 2), Said("cid", 0, "b", 3))
    assert pairs_of([Reviewed(item, State.DECIDED, "b", said=said), decided(True)]) == [("a", "b")]


def test_decisions_weigh_one_over_their_chance() -> None:
    """Ten looked at with a chance of 0.1 stand for a hundred, ten that were looked at anyway for ten."""
    items = [decided(n >= 5, chance=0.1) for n in range(10)] + [decided(True, chance=1.0) for _ in range(10)]
    found = overturned(items, by_chance=True)
    assert (found.asked, found.settled) == (20, 20)
    assert found.share == pytest.approx(50 / 110)


def test_what_was_sent_and_what_was_drawn_are_apart() -> None:
    items = [decided(False, why="confidence 0.5 < 0.9"), decided(True), decided(True, open_=True)]
    assert overturned(items, by_chance=False).share == 1.0
    drawn = overturned(items, by_chance=True)
    assert (drawn.asked, drawn.settled, drawn.share) == (2, 1, 0.0)
    assert overturned([], by_chance=True).share is None


def test_the_draw_that_picked_it_weighs_not_either() -> None:
    """The random share stands for what the machine answered alone: candidates that were drawn as such are not
    among that, and count for nothing."""
    lost = Item("p", "r", {}, {"prediction": "a"}, AUDIT, asked=1, chance=0.55, drawn=0.1)
    told = overturned([Reviewed(lost, State.DECIDED, "b"), decided(True, chance=0.1)], by_chance=True)
    assert told.share == pytest.approx(0.5)


def test_the_interval_holds_the_truth() -> None:
    """The true share of mistakes lies in the interval in nearly 95 of 100 months, also where chances differ;
    the mean of the estimates is the truth."""
    rng = np.random.default_rng(1)
    inside, total = 0, 0.0
    for _ in range(400):
        rows = 2000
        hard = rng.random(rows) < 0.3
        wrong = rng.random(rows) < np.where(hard, 0.3, 0.05)
        chance = np.where(hard, 0.2, 0.1)
        asked = rng.random(rows) < chance
        items = [decided(not w, chance=c) for w, c, a in zip(wrong, chance, asked, strict=True) if a]
        found = overturned(items, by_chance=True)
        assert found.share is not None
        assert found.low is not None
        assert found.high is not None
        total += found.share / 400
        inside += found.low <= 0.125 <= found.high
    assert abs(total - 0.125) < 0.004
    assert inside / 400 >= 0.92
