"""The guard: watches canaries in the prediction log, moves them up their ramps, and takes them off.

Every serving process has one; an OS lock on a file in the store's folder lets one of them act at a time. When
its process dies the lock is free, and another takes over within a second. What it has bet is then bet anew,
never with more than was left: how much may begin at a moment follows from the clock (see `policy.bets`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from msgspec import MsgspecError

from headrace.core.answered import Answered
from headrace.core.clock import Clock, iso, iso_micros, micros
from headrace.core.codec import from_json, to_json, to_plain
from headrace.core.errors import HeadraceError
from headrace.core.ports import Store
from headrace.core.routes import Route
from headrace.policy.guardrails import VALUE, Judged
from headrace.policy.rails import Worth
from headrace.policy.routing import Action, Hold, Move, Promote, Ramp, RollBack, decide, ramp_of
from headrace.policy.watch import Watch
from headrace.serve.guarded import WINDOW_US, windows, worth_seen
from headrace.serve.ledger import Ledger, Told
from headrace.stores.lease import Lease

EVERY = 0.25
"""Seconds between two looks."""
LOCK, STATE = "guard.lock", "guard.json"
"""Files in the store's folder: held by the guard that acts; how its guardrails stand."""
_BACK_US = 10_000_000
"""Who takes over reads so much of the log's past."""
_ASK_AGAIN = 60.0
_WRITE_EVERY = 1.0
_STALE = 10.0
_LEARN_EVERY = 5.0
_TOGETHER = 20
"""Decisions whose truth became known that are judged as one."""

_LOG = logging.getLogger("headrace.serve")


class Source(Protocol):
    """Where answers are read: a tail of the log, or a `Tally`."""

    def poll(self) -> list[Answered]:
        """What is new."""
        ...


class Verbs(Protocol):
    """What the guard does; wired to the engine, which alone writes."""

    def roll_back(self, route: str, release: str, reason: str, judged: Sequence[Judged]) -> None:
        """Take the release off the route."""
        ...

    def move(self, route: Route, release: str, share: float, judged: Sequence[Judged]) -> None:
        """Give it another share, unless the route has changed."""
        ...

    def promote(self, route: str, release: str, judged: Sequence[Judged]) -> str:
        """Ask for it to become champion; what keeps it from that, or nothing."""
        ...

    def worth(self, release: str) -> Worths:
        """What tells what its decisions, and the champion's beside it, are worth."""
        ...


class Known(Protocol):
    """Worth a decision by arm, of truths that became known; upto: the newest (UTC microseconds)."""

    @property
    def canary(self) -> Sequence[float]: ...
    @property
    def champion(self) -> Sequence[float]: ...
    @property
    def upto(self) -> int: ...


class Worths(Protocol):
    """What decisions are worth, as truths become known."""

    @property
    def reach(self) -> Worth | None:
        """The least and the most that one can be worth; None where nothing says."""
        ...

    def known(self, route: Route, after: int) -> Known:
        """What became known after a moment (UTC microseconds)."""
        ...


@dataclass
class _Watched:
    """A canary under watch. against: the champion. asked: when its promotion was refused last, and why."""

    route: Route
    ramp: Ramp
    against: str
    watch: Watch
    worths: Worths | None = None
    upto: int = 0
    looked: float = 0.0
    asked: float = -_ASK_AGAIN
    refused: str = ""

    def take(self, entries: Iterable[Answered]) -> None:
        chance = _chance(self.route)
        began, since = _window(self.route.began), _window(self.route.since)
        for number, ours, theirs in windows(entries, self.route.name):
            if number > since:  # before it, units were divided otherwise
                self.watch.take(number - began, ours, theirs, chance)

    def learn(self, now: datetime) -> None:
        """Take what became known of the worth of decisions, every few seconds."""
        if self.worths is None or now.timestamp() - self.looked < _LEARN_EVERY:
            return
        self.looked = now.timestamp()
        try:
            known = self.worths.known(self.route, self.upto)
        except HeadraceError as error:  # the other guardrails hold without it
            _LOG.warning("route %s: the worth of decisions is not known: %s", self.route.name, error)
            return
        self.upto = known.upto
        number = micros(now) // WINDOW_US - _window(self.route.began)
        ours, theirs = known.canary, known.champion
        for at in range(0, max(len(ours), len(theirs)), _TOGETHER):
            some = slice(at, at + _TOGETHER)
            self.watch.take(number, worth_seen(ours[some]), worth_seen(theirs[some]), _chance(self.route))


class Guardian:
    """The guard of a serving process: a thread, from `start` to `close`."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        source: Callable[[int], Source],
        verbs: Callable[[], Verbs],
        clock: Clock,
        *,
        every: float = EVERY,
    ) -> None:
        """
        Args:
            folder: of the store; the lock is there.
            source: makes what answers are read from, beginning with those since a moment (UTC microseconds).
            verbs: makes what acts, when there is a canary: it loads what answering has no need of.
        """
        self._ledger = Ledger(store)
        self._folder = folder
        self._make_source = source
        self._make_verbs = verbs
        self._verbs: Verbs | None = None
        self._clock = clock
        self._every = every
        self._lease = Lease(folder / LOCK)
        self._source: Source | None = None
        self._newest = 0  # time of the newest answer that was taken
        self._watched: dict[str, _Watched] = {}
        self._told: Told | None = None
        self._written = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headrace-guard", daemon=True)

    def start(self) -> Guardian:
        """Begin to watch."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop, and let another process watch."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._drop_source()
        self._lease.free()

    def _run(self) -> None:
        stumbled = ""
        while not self._stop.wait(self._every):
            try:
                if self._lease.held():
                    self.tick()
                stumbled = ""
            except Exception as error:  # noqa: BLE001  no answer depends on it, and the next tick may succeed
                if str(error) != stumbled:  # told once, not four times a second
                    _LOG.exception("the guard of the routes stumbled")
                stumbled = str(error)

    def tick(self) -> None:
        """Look at the ledger and at what was answered since the last tick; judge, and act.

        Raises:
            StoreError: ledger or log can't be read.
        """
        self._told = self._ledger.look() or self._told
        if self._told is not None:
            self._follow(self._told)
            self._told = None  # not before: what could not be followed is tried again
        if not self._watched:
            self._drop_source()
            self._newest = 0  # whoever is watched next has bet on nothing yet
            self._tell({})
            return
        now = self._clock()
        verbs = self._verbs or self._make_verbs()
        entries = self._new(now)
        for watched in self._watched.values():  # all of them before anything is done, which may fail
            watched.take(entries)
        standing: dict[str, Any] = {}
        for name, watched in self._watched.items():
            watched.learn(now)
            judged = watched.watch.judge()
            action = decide(watched.route, watched.ramp, judged, now)
            why = self._act(verbs, watched, action, judged, now)
            standing[name] = {"at": iso(now), "next": why, "judged": [to_plain(j) for j in judged]}
        self._tell(standing)

    def _new(self, now: datetime) -> list[Answered]:
        """What was answered since the last look, each answer once: bets that stand would win twice by the
        same answer. After a source that failed, what is no newer than the newest that was taken is passed
        over."""
        try:
            if self._source is None:
                self._source = self._make_source(max(micros(now) - _BACK_US, self._newest + 1))
            entries = self._source.poll()
        except BaseException:
            self._drop_source()  # it may have lost what it had read
            raise
        self._newest = max([self._newest, *(e.time for e in entries)])
        return entries

    def _follow(self, told: Told) -> None:
        for name, route in told.routes.items():
            canary, known = route.canary, self._watched.get(name)
            if canary is None:
                self._watched.pop(name, None)
            elif known is None or known.against != told.champion or _trial(known.route) != _trial(route):
                self._watched[name] = self._begun(route, canary.release, told.champion)
            else:
                if known.route.number != route.number:
                    known.watch.anew()
                known.route = route

    def _begun(self, route: Route, release: str, champion: str) -> _Watched:
        if self._verbs is None:
            self._verbs = self._make_verbs()
        ramp = ramp_of(route.ramp)
        worths = self._verbs.worth(release) if any(g.name == VALUE for g in ramp.guardrails) else None
        reach = None if worths is None else worths.reach
        watch = Watch(ramp.guardrails, windows=ramp.windows, worth=reach)
        return _Watched(route, ramp, champion, watch, None if reach is None else worths)

    def _act(
        self, verbs: Verbs, watched: _Watched, action: Action, judged: Sequence[Judged], now: datetime
    ) -> str:
        """Do it; what comes next, in words."""
        name = watched.route.name
        if isinstance(action, RollBack):
            _LOG.warning("route %s: %s is taken off: %s", name, action.release, action.reason)
            verbs.roll_back(name, action.release, action.reason, judged)
            return f"taken off: {action.reason}"
        if isinstance(action, Move):
            verbs.move(watched.route, action.release, action.share, judged)
            return f"goes to {action.share:.0%}"
        if isinstance(action, Promote):
            return _promote(verbs, watched, action.release, judged, now.timestamp())
        assert isinstance(action, Hold)  # noqa: S101  the last of the four
        return action.why

    def _tell(self, standing: Mapping[str, Any]) -> None:
        """Leave how guardrails stand where `route show` finds it. Not state: it is measured anew."""
        file, now = self._folder / STATE, self._clock().timestamp()
        if (not standing and not self._written) or 0 <= now - self._written < _WRITE_EVERY:
            return
        self._written = now if standing else 0.0
        made = file.with_suffix(".new")
        try:
            made.write_bytes(to_json(standing))
            made.replace(file)
        except OSError as error:
            _LOG.warning("%s can't be written: %s", file, error)

    def _drop_source(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
        self._source = None


def _promote(verbs: Verbs, watched: _Watched, release: str, judged: Sequence[Judged], now: float) -> str:
    if now - watched.asked >= _ASK_AGAIN:
        told = judged if not watched.refused else ()  # written down once
        watched.asked, watched.refused = now, verbs.promote(watched.route.name, release, told)
        if watched.refused:
            _LOG.warning("route %s: %s is not promoted: %s", watched.route.name, release, watched.refused)
    return f"not promoted: {watched.refused}" if watched.refused else "promoted"


def left_standing(folder: Path, now: datetime) -> Mapping[str, Any]:
    """What the guard of the store in `folder` has left about each route; nothing where it is older than a few
    seconds: then nobody watches."""
    try:
        found = from_json((folder / STATE).read_bytes(), dict[str, dict[str, Any]])
    except (OSError, MsgspecError):
        return {}
    return {
        name: told
        for name, told in found.items()
        if (now - datetime.fromisoformat(told["at"])).total_seconds() < _STALE
    }


def _trial(route: Route) -> tuple[str, str, Mapping[str, object]]:
    """What makes a trial the same one: other shares don't end it."""
    return (route.canary.release if route.canary else "", route.began, route.ramp)


def _chance(route: Route) -> float:
    """Of a unit of the two to be the canary's."""
    share = route.canary.share if route.canary else 0.0
    return share / (share + max(1.0 - route.drawn, 0.0))


def _window(moment: str) -> int:
    return iso_micros(moment) // WINDOW_US
