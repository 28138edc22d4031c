"""People in the loop: how a release wants its answers looked at, what they are asked, and what they said.

Times are microseconds since 1970 UTC. Read where answers are given: plain numbers and digests only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Label = str | int | float | bool
"""A class, or a number."""

TRAFFIC = "traffic"
"""Where an item comes from that a server sent; others come from a run's rows (`rows: RUN`)."""
AUDIT = "drawn by chance"
"""`Item.why` of what the random share picked."""
EVENT = "review "
"""What the `event_id` of a reviewer's label begins with; behind it is the item's id."""


@dataclass(frozen=True)
class RiskControl:
    """The confidence from which answers are given without a person, and what that rests on.

    risk: the share of wrong answers among them, at most; it holds with probability `level` over the draw of
    the rows it was fitted on, for rows exchangeable with them. threshold: None where no confidence could be
    shown to be enough: then everything goes to people. rows, units: that it was fitted on. auto: share of
    them above the threshold; wrong: share of wrong answers among those (None without any). why_none: why
    there is no threshold.
    """

    risk: float
    level: float
    method: str
    threshold: float | None
    rows: int
    units: int
    auto: float
    wrong: float | None
    why_none: str = ""


@dataclass(frozen=True)
class ReviewPlan:
    """What the spec says under `review`, resolved.

    text: the rule in words. graph: the artifact of the graph of `when`, with the one output `when` (empty:
    there is none). reads: the columns and answers that it reads. control: where `risk` is held. audit: the
    share of all other answers that is drawn by chance. capacity: items in a period of `period_us` (None:
    unbounded). zone: in which days begin. fallback: model or none. double: share that two decide.
    """

    text: str
    graph: str = ""
    reads: tuple[str, ...] = ()
    control: RiskControl | None = None
    audit: float = 0.0
    capacity: int | None = None
    period_us: int = 86_400_000_000
    zone: str = "UTC"
    deadline_us: int = 86_400_000_000
    fallback: str = "model"
    double: float = 0.0


class State(StrEnum):
    """What an item can be."""

    OPEN = "open"
    DECIDED = "decided"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Item:
    """Something that a person is to look at.

    id: of the prediction, or of a row. source: `TRAFFIC`, or whose rows. answer: prediction, probability and
    what else was answered. why: it was sent. asked, deadline: when it came, and by when a decision counts (0:
    at any time). chance: of being sent, for whatever reason; its label weighs the inverse. wanted: how many
    decide. choices: what may be decided, empty for numbers. stands: what stands without a decision: model, or
    none. drawn: the chance in the draw that picked it, `why`, alone (None: it is `chance`).
    """

    id: str
    release: str
    inputs: Mapping[str, Any]
    answer: Mapping[str, Any]
    why: str
    asked: int
    deadline: int = 0
    chance: float = 1.0
    wanted: int = 1
    source: str = TRAFFIC
    choices: tuple[Label, ...] = ()
    stands: str = "model"
    drawn: float | None = None


@dataclass(frozen=True)
class Said:
    """What a reviewer said of an item. decision: None while it is not made. until: the end of the lease."""

    reviewer: str
    until: int
    decision: Label | None = None
    at: int = 0


@dataclass(frozen=True)
class Remark:
    """A comment."""

    reviewer: str
    at: int
    text: str


@dataclass(frozen=True)
class Reviewed:
    """An item, and what became of it. settled: when it was decided or expired. agreed: of the first two
    decisions, where two were asked."""

    item: Item
    state: State
    decision: Label | None = None
    settled: int = 0
    said: tuple[Said, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def agreed(self) -> bool | None:
        """Whether the first two decided the same; None where there are not two."""
        made = [s.decision for s in self.said if s.decision is not None]
        return made[0] == made[1] if len(made) > 1 else None


@dataclass(frozen=True)
class Period:
    """A span of time with its capacity (None: unbounded): from `start` to before `end`."""

    start: int
    end: int
    capacity: int | None


@dataclass(frozen=True)
class Load:
    """How full the queue is: seats sent in the period, those refused in it, and seats that are open now.
    rate: candidates a second that all processes see."""

    sent: int
    refused: int
    open: int
    rate: float = 0.0


@dataclass(frozen=True)
class Counts:
    """The queue in numbers: items by state; overdue ones are not counted as open any more. sent, refused: of
    traffic, in the newest period that anything was sent in (seats; refused were too many)."""

    open: int = 0
    taken: int = 0
    decided: int = 0
    expired: int = 0
    oldest: int = 0
    sent: int = 0
    refused: int = 0
    reviewers: Mapping[str, int] = field(default_factory=dict)
