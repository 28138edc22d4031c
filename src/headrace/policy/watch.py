"""A canary under watch: windows of answers in, guardrails judged."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.evidence import Outcome
from headrace.policy.arms import LEAST, ArmSeen, Seen
from headrace.policy.bets import spent
from headrace.policy.guardrails import DRIFT, VALUE, Guardrail, Judged
from headrace.policy.rails import Rail, Worth, allowed, rail_of

ALPHA = 0.01
"""The chance of rolling back a canary that keeps to all its guardrails, in the whole ramp."""
RENEWED = 40
"""Windows after which what the champion does is read anew."""
_ALONE = 0.999


class Watch:
    """Judges a canary from the windows of its ramp, whose shares may change between them.

    windows: how many the ramp is planned to last. worth: the least and the most that one decision can be
    worth, where a guardrail speaks of value.
    """

    def __init__(
        self,
        guardrails: Sequence[Guardrail],
        *,
        windows: int,
        worth: Worth | None = None,
        alpha: float = ALPHA,
    ) -> None:
        self._rails = [rail_of(g, worth) for g in guardrails]
        self._ready = [rail.renew(ArmSeen()) for rail in self._rails]
        self._windows = max(windows, 1)
        self._need = max(len(guardrails), 1) / alpha  # Bonferroni: any of them
        self._canary, self._champion = ArmSeen(), ArmSeen()
        self._looks = 0
        self._last = -1
        self._alone = False

    def take(self, window: int, canary: Seen, champion: Seen, chance: float) -> None:
        """What both did in a window, counted from the start of the ramp, and the chance with which a unit of
        the two was the canary's. Windows in which nothing was seen may be left out; one may come in parts."""
        weight = spent(window, self._windows) if window > self._last else 0.0  # each begins once
        self._last = max(self._last, window)
        self._alone = chance > _ALONE
        for rail in self._rails:
            if not (rail.compares and self._alone):
                rail.take(canary, champion, chance, weight)
        self._canary.add(canary)
        self._champion.add(champion)
        self._looks += 1
        for i, rail in enumerate(self._rails):  # for the windows after this one
            if self._looks % RENEWED == 0 or not self._ready[i]:
                self._ready[i] = rail.renew(self._champion)

    def anew(self) -> None:
        """The share has changed: estimates are made, and rows counted, from here on. What was bet stands."""
        self._canary = ArmSeen()

    @property
    def broken(self) -> bool:
        """Whether any guardrail is broken beyond noise."""
        return any(rail.evidence >= self._need for rail in self._rails)

    def judge(self) -> tuple[Judged, ...]:
        """Every guardrail as it stands."""
        return tuple(self._judge(rail) for rail in self._rails)

    def _judge(self, rail: Rail) -> Judged:
        g = rail.guardrail
        ours = rail.estimate(self._canary)
        theirs = None if g.name == DRIFT else rail.estimate(self._champion)
        bound: float | None = g.bound
        if g.relative and theirs is not None:
            bound = allowed(theirs, g.bound) if g.name == VALUE else g.bound * theirs
        elif g.relative:
            bound = None
        rows = self._canary.value.count if g.name == VALUE else self._canary.took.count
        evidence = rail.evidence / self._need
        if rail.compares and self._alone and evidence < 1:
            why = "the champion answers nothing to compare with"
            return Judged(g.text, Outcome.NOT_APPLICABLE, ours, None, None, rows, evidence, why)
        outcome, reason = _outcome(g, ours, bound, rows, evidence, rail.why_none)
        return Judged(g.text, outcome, ours, bound, theirs, rows, evidence, reason)


def _outcome(
    g: Guardrail, ours: float | None, bound: float | None, rows: int, evidence: float, why_none: str
) -> tuple[Outcome, str]:
    if evidence >= 1:
        return Outcome.FAIL, "broken beyond noise"
    if why_none:
        return Outcome.UNKNOWN, why_none
    if rows < LEAST or ours is None or bound is None:
        what = "answers whose truth is known" if g.name == VALUE else "answers"
        return Outcome.UNKNOWN, f"{rows} {what} at this share; {LEAST} are needed"
    if ours < bound if g.name == VALUE else ours > bound:
        return Outcome.UNKNOWN, "it looks broken, and may be so by chance"
    return Outcome.PASS, "holds"
