"""The tick: what is new in the log is counted, what is complete is judged, once, whenever it is killed.

Order holds it together. Counts and readings are written first, to a file that can be made again; then one
append to the ledger says that the window was judged, together with what was made of its readings, all or
none. A tick that dies before it is done again from the same counts, one that dies behind it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from headrace.checks.drift.budget import window_rate
from headrace.core.clock import Clock, iso, micros, system_clock
from headrace.core.codec import to_plain
from headrace.core.errors import Conflict
from headrace.core.event import Draft
from headrace.core.places import LOG, WATCH
from headrace.core.ports import Store
from headrace.core.routes import LIVE_KINDS
from headrace.core.watching import Reading, Window
from headrace.logs.labels import LabelBook
from headrace.stores.lease import Lease
from headrace.stores.watch_file import Kept, WatchFile
from headrace.watch import judging
from headrace.watch.arms import Arms
from headrace.watch.counting import Counting
from headrace.watch.facts import Facts
from headrace.watch.intake import Pieces, Progress, Taken, take
from headrace.watch.labelling import Judge
from headrace.watch.past import Past
from headrace.watch.readings import earlier, write
from headrace.watch.rows import LiveRows, Reread, live_rows
from headrace.watch.service import Ask, look, nobody, service_of
from headrace.watch.watched import Shelf, Watched
from headrace.watch.windows import (
    GRACE_US,
    JUDGED,
    Side,
    Tallied,
    arrived,
    as_one,
    follow,
    labelled,
    late,
    place_of,
    tallied,
    window_of,
)

LOCK = "watch.lock"
"""The file in the store's folder that the one who ticks holds."""
TOLD = 20
"""Readings that exceed and that the ledger's event names; the watch file has all."""
_CHAMPION = "champion"
_DAY = 86_400_000_000


@dataclass(frozen=True, eq=False)
class Judged:
    """A window that was judged, for who makes something of its readings. readings: all that were made now.
    facts: what they were made from. earlier: the windows before it with the same reading, newest first."""

    window: Window
    side: Side
    readings: tuple[Reading, ...]
    facts: Facts
    earlier: Callable[[Reading], Iterator[tuple[Window, Reading]]]

    @property
    def exceeding(self) -> tuple[Reading, ...]:
        """The readings that are alarms."""
        return tuple(r for r in self.readings if r.exceeds)


def nothing(judged: Judged) -> Sequence[Draft]:
    """Makes nothing of it."""
    del judged
    return ()


def done() -> None:
    """Does nothing."""


@dataclass(frozen=True)
class Hooks:
    """What others do with a tick. alert: the events that a judged window gives rise to, beside its own; they
    are appended with it, all or none, and asked for anew where the ledger moved meanwhile. after: called at
    the end of every tick, whether or not anything was judged: messages go out, actions are decided on."""

    alert: Callable[[Judged], Sequence[Draft]] = nothing
    after: Callable[[], None] = done


@dataclass
class Ticked:
    """What a tick did. busy: nothing, as another one was at it. taken: what was read of the log. arrived,
    labelled: windows judged by their answers, and by their labels. exceeding: readings that are alarms.
    late: answers that came after their window was judged, in windows to which some were added now. trouble:
    what else went wrong, by whom it concerns."""

    busy: bool = False
    taken: Taken = field(default_factory=Taken)
    arrived: int = 0
    labelled: int = 0
    exceeding: int = 0
    late: int = 0
    trouble: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Ready for JSON."""
        told: dict[str, Any] = to_plain(self)
        return told


@dataclass(frozen=True)
class Place:
    """Where a tick works. folder: the store's. actor: the name that events carry. servers: asks serving
    processes what they count. most: windows that are judged in one tick (None: all)."""

    store: Store
    folder: Path
    actor: str
    clock: Clock = system_clock
    servers: Ask = nobody
    hooks: Hooks = Hooks()
    progress: Progress | None = None
    checks: judging.Checks = field(default_factory=lambda: judging.CHECKS)
    grace_us: int = GRACE_US


def tick(place: Place) -> Ticked:
    """Count what is new, judge what is complete, once.

    Raises:
        StoreError: log, ledger or watch file can't be read or written.
        Corrupt: what is read is not what was written.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    lease = Lease(place.folder / LOCK)
    if not lease.held():
        return Ticked(busy=True)
    try:
        with WatchFile(place.folder / WATCH) as file:
            return _Tick(place, file).run()
    finally:
        lease.free()


class _Tick:
    """One tick, while it holds the lease."""

    def __init__(self, place: Place, file: WatchFile) -> None:
        self._place = place
        self._file = file
        self._now = micros(place.clock())
        self._shelf = Shelf(place.store)
        self._arms = Arms(place.store.read(kinds=LIVE_KINDS))
        self._done = Ticked()
        self._past = Past(file)
        self._judges: dict[str, Judge] = {}
        self._labels = LabelBook(place.folder / LOG, clock=place.clock)

    def run(self) -> Ticked:
        follow(self._file, self._place.store)
        with self._file.changing():
            self._file.drop_unjudged()
        self._take()
        look(self._file, self._now, self._place.servers)
        self._expect()
        for stream, (release, arm) in sorted(self._file.streams().items()):
            self._judge_arrived(stream, self._shelf(release), arm)
        self._judge_labelled()
        self._forget()
        self._place.hooks.after()
        return self._done

    def _take(self) -> None:
        keep = max((self._shelf(r).plan.keep_us for r, _ in self._file.streams().values()), default=None)
        oldest = self._now - keep if keep is not None else 0
        streams = self._file.streams()

        def by_count(stream: int) -> bool:
            known = streams.get(stream)
            return known is not None and self._shelf(known[0]).plan.window_rows is not None

        pieces = Pieces(self._file, place_of(self._file, by_count), oldest)
        counting = Counting(self._arms, lambda release: self._shelf(release).binned)
        self._done.taken = take(self._file, self._place.folder / LOG, counting, pieces, self._place.progress)
        self._done.late = late(self._file, pieces.touched)

    def _expect(self) -> None:
        """A champion that never answered is watched too, where the service did before: it may be why."""
        if self._arms.champion and self._past.newest(self._now):
            with self._file.changing():
                self._file.stream(self._arms.champion, _CHAMPION)

    def _since(self, watched: Watched) -> int:
        """Where an outage under the present champion begins at the earliest: all have answered until then, or
        another was champion. Time in which others answered in its place says nothing of what is missing."""
        newest = self._past.newest(self._now)
        return watched.last_end(max(newest, self._arms.since)) if newest else 0

    def _judge_arrived(self, stream: int, watched: Watched, arm: str) -> None:
        live = arm == _CHAMPION and watched.release == self._arms.champion

        def starving(start: int, end: int, rows: int) -> bool:
            return live and self._past.starves(watched, start, end, self._rate(watched, start, end), rows)

        upto = self._now - self._place.grace_us
        since = self._since(watched) if live else 0
        for window in arrived(self._file, stream, watched, arm, upto, starving, since):
            self._judge(stream, watched, window, Side.ARRIVED, None)
            if watched.plan.window_rows:
                with self._file.changing():
                    as_one(self._file, stream, window)
            self._past.add(watched, window)
            self._done.arrived += 1
            if self._place.progress is not None:
                self._place.progress("windows judged", self._done.arrived, 0)

    def _judge_labelled(self) -> None:
        streams = self._file.numbers()
        due = list(labelled(self._file, self._is_due))
        for kept in due:
            watched = self._shelf(kept.release)
            stream = streams[kept.release, kept.arm]
            self._judge(stream, watched, window_of(kept), Side.LABELLED, kept.rows)
            self._done.labelled += 1
            if self._place.progress is not None:
                self._place.progress("windows judged by labels", self._done.labelled, len(due))

    def _is_due(self, kept: Kept) -> bool:
        return kept.stop + self._shelf(kept.release).plan.labels_us <= self._now

    def _judge(self, stream: int, watched: Watched, window: Window, side: Side, judged: int | None) -> None:
        facts = self._facts(watched, side, tallied(self._file, stream, window, judged))
        readings = judging.judge(facts, self._place.checks)
        with self._file.changing():
            number = self._file.number_of(stream, window.start)
            if number is None:
                of = facts.tallied
                number = self._file.put_window(stream, window.start, window.end, of.window.rows, of.digest)
            write(self._file, number, readings)
        before = partial(earlier, self._file, facts.window)
        self._append(Judged(facts.window, side, readings, facts, before))

    def _append(self, judged: Judged) -> None:
        """Say in the ledger that it was judged, unless somebody else has said so since."""
        store = self._place.store
        while True:
            follow(self._file, store)
            head = store.head()
            if self._is_judged(judged):
                return
            drafts = [self._draft(judged), *self._place.hooks.alert(judged)]
            try:
                store.append(drafts, expect=head[1])
            except Conflict:
                continue  # somebody else wrote meanwhile, perhaps this
            break
        follow(self._file, store)
        self._done.exceeding += len(judged.exceeding)

    def _is_judged(self, judged: Judged) -> bool:
        w = judged.window
        mark = "arrived" if judged.side is Side.ARRIVED else "labelled"
        found = self._file.windows(
            f"s.release = ? AND s.arm = ? AND w.start = ? AND w.{mark} > 0", (w.release, w.arm, w.start)
        )
        return bool(found)

    def _draft(self, judged: Judged) -> Draft:
        w, of = judged.window, judged.facts.tallied
        exceeds = [
            {
                "family": r.family.value,
                "check": r.check,
                "of": r.of,
                "value": r.value,
                "threshold": r.threshold,
            }
            for r in judged.exceeding[:TOLD]
        ]
        payload = {
            "release": w.release,
            "arm": w.arm,
            "side": judged.side.value,
            "start": w.start,
            "end": w.end,
            "rows": w.rows,
            "late": of.late,
            "digest": of.digest,
            "readings": len(judged.readings),
            "exceeding": len(judged.exceeding),
            "exceeds": exceeds,
        }
        return Draft(JUDGED, w.name, iso(self._place.clock()), self._place.actor, payload)

    def _facts(self, watched: Watched, side: Side, of: Tallied) -> Facts:
        window = of.window
        volume, past = self._past.volumes(watched, window)
        return Facts(
            watched,
            side,
            of,
            window.rows < watched.needed,
            volume,
            past,
            self._past.last(window.start, window.end),
            self._arms.of("", _CHAMPION, window.end - 1) in ("", watched.release),
            service_of(self._file, window.start, window.end),
            Reread(partial(self._rows, watched, window)),
            self._kept,
            lambda: self._judge_of(watched),
            self._labels.newest,
        )

    def _rows(self, watched: Watched, window: Window, most: int | None) -> LiveRows:
        folder, seen = self._place.folder / LOG, self._file.segments()
        return live_rows(folder, watched, self._arms, window, seen, most)

    def _judge_of(self, watched: Watched) -> Judge:
        if watched.release not in self._judges:
            self._judges[watched.release] = Judge(watched)
        return self._judges[watched.release]

    def _rate(self, watched: Watched, start: int, end: int) -> float:
        return window_rate(watched.plan.budget, max(end - start, 1))

    def _kept(self, name: str, make: Callable[[], bytes]) -> bytes:
        found = self._file.rows("SELECT value FROM cached WHERE key = ?", (name,))
        if found and isinstance(found[0][0], bytes):
            return found[0][0]
        value = make()
        self._file.run("INSERT OR REPLACE INTO cached VALUES (?,?)", (name, value))
        return value

    def _forget(self) -> None:
        """Forget counts older than every release keeps them, once a day."""
        streams = self._file.streams().values()
        if not streams or self._now - self._file.note("forgot") < _DAY:
            return
        keep = max(self._shelf(release).plan.keep_us for release, _ in streams)
        with self._file.changing():
            self._file.forget_before(self._now - keep)
            self._file.set_note("forgot", self._now)
