"""Whether a person is to look at an answer: the release's plan, and how full the queue is. Knows nothing of
HTTP, and touches no disk itself."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.answered import MODEL
from headrace.core.ports import ReviewQueue, Store
from headrace.core.review import AUDIT, Item, Label, Load, Period, ReviewPlan
from headrace.core.schema import NULL_TEXT
from headrace.core.spelled import spelled
from headrace.core.task import Kind, Task, labels
from headrace.graph.run import Runner
from headrace.policy.review_load import drawn, limit, period_of, shares

RECENT = 1000
"""Candidates whose confidences say which are the least sure."""
FALLBACK, RULE = "fallback", "rule"


@dataclass(frozen=True)
class Look:
    """What becomes of an answer. why: a person is to look (empty: nobody is). chance: of being asked, for
    whatever reason, when that was decided. over: the plan would send it, and the reviewers can't manage more
    (chance may still have picked it). drawn: the chance in the draw that picked it alone, where
    that is another number (a candidate that is not drawn as such may be drawn for the audit)."""

    why: str = ""
    chance: float = 1.0
    over: bool = False
    drawn: float | None = None


NOBODY = Look()
OVER = "review: over capacity"
FAILED = "review: queue unavailable"
"""What an answer's flags say where a person should look, and none will."""


@dataclass(frozen=True)
class Outcome:
    """What a caller is told. review: a person will look; flag: why none will who should (empty: none should,
    or will). withheld: the plan has no answer stand without a person, so that there is no prediction."""

    review: bool = False
    flag: str = ""
    withheld: bool = False


@dataclass
class _Pace:
    """What was seen since the last look at the queue, and what follows from that look. below, at: the
    confidence under which candidates are sent, and the share of those at it."""

    rows: int = 0
    candidates: int = 0
    missed: int = 0
    since: float = 0.0
    share: float = 1.0
    below: float = math.inf
    at: float = 1.0
    audit: float = 0.0


@dataclass
class _Seen:
    """Rows, candidates among them, and the seconds in which they came: each look back counts for less, by a
    factor e in a twenty-fourth of the period."""

    rows: float = 0.0
    candidates: float = 0.0
    seconds: float = 0.0

    def add(self, pace: _Pace, took: float, period: float) -> None:
        fade = math.exp(-took / (period / 24))
        self.rows = self.rows * fade + pace.rows
        self.candidates = self.candidates * fade + pace.candidates
        self.seconds = self.seconds * fade + took


class Attention:
    """Answers of one release. Safe for several threads: what they count together may miss a few.

    holder: this process's name; it tells the queue how many candidates it sees.
    """

    def __init__(
        self,
        plan: ReviewPlan,
        release: str,
        task: Task,
        store: Store,
        *,
        holder: str = "",
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self.release, self._now = plan, release, now
        self._elapsed, self._holder = elapsed, holder
        self._labels: tuple[Label, ...] = labels(task)
        self._kind = task.kind
        self._when = Runner(store.get(plan.graph)) if plan.graph else None
        control = plan.control
        self._needed = -math.inf
        if control is not None:
            self._needed = math.inf if control.threshold is None else control.threshold
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._pace = _Pace(since=elapsed(), audit=plan.audit)
        self._seen = _Seen()
        self._salt = f"review {release}"

    def look(
        self,
        names: Sequence[str],
        answers: Sequence[Mapping[str, Any]],
        by: Sequence[str],
        feeds: Mapping[str, NDArray[Any]] | None = None,
    ) -> list[Look]:
        """Who is looked at, in the order of the answers.

        names: the predictions' ids; by: what answered (`Answered.by`); feeds: the raw columns [rows] by name,
        which a plan with a condition needs.
        """
        pace = self._pace
        pace.rows += len(names)
        if self._when is not None:
            sures, asked = self._by_condition(answers, by, feeds or {})
        else:
            sures = [self._sure(a) if b == MODEL else 0.0 for a, b in zip(answers, by, strict=True)]
            asked = [self._asks(a, b, s) for a, b, s in zip(answers, by, sures, strict=True)]
        told = []
        for name, why, sure in zip(names, asked, sures, strict=True):
            over, chance = False, 0.0
            if why:
                pace.candidates += 1
                if not math.isnan(sure):
                    self._recent.append(sure)
                chance = self._chance(sure)
                if chance >= 1.0 or (chance > 0.0 and drawn(self._salt, name, chance)):
                    told.append(_asked(why, chance, pace.audit))
                    continue
                over = True
                pace.missed += 1
            if pace.audit and drawn(self._salt + AUDIT, name, pace.audit):
                told.append(_asked(AUDIT, pace.audit, chance, over))
            else:
                told.append(Look(over=True) if over else NOBODY)
        return told

    def item(self, name: str, inputs: Mapping[str, Any], answer: Mapping[str, Any], look: Look) -> Item:
        """What people are asked about an answer that they are to look at."""
        now, plan = self._now(), self.plan
        two = plan.double > 0 and drawn(self._salt + " double", name, plan.double)
        return Item(
            id=name,
            release=self.release,
            inputs=inputs,
            answer=answer,
            why=look.why,
            asked=now,
            deadline=now + plan.deadline_us,
            chance=look.chance,
            drawn=look.drawn,
            wanted=2 if two else 1,
            choices=self._labels,
            stands=plan.fallback,
        )

    def outcome(self, look: Look, why_not: str = "") -> Outcome:
        """What a caller is told of an answer; why_not: what came back of its item (empty: it is kept).

        What the random share picked needs nobody's decision: its answer stands.
        """
        flag = OVER if look.over else ""
        if look.why == AUDIT:
            return Outcome(not why_not, flag, look.over and self.plan.fallback == "none")
        flag = flag or (why_not if look.why else "")
        asked = bool(look.why) and not why_not
        return Outcome(asked, flag, (asked or bool(flag)) and self.plan.fallback == "none")

    def period(self) -> Period:
        """The period of now."""
        return period_of(self.plan, self._now())

    def full(self) -> None:
        """Nothing fits any more: until the next look at the queue nothing is sent to it."""
        pace = self._pace
        pace.share, pace.below, pace.at, pace.audit = 0.0, -math.inf, 0.0, 0.0

    def tick(self, reviews: ReviewQueue) -> None:
        """Look how full the queue is, and aim at what fits until the period ends.

        Raises:
            StoreError: the queue can't be read.
        """
        if self.plan.capacity is None:
            return
        pace, moment, seen = self._pace, self._elapsed(), self._seen
        seen.add(pace, max(moment - pace.since, 1e-3), self.plan.period_us / 1e6)
        now = self._now()
        period = period_of(self.plan, now)
        missed = math.ceil(pace.missed * (1.0 + self.plan.double))
        mine = seen.candidates / seen.seconds
        holder = f"{self._holder} {self.release}"
        load = reviews.load(period, now=now, holder=holder, rate=mine, missed=missed)
        share, audit = self._shares(period, load, now)
        below, at = limit(tuple(self._recent), share)
        self._pace = _Pace(since=moment, share=share, below=below, at=at, audit=audit)

    def _shares(self, period: Period, load: Load, now: int) -> tuple[float, float]:
        """As `review_load.shares`, for the traffic of all processes. One that has not seen much yet goes by
        what came in the period before it was there."""
        seen = self._seen
        mine = seen.candidates / seen.seconds
        known = 1.0 - math.exp(-seen.seconds / (self.plan.period_us / 1e6 / 24))
        before = (load.sent + load.refused) / max((now - period.start) / 1e6, 1.0)
        candidates = known * max(load.rate, mine) + (1.0 - known) * max(before, load.rate, mine)
        rows = seen.rows / seen.seconds
        return shares(
            period,
            load,
            now,
            rate=max(rows * (candidates / mine if mine > 0 else 1.0), candidates),
            candidates=candidates,
            audit=self.plan.audit,
            seats=1.0 + self.plan.double,
        )

    def _chance(self, sure: float) -> float:
        """Of a candidate to be sent: the least sure first; by chance where none is surer than another."""
        pace = self._pace
        if pace.share >= 1.0:
            return 1.0
        if math.isnan(sure):
            return pace.share
        if sure == pace.below:
            return pace.at
        return 1.0 if sure < pace.below else 0.0

    def _asks(self, answer: Mapping[str, Any], by: str, sure: float) -> str:
        """Why the plan would send an answer; empty: it would not."""
        if by.startswith(RULE):
            return f"{by}: somebody has to look" if answer.get("prediction") is None else ""
        if self.plan.control is None:
            return ""
        if by != MODEL:
            return by
        if sure >= self._needed:
            return ""
        if math.isinf(self._needed):
            return "no confidence was shown to be enough"
        return f"confidence {sure:.3g} < {self._needed:.3g}"

    def _sure(self, answer: Mapping[str, Any]) -> float:
        """The probability of what is predicted; NaN for values, 0 where nothing is predicted."""
        if self._kind is Kind.REGRESSION:
            return math.nan
        prediction, p = answer.get("prediction"), answer.get("probability")
        if prediction is None or p is None:
            return 0.0
        if self._kind is Kind.MULTICLASS:
            return float(p[spelled(prediction)])
        return float(p) if prediction == self._labels[1] else 1.0 - float(p)

    def _by_condition(
        self, answers: Sequence[Mapping[str, Any]], by: Sequence[str], feeds: Mapping[str, NDArray[Any]]
    ) -> tuple[list[float], list[str]]:
        """Confidences, and why the condition would send an answer. What the model did not answer is left to
        rules and chance."""
        sures = [self._sure(a) for a in answers]
        told = [self._asks(a, b, s) for a, b, s in zip(answers, by, sures, strict=True)]
        mine = [i for i, b in enumerate(by) if b == MODEL]
        if mine and self._when is not None:
            read = {n: feeds[n][mine] for n in self.plan.reads if n in feeds}
            read |= self._spoken([answers[i] for i in mine], [sures[i] for i in mine])
            held = self._when.run(read, len(mine))["when"]
            for i, holds in zip(mine, held.tolist(), strict=True):
                told[i] = self.plan.text if holds == 1.0 else ""
        return sures, told

    def _spoken(
        self, answers: Sequence[Mapping[str, Any]], sures: Sequence[float]
    ) -> dict[str, NDArray[Any]]:
        """What the condition reads of answers, as the graph reads raw columns."""
        made: dict[str, NDArray[Any]] = {}
        for name in self.plan.reads:
            if name == "prediction":
                made[name] = self._predicted([a.get(name) for a in answers])
            elif name == "confidence":
                made[name] = np.array(sures, np.float64)
            elif name == "set_size":
                made[name] = np.array([float(len(a.get("set", ()))) for a in answers])
            elif name == "probability" and self._kind is Kind.MULTICLASS:
                made[name] = np.array(sures, np.float64)
            elif name in ("probability", "lower", "upper"):
                made[name] = _numbers([a.get(name) for a in answers])
        return made

    def _predicted(self, values: Sequence[Any]) -> NDArray[Any]:
        """Predictions as a raw column."""
        if not any(isinstance(v, str) for v in self._labels):
            return _numbers(values)
        texts = np.empty(len(values), object)
        texts[:] = [NULL_TEXT if v is None else v for v in values]
        return texts


def _asked(why: str, drawn: float, otherwise: float, over: bool = False) -> Look:
    """A row that is asked about: its chance in the draw that picked it, and in the other one."""
    if otherwise <= 0.0 or drawn >= 1.0:
        return Look(why, drawn, over)
    return Look(why, drawn + (1.0 - drawn) * otherwise, over, drawn)


def _numbers(values: Sequence[Any]) -> NDArray[Any]:
    return np.array([math.nan if v is None else float(v) for v in values], np.float64)
