"""How each guardrail is measured, and what is bet on it.

- A share, or a quantile as the share beyond it, against a number: the mean of a window against the bound.
- Against the champion: units are divided by chance, so of the units that fail, or are slow, in a window each
  is the canary's with the chance of its share, whatever the hour and the load. Slow is what takes longer than
  the champion's quantile of late, the canary's times being divided by the factor first.
- Scores: the share of the canary's in each of 28 sets (tenths of the champion's scores; all below, and all
  above, the edge of a tenth) against the champion's and the bound.
- Where the champion answers nothing any more, nothing is compared: who can't see what load does to both can't
  tell it from what the release does.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headrace.policy.arms import LEAST, ArmSeen, Newest, Seen
from headrace.policy.bets import FRACTIONS, ODDS, Capital, Floats, mean_factors, means_factors, share_factors
from headrace.policy.guardrails import DRIFT, QUANTILES, SHARES, VALUE, Guardrail

Worth = tuple[float, float]
_TENTHS = 10
_SURE = 1e-3


class Rail:
    """A guardrail and what was bet on it. `why_none`: why nothing can be measured now. `compares`: with what
    the champion does at the same time, so that it has to do something."""

    compares = False

    def __init__(self, guardrail: Guardrail, worth: Worth | None) -> None:
        del worth
        self.guardrail = guardrail
        self.why_none = ""
        self._capital = Capital(len(FRACTIONS))

    @property
    def evidence(self) -> float:
        """The capital that betting against the canary has made of 1."""
        return self._capital.sum

    def renew(self, champion: ArmSeen) -> bool:
        """Read anew what the champion does; whether there is enough of it."""
        del champion
        return True

    def take(self, canary: Seen, champion: Seen, chance: float, weight: float) -> None:
        """Bet on a window in which the canary's chance of a unit was `chance`."""
        raise NotImplementedError

    def estimate(self, arm: ArmSeen) -> float | None:
        """What is bounded, in an arm's newest rows."""
        raise NotImplementedError


class ShareRail(Rail):
    """A share of the answers, against a number."""

    def take(self, canary: Seen, champion: Seen, chance: float, weight: float) -> None:
        if len(canary):
            mean = _share(_marks(self.guardrail, canary))
            self._capital.play(mean_factors(mean, self.guardrail.bound), weight)

    def estimate(self, arm: ArmSeen) -> float | None:
        return _mean(getattr(arm, self.guardrail.name))


class QuantileRail(Rail):
    """A quantile of the time that answers take, against a time."""

    def take(self, canary: Seen, champion: Seen, chance: float, weight: float) -> None:
        if len(canary):
            beyond = _share(canary.took > self.guardrail.bound)
            self._capital.play(mean_factors(beyond, 1 - QUANTILES[self.guardrail.name]), weight)

    def estimate(self, arm: ArmSeen) -> float | None:
        return _quantile(arm.took, QUANTILES[self.guardrail.name])


class ShareAgainst(Rail):
    """A share of the answers, against some times the champion's in the same windows."""

    compares = True

    def __init__(self, guardrail: Guardrail, worth: Worth | None) -> None:
        super().__init__(guardrail, worth)
        self._capital = Capital(len(ODDS))

    def take(self, canary: Seen, champion: Seen, chance: float, weight: float) -> None:
        ours, theirs = _marks(self.guardrail, canary), _marks(self.guardrail, champion)
        odds = self.guardrail.bound * chance / (1.0 - chance)
        self._capital.play(share_factors(int(ours.sum()), int(theirs.sum()), odds / (1.0 + odds)), weight)

    def estimate(self, arm: ArmSeen) -> float | None:
        return _mean(getattr(arm, self.guardrail.name))


class QuantileAgainst(Rail):
    """A quantile of the time that answers take, against some times the champion's in the same windows."""

    compares = True

    def __init__(self, guardrail: Guardrail, worth: Worth | None) -> None:
        super().__init__(guardrail, worth)
        self._capital = Capital(len(ODDS))
        self._slow = math.inf

    def renew(self, champion: ArmSeen) -> bool:
        if len(champion.took) < LEAST:
            self.why_none = "the champion has answered too little to compare with"
            return False
        self.why_none = ""
        self._slow = float(np.quantile(champion.took.values(), QUANTILES[self.guardrail.name]))
        return True

    def take(self, canary: Seen, champion: Seen, chance: float, weight: float) -> None:
        ours = canary.took > self.guardrail.bound * self._slow
        theirs = champion.took > self._slow
        self._capital.play(share_factors(int(ours.sum()), int(theirs.sum()), chance), weight)

    def estimate(self, arm: ArmSeen) -> float | None:
        return _quantile(arm.took, QUANTILES[self.guardrail.name])


class DriftRail(Rail):
    """The largest difference between the shares of scores, in tenths and beyond them."""

    compares = True

    def __init__(self, guardrail: Guardrail, worth: Worth | None) -> None:
        super().__init__(guardrail, worth)
        self._capital = Capital(_SETS.shape[1] * len(FRACTIONS))
        self._edges = np.zeros(0)
        self._shares = np.zeros(_SETS.shape[1])
        self._most = np.zeros(_SETS.shape[1])

    def renew(self, champion: ArmSeen) -> bool:
        kept = champion.score.values()
        if len(kept) < LEAST:
            self.why_none = "the champion has given too few scores to compare with"
            return False
        self.why_none = ""
        self._edges = np.quantile(kept, np.arange(1, _TENTHS) / _TENTHS)
        self._shares = self._in_sets(kept)
        # The champion's shares at the far end of a band around them (Dvoretzky, Kiefer & Wolfowitz 1956;
        # Massart 1990).
        band = math.sqrt(math.log(2 / _SURE) / (2 * len(kept)))
        self._most = np.minimum(self._shares + self.guardrail.bound + band, 1.0)
        return True

    def _in_sets(self, scores: Floats) -> Floats:
        """The share of scores in every set."""
        tenths = np.searchsorted(self._edges, scores, side="left")
        return np.asarray(np.bincount(tenths, minlength=_TENTHS) / len(scores) @ _SETS)

    def take(self, canary: Seen, champion: Seen, chance: float, weight: float) -> None:
        scores = canary.score[np.isfinite(canary.score)]
        if len(self._edges) and len(scores):
            self._capital.play(means_factors(self._in_sets(scores), self._most), weight)

    def estimate(self, arm: ArmSeen) -> float | None:
        if not len(self._edges) or not len(arm.score):
            return None
        return float(np.abs(self._in_sets(arm.score.values()) - self._shares).max())


class ValueRail(Rail):
    """What decisions are worth, against a number or some times what the champion's are; of answers whose
    truth is known."""

    def __init__(self, guardrail: Guardrail, worth: Worth | None) -> None:
        super().__init__(guardrail, worth)
        self._worth = worth
        self._target: float | None = None if guardrail.relative else guardrail.bound
        if worth is None:
            self.why_none = "the spec has no problem.value"

    def renew(self, champion: ArmSeen) -> bool:
        if not self.guardrail.relative or self._worth is None:
            return True
        kept = champion.value.values()
        if len(kept) < LEAST:
            self.why_none = f"the truth of {len(kept)} of the champion's answers is known; {LEAST} are needed"
            return False
        self.why_none = ""
        mean, error = float(kept.mean()), float(kept.std()) / math.sqrt(len(kept))
        self._target = allowed(mean, self.guardrail.bound) - 3 * error
        return True

    def take(self, canary: Seen, champion: Seen, chance: float, weight: float) -> None:
        if self._worth is None or self._target is None or not len(canary.value):
            return
        least, most = self._worth
        lost = np.clip((most - canary.value) / (most - least), 0.0, 1.0)
        bound = (most - self._target) / (most - least)
        self._capital.play(mean_factors(float(lost.mean()), bound), weight)

    def estimate(self, arm: ArmSeen) -> float | None:
        return _mean(arm.value)


def allowed(mean: float, times: float) -> float:
    """What is left of a mean that may be negative: it may lose `1 - times` of its size."""
    return mean - (1 - times) * abs(mean)


def rail_of(guardrail: Guardrail, worth: Worth | None) -> Rail:
    """How a guardrail is measured."""
    return _kind(guardrail)(guardrail, worth)


def _kind(g: Guardrail) -> Callable[[Guardrail, Worth | None], Rail]:
    if g.name == DRIFT:
        return DriftRail
    if g.name == VALUE:
        return ValueRail
    if g.name in SHARES:
        return ShareAgainst if g.relative else ShareRail
    return QuantileAgainst if g.relative else QuantileRail


def _marks(g: Guardrail, seen: Seen) -> Floats:
    return seen.failed if g.name == "error_share" else seen.fell_back


def _share(marks: Floats | NDArray[np.bool_]) -> float:
    return float(marks.sum()) / len(marks)


def _mean(kept: Newest) -> float | None:
    return float(kept.values().mean()) if len(kept) else None


def _quantile(kept: Newest, level: float) -> float | None:
    return float(np.quantile(kept.values(), level)) if len(kept) else None


def _sets() -> Floats:
    """[tenth, set]: which tenths a set holds."""
    below = np.triu(np.ones((_TENTHS, _TENTHS)))[:, :-1]
    return np.concatenate([np.eye(_TENTHS), below, 1 - below], axis=1)


_SETS = _sets()
