"""What is told of a judged window: its alerts, with why; as the tick's hook."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import Clock, iso
from headrace.core.codec import to_plain
from headrace.core.errors import HeadraceError
from headrace.core.event import Draft
from headrace.core.ports import Store
from headrace.core.routes import LIVE_KINDS
from headrace.core.spelled import spelled
from headrace.core.watching import AlertState, AlertView, Family, Reading
from headrace.graph.run import Runner
from headrace.summary.bins import Bins
from headrace.watch.alerting import drafts, left
from headrace.watch.arms import Arms
from headrace.watch.effects import effects, rebuilt
from headrace.watch.tick import Judged
from headrace.watch.why import (
    CHANGE_KINDS,
    Effect,
    Why,
    began,
    changes_before,
    explained,
    moves,
    slice_of,
)

_LOG = logging.getLogger("headrace.watch")

ROWS = 2000
"""Rows of a window that an explanation looks at, at most."""
NAMED = 3
"""Columns that an alert explains."""
_BACK_US = 7 * 86_400_000_000
_STEADY = (Reading(Family.HEALTH, "errors", unit="share"), Reading(Family.QUALITY, "volume", unit="answers"))
"""What every window of the champion has a reading of, unless its family is off."""
_MOVED = frozenset({Family.QUALITY, Family.DRIFT, Family.MULTIVARIATE, Family.CONCEPT})


def teller(
    store: Store, known: Callable[[], Iterable[AlertView]], clock: Clock, actor: str
) -> Callable[[Judged], Sequence[Draft]]:
    """The hook of a tick that opens, adds to and resolves alerts. known: asks which there are."""

    def tell(judged: Judged) -> Sequence[Draft]:
        return drafts(
            judged.window,
            judged.readings,
            known(),
            cool_down_us=judged.facts.watched.plan.cool_down_us,
            now=iso(clock()),
            actor=actor,
            why=lambda over: to_plain(_why_safely(judged, over, store)),
            after=_before(judged) if judged.exceeding else None,
        )

    return tell


def _before(judged: Judged) -> int | None:
    """The end of the window that was judged before, whatever was seen in it; there may have been no traffic
    since. None: there is none."""
    ends = (next((w.end for w, _ in judged.earlier(r)), None) for r in _STEADY)
    return max((end for end in ends if end is not None), default=None)


def _why_safely(judged: Judged, over: Sequence[Reading], store: Store) -> Why:
    try:
        return why(judged, over, store)
    except Exception as error:  # noqa: BLE001  the watch tick: an alert without reasons is better than none
        _LOG.exception("the alert of window %s can't be explained", judged.window.name)
        return Why((f"it can't be explained, by our fault: {type(error).__name__}",), judged.window.start)


def leave(store: Store, known: Sequence[AlertView], clock: Clock, actor: str) -> None:
    """Resolve those alerts that are of releases and arms that answer no more.

    Raises:
        StoreError: the ledger can't be read or written.
    """
    if all(a.state is AlertState.RESOLVED for a in known):
        return
    over = left(known, Arms(store.read(kinds=LIVE_KINDS)).live, iso(clock()), actor)
    if over:
        store.append(over)


def why(judged: Judged, over: Sequence[Reading], store: Store) -> Why:
    """Why the readings exceed. over: those that do, the leading one first."""
    window, facts = judged.window, judged.facts
    since = began(window, over[0], judged.earlier(over[0]))
    length = window.end - window.start
    back = max(2 * length, min(_BACK_US, 8 * length))
    changes = changes_before(store.read(kinds=CHANGE_KINDS), since, back, window.end)
    worth = next((r for r in judged.readings if r.family is Family.VALUE), None)
    reference, counts = facts.watched.reference, facts.tallied.counts
    columns = () if reference is None else _columns(over, reference.bins)
    if reference is None or counts is None or not columns:
        return explained(window, since, (), None, changes, value=worth)
    bins, made = reference.bins, reference.made()
    usual = {name: made.of(bins, name) for name in columns}
    moved = [m for name in columns for m in moves(bins, name, usual[name], counts.of(bins, name))]
    try:
        codes = facts.rows(ROWS).codes
    except HeadraceError:  # the log no longer has them: what moved is told all the same
        return explained(window, since, moved, None, changes, value=worth)
    by = [n for n in bins.names if n not in reference.outputs and n not in columns]
    found = slice_of(bins, codes, columns[0], usual[columns[0]], by)
    return explained(window, since, moved, found, changes, _effects(judged, bins, codes, usual), worth)


def _columns(over: Sequence[Reading], bins: Bins) -> Sequence[str]:
    """The columns that readings name, in their order."""
    named = [r.of for r in over if r.family in _MOVED and r.of in bins.names]
    told = [str(c) for r in over for c in r.details.get("columns", ()) if c in bins.names]
    return list(dict.fromkeys([*named, *told]))[:NAMED]


def _effects(
    judged: Judged, bins: Bins, codes: NDArray[np.uint8], usual: Mapping[str, NDArray[np.int64]]
) -> Sequence[Effect]:
    """What each column did to the answers, by the release's own graph on rows made of their codes."""
    watched = judged.facts.watched
    if watched.manifest is None:
        return ()
    try:
        runner = Runner(watched.store.get(watched.manifest.serving.graph))
        feeds = rebuilt(bins, codes, judged.window)
        if not set(runner.inputs) <= set(feeds):
            return ()
        needed = {name: feeds[name] for name in runner.inputs}
        classes = tuple(spelled(c) for c in watched.manifest.serving.task.classes)
        return effects(runner, needed, bins, codes, usual, names=classes)
    except HeadraceError:
        return ()  # an explanation less; the alert stands without it
