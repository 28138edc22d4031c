"""What reviewers found: how often they overturn answers, weighted by the chance of being asked, and whether
they agree with each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headrace.core.review import AUDIT, Label, Reviewed, State


@dataclass(frozen=True)
class Agreement:
    """Two people on the same items: how many, the share decided alike, and Cohen's kappa (Cohen 1960,
    Educational and Psychological Measurement 20): how far that is above what chance would bring; the first to
    decide is one rater, the second the other. None where all said one thing, or nobody decided twice."""

    items: int
    share: float | None
    kappa: float | None
    why_none: str = ""


@dataclass(frozen=True)
class Overturned:
    """How many of some answers reviewers decided otherwise.

    asked, settled: items, and those with a decision. share: of the answers that these stand for, each
    weighted by one over its chance in the draw that picked it (Horvitz & Thompson 1952, JASA 47; divided by
    the weights' sum: Hájek 1971). low, high: Wilson's interval (1927, JASA 22) at 95% with Kish's effective
    number of decisions (1965). Items that nobody decided in time are taken to be like the others.
    """

    asked: int
    settled: int
    share: float | None
    low: float | None = None
    high: float | None = None


def agreement(pairs: Sequence[tuple[Label, Label]]) -> Agreement:
    """Of the first two decisions of each item that two decided."""
    n = len(pairs)
    if not n:
        return Agreement(0, None, None, "no item was decided twice")
    share = sum(a == b for a, b in pairs) / n
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[v] * second[v] for v in first) / n**2
    if chance >= 1.0:
        return Agreement(n, share, None, "everybody said the same of every item")
    return Agreement(n, share, (share - chance) / (1.0 - chance))


def pairs_of(items: Iterable[Reviewed]) -> list[tuple[Label, Label]]:
    """The first two decisions of each item that has two."""
    found = []
    for item in items:
        made = [s.decision for s in item.said if s.decision is not None]
        if len(made) > 1:
            found.append((made[0], made[1]))
    return found


def overturned(items: Iterable[Reviewed], *, by_chance: bool) -> Overturned:
    """Of what the random share picked, which stands for all answers that are given without a person; or of
    what the rule sent."""
    mine = [i for i in items if (i.item.why == AUDIT) == by_chance]
    told = [
        (1.0 / (i.item.drawn or i.item.chance), i.decision != i.item.answer.get("prediction"))
        for i in mine
        if i.state is State.DECIDED and i.item.answer.get("prediction") is not None
    ]
    if not told:
        return Overturned(len(mine), 0, None)
    total = sum(w for w, _ in told)
    share = sum(w for w, wrong in told if wrong) / total
    low, high = _wilson(share, total**2 / sum(w * w for w, _ in told))
    return Overturned(len(mine), len(told), share, low, high)


def _wilson(share: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    centre = share + z * z / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    return max(0.0, (centre - reach) / whole), min(1.0, (centre + reach) / whole)
