"""How much traffic the service had before, window by window."""

from __future__ import annotations

from collections import deque

from headrace.checks.live.quality import PAST, Volume, volume
from headrace.core.watching import Window
from headrace.stores.watch_file import WatchFile
from headrace.summary.traffic import Traffic
from headrace.watch.facts import VOLUME_SHARE
from headrace.watch.spans import phase_of
from headrace.watch.watched import Watched

_CHAMPION = "champion"
_MOST = 1500
"""Windows that are looked back on, at most; and ten weeks."""
_WEEKS = 70 * 86_400_000_000
_ANSWERS = "s.arm NOT IN ('shadow', 'batch')"
_ANSWERED = (
    f"FROM piece WHERE stream IN (SELECT s.id FROM stream s WHERE {_ANSWERS}) AND start >= ? AND start < ?"
)
_OF_STREAM = "SELECT max(start) FROM piece WHERE stream = s.id AND start >= ? AND start < ?"


class Past:
    """Volumes of windows, from the counts in the watch file: answers of all arms together, as it is by others
    that they are divided; shadows and batches are none."""

    def __init__(self, file: WatchFile) -> None:
        self._file = file
        self._known: deque[tuple[int, int, Volume]] | None = None

    def volumes(self, watched: Watched, window: Window) -> tuple[Volume, list[Volume]]:
        """Of a window of the champion's arm and of those before it; nothing of the past for others, nor where
        windows are so many answers."""
        now = self._volume(watched, window.start, window.end)
        if window.arm != _CHAMPION or watched.plan.window_rows:
            return now, []
        oldest = window.start - _WEEKS
        return now, [
            v for start, stop, v in self._before(watched) if stop <= window.start and start >= oldest
        ]

    def add(self, watched: Watched, window: Window) -> None:
        """A window was judged."""
        if window.arm == _CHAMPION and self._known is not None:
            told = self._volume(watched, window.start, window.end)
            self._known.append((window.start, window.end, told))

    def starves(self, watched: Watched, start: int, end: int, rate: float, rows: int) -> bool:
        """Whether so few answers are far fewer than usual, where usually there would be enough to judge; or
        whether it was silent for longer than it may be."""
        silent = watched.plan.health.silent_us
        if silent is not None and end - max(self.last(start, end), start) > silent:
            return True
        now, past = self.volumes(watched, Window(watched.release, _CHAMPION, start, end, rows))
        if len(past) < PAST:
            return False
        told = volume(now, past, rate * VOLUME_SHARE)
        return told.exceeds and told.details["usual"] >= max(watched.needed, now.rows)

    def _before(self, watched: Watched) -> deque[tuple[int, int, Volume]]:
        if self._known is None:
            found = self._file.windows("s.arm = ? AND w.arrived > 0", (_CHAMPION,), most=_MOST)
            told = [(k.start, k.stop, self._volume(watched, k.start, k.stop)) for k in found]
            self._known = deque(told, maxlen=_MOST)
        return self._known

    def _volume(self, watched: Watched, start: int, end: int) -> Volume:
        found = self._file.rows(f"SELECT coalesce(sum(rows), 0) {_ANSWERED}", (start, end))
        return Volume(found[0][0], end - start, phase_of(start, watched.plan.zone))

    def last(self, start: int, end: int) -> int:
        """When the newest answer of any arm in a span was given; 0: there was none."""
        found = self._file.rows(
            f"SELECT p.traffic FROM stream s JOIN piece p ON p.stream = s.id AND p.start = ({_OF_STREAM}) "
            f"WHERE {_ANSWERS}",
            (start, end),
        )
        return max((Traffic.from_bytes(t).last for (t,) in found), default=0)

    def newest(self, before: int) -> int:
        """The beginning of the newest span in which any arm answered, of those that begin before a moment; 0
        where there is none."""
        found = self._file.rows(f"SELECT max(({_OF_STREAM})) FROM stream s WHERE {_ANSWERS}", (0, before))
        return int(found[0][0] or 0)
