"""From a judged window to the events of its alerts, with the reasons: `alerting` and `why` in a tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.core.clock import Clock, iso
from headrace.core.codec import to_plain
from headrace.core.errors import HeadraceError
from headrace.core.event import Draft
from headrace.core.ports import Store
from headrace.core.watching import WATCH_KINDS, Family, alerts
from headrace.watch.alerting import drafts, ranked
from headrace.watch.tick import Judged
from headrace.watch.why import (
    CHANGE_KINDS,
    Found,
    Moved,
    Why,
    began,
    changes_before,
    explained,
    moves,
    slice_of,
)

LOOKED_AT = 5_000
"""Rows of the window in which the slice is looked for that a change is in."""
_BACK_WINDOWS = 3


@dataclass(frozen=True)
class Opening:
    """Makes alerts of readings. actor: the name that events carry."""

    store: Store
    clock: Clock
    actor: str

    def __call__(self, judged: Judged) -> Sequence[Draft]:
        """The events that a judged window gives rise to.

        Raises:
            StoreError: the ledger can't be read.
        """
        known = alerts(self.store.read(kinds=WATCH_KINDS))
        return drafts(
            judged.window,
            judged.readings,
            known,
            cool_down_us=judged.facts.watched.plan.cool_down_us,
            now=iso(self.clock()),
            actor=self.actor,
            why=self._why(judged) if judged.exceeding else None,
        )

    def _why(self, judged: Judged) -> Mapping[str, Any]:
        leading = ranked(judged.exceeding)[0]
        window = judged.window
        since = began(window, leading, judged.earlier(leading))
        back = _BACK_WINDOWS * (window.end - window.start)
        changes = changes_before(self.store.read(kinds=CHANGE_KINDS), since, back, window.end)
        column = next((r.of for r in ranked(judged.exceeding) if _column(judged, r.of)), "")
        moved, found = _moved(judged, column) if column else ((), None)
        worth = next((r for r in judged.readings if r.family is Family.VALUE), None)
        told: Why = explained(window, since, moved, found, changes, value=worth)
        plain: Mapping[str, Any] = to_plain(told)
        return plain


def _column(judged: Judged, name: str) -> bool:
    reference = judged.facts.watched.reference
    return reference is not None and name in reference.bins.names


def _moved(judged: Judged, column: str) -> tuple[tuple[Moved, ...], Found | None]:
    """What moved in a column, and the slice that the change is in."""
    reference, counts = judged.facts.watched.reference, judged.facts.tallied.counts
    if reference is None or counts is None:
        return (), None
    bins, before = reference.bins, reference.made()
    moved = moves(bins, column, before.of(bins, column), counts.of(bins, column))
    others = [c.name for c in bins.columns if c.name not in reference.outputs and not c.ordered]
    try:
        rows = judged.facts.rows(LOOKED_AT)
    except HeadraceError:  # the log no longer has them: what moved is told all the same
        return moved, None
    return moved, slice_of(bins, rows.codes, column, before.of(bins, column), others)
