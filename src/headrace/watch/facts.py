"""What checks are told of a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from headrace.checks.drift.budget import window_rate
from headrace.checks.live.health import Service
from headrace.checks.live.labelled import Labelled
from headrace.checks.live.quality import Volume
from headrace.core.watching import Reading, Window
from headrace.watch.labelling import Judge
from headrace.watch.rows import LiveRows
from headrace.watch.watched import Watched
from headrace.watch.windows import Side, Tallied

VOLUME_SHARE = 0.05
"""What of a window's false alarms the volume may have; the rest is for checks by the alert budget."""


@dataclass(frozen=True, eq=False)
class Facts:
    """All that checks are told of a window.

    thin: it has fewer answers than a window should: judged for that alone. volume: answers of the whole
    service over it, past: over windows before it (empty: of an arm whose share of traffic is set by others).
    newest: when the service last answered in it, whichever arm did; 0: it did not. crowned: whether the
    window's release was champion when it ended. service: what servers counted of themselves. rows: reads the
    window's rows again, evenly chosen ones where it is told how many. kept: a place for bytes by name that
    are made once, such as thresholds: `kept(name, make)`. judge: what the release's answers are judged by
    once truth is known. truths: the newest labels of predictions, by id.
    """

    watched: Watched
    side: Side
    tallied: Tallied
    thin: bool
    volume: Volume
    past: Sequence[Volume]
    newest: int
    crowned: bool
    service: Service
    rows: Callable[[int | None], LiveRows]
    kept: Callable[[str, Callable[[], bytes]], bytes]
    judge: Callable[[], Judge]
    truths: Callable[[Sequence[str]], Mapping[str, Any]]

    @cached_property
    def labelled(self) -> Labelled:
        """The window's rows whose truth is known."""
        rows = self.rows(None)
        return self.judge().labelled(rows, self.truths(rows.ids))

    @property
    def window(self) -> Window:
        """The window."""
        return self.tallied.window

    @property
    def usual_span(self) -> int:
        """How long windows like this one are, microseconds: whole multiples of the stated length, whatever
        clocks do; 0 where windows are so many answers."""
        plan, took = self.watched.plan, self.window.end - self.window.start
        return 0 if plan.window_rows else max(1, round(took / plan.window_us)) * plan.window_us

    @property
    def rate(self) -> float:
        """False alarms that a window like this one may have, of all checks together."""
        took = self.usual_span or max(1, self.window.end - self.window.start)
        return window_rate(self.watched.plan.budget, took)

    @property
    def usual_rate(self) -> float:
        """What of them checks by the alert budget may have; rounded where windows are so many answers, so
        that thresholds are drawn for few sizes."""
        rate = self.rate * (1 - VOLUME_SHARE)
        return rate if self.usual_span else float(f"{rate:.1g}")

    @property
    def champion(self) -> bool:
        """Whether it is the window to which what concerns the whole service is written: of the champion's
        arm, and where there were two champions that of the later one."""
        return self.window.arm == "champion" and self.crowned


Check = Callable[[Facts], Iterable[Reading]]
