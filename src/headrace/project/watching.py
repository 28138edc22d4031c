"""What is seen of live traffic: ticks, windows, readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.clock import from_micros, iso, micros
from headrace.core.codec import to_plain
from headrace.core.errors import SpecError
from headrace.core.places import SERVING, WATCH
from headrace.core.spec import FILE_NAME
from headrace.core.watching import Window
from headrace.engine.context import Progress, silent
from headrace.project.alerting import Alerting
from headrace.project.base import STORE_DIR

if TYPE_CHECKING:
    from headrace.summary.counts import Counts
    from headrace.watch.readings import Asked, Found
    from headrace.watch.service import Look
    from headrace.watch.tick import Ticked

_REQUESTS = "headrace_requests_total"
_GAUGES = ("headrace_workers", "headrace_requests_waiting", "headrace_resident_memory_bytes")


@dataclass(frozen=True)
class SeenWindow:
    """A judged window. start, end: UTC microseconds; rows: answers when it was judged, late: those that came
    after; labelled: whether it was judged by its labels, too; exceeding: readings that are alarms; digest: of
    its counts, as the ledger has it."""

    release: str
    arm: str
    start: int
    end: int
    rows: int
    late: int
    labelled: bool
    exceeding: int
    digest: str

    @property
    def began(self) -> str:
        """Its beginning, as text."""
        return iso(from_micros(self.start))


class Watching(Alerting):
    """The windows of live traffic of a `Project`, and what was read from them."""

    def watch(self, *, progress: Progress = silent) -> Ticked:
        """Count what is new in the prediction log, and judge the windows that are complete: each once,
        whoever else does the same. Alerts are opened and told.

        Raises:
            StoreError: log, ledger or watch file can't be read or written.
        """
        from headrace.watch.telling import leave, teller
        from headrace.watch.tick import Hooks, Place, tick

        trouble: dict[str, str] = {}
        tell = teller(self.store, self.alerts, self._clock, self.actor)

        def after() -> None:
            leave(self.store, self.alerts(), self._clock, self.actor)
            trouble.update(self._tell())

        hooks = Hooks(tell, after)
        place = Place(
            self.store,
            self.root / STORE_DIR,
            self.actor,
            self._clock,
            lambda: servers(self.root / STORE_DIR / SERVING),
            hooks,
            lambda text, done, total: progress("watch", text, done, total),
        )
        done = tick(place)
        done.trouble = trouble
        return done

    def _tell(self) -> Mapping[str, str]:
        """Tell whom the spec names; without a spec nobody is named."""
        if not (self.root / FILE_NAME).is_file():
            return {}
        try:
            return self.tell_alerts()
        except SpecError as error:
            return {"spec": error.problems[0].what}

    def windows(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        release: str = "",
        arm: str = "",
        last: int | None = None,
    ) -> list[SeenWindow]:
        """Judged windows, oldest first; the newest `last`. since, until: bounds of their ends.

        Raises:
            StoreError: the watch file can't be read.
        """
        from headrace.stores.watch_file import WatchFile
        from headrace.watch.readings import exceeding, windows
        from headrace.watch.windows import late_in

        if not self.watch_file.exists():
            return []
        with WatchFile(self.watch_file) as file:
            found = windows(file, _asked(since, until, release, arm), most=last)
            streams = file.numbers()
            over = exceeding(file, [k.id for k in found])
            return [
                SeenWindow(
                    k.release,
                    k.arm,
                    k.start,
                    k.stop,
                    k.rows,
                    late_in(file, streams[k.release, k.arm], k),
                    k.labelled > 0,
                    over.get(k.id, 0),
                    k.digest,
                )
                for k in found
            ]

    def readings(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        release: str = "",
        arm: str = "",
        family: str = "",
        check: str = "",
        of: str | None = None,
        exceeding: bool = False,
        last: int | None = None,
    ) -> list[Found]:
        """Readings with their windows, oldest first; of the newest `last` windows. family, check, of: of
        these alone (of: a column or slice). exceeding: those that are alarms.

        Raises:
            StoreError: the watch file can't be read.
        """
        from headrace.stores.watch_file import WatchFile
        from headrace.watch.readings import readings

        if not self.watch_file.exists():
            return []
        asked = _asked(since, until, release, arm)
        asked = replace(asked, family=family, check=check, of=of, exceeding=exceeding)
        with WatchFile(self.watch_file) as file:
            return list(readings(file, asked, most=last))

    def window_counts(self, release: str, arm: str, start: int, end: int) -> Counts | None:
        """What was counted of a release on an arm in a span (UTC microseconds), in the release's bins; None
        where nothing was, or it has none.

        Raises:
            StoreError: the watch file can't be read.
        """
        from headrace.stores.watch_file import WatchFile
        from headrace.watch.windows import tallied

        if not self.watch_file.exists():
            return None
        with WatchFile(self.watch_file) as file:
            streams = file.numbers()
            if (release, arm) not in streams:
                return None
            return tallied(file, streams[release, arm], Window(release, arm, start, end, 0)).counts

    @property
    def watch_file(self) -> Path:
        """Where counts and readings are kept: `.headrace/watch.db`."""
        return self.root / STORE_DIR / WATCH


def _asked(since: datetime | None, until: datetime | None, release: str, arm: str) -> Asked:
    from headrace.watch.readings import Asked

    return Asked(
        None if since is None else micros(since), None if until is None else micros(until), release, arm
    )


def servers(folder: Path) -> dict[str, Look]:
    """What the servers of a project count of themselves, by the name of the folder that each shares."""
    from headrace.serve.http.tally import totals
    from headrace.watch.service import Look

    found: dict[str, Look] = {}
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            counted, now = totals(place, _GAUGES)
        except OSError:  # a server that ends, or a folder that is another's
            continue
        statuses: dict[str, int] = {}
        for key, numbers in counted.items():
            if key[0] == _REQUESTS:
                statuses[key[3]] = statuses.get(key[3], 0) + numbers[0]
        workers, waiting, memory = (sum(now[name]) for name in _GAUGES)
        if workers:
            found[place.name] = Look(statuses, workers, waiting, memory)
    return found


def plain(found: Sequence[Found]) -> Iterator[dict[str, object]]:
    """Readings ready for JSON, one object each."""
    for one in found:
        yield {"window": to_plain(one.window), **to_plain(one.reading)}
