"""Which windows of live traffic there are to judge: complete ones, each once, small ones with the next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from headrace.core.digest import digest
from headrace.core.event import Event
from headrace.core.ports import Store
from headrace.core.watching import Window
from headrace.stores.watch_file import Kept, WatchFile
from headrace.summary.counts import Counts
from headrace.summary.traffic import Traffic
from headrace.watch.intake import counts_of, put
from headrace.watch.watched import Watched

JUDGED = "window.judged"
GRACE_US = 5_000_000
"""After its end a window waits so long for answers that are on their way into the log."""
_LEDGER = "ledger"
_FAR = (1 << 63) - 1


class Side(StrEnum):
    """When a window is judged: when its answers have arrived, and again when its labels are due."""

    ARRIVED = "arrived"
    LABELLED = "labelled"


@dataclass(frozen=True, eq=False)
class Tallied:
    """A window with what was counted in it. counts: None where the release has no bins. late: answers that
    came after it was judged first."""

    window: Window
    counts: Counts | None
    traffic: Traffic
    late: int = 0

    def __add__(self, other: Tallied) -> Tallied:
        """The same window counted on two machines that share no log, as if one had counted it. Raises
        ValueError where it is another window, or in other bins."""
        one, two = self.window, other.window
        if replace(one, rows=0) != replace(two, rows=0):
            raise ValueError(f"{one.name} and {two.name} are two windows")
        counts = self.counts
        if counts is not None and other.counts is not None:
            counts = counts + other.counts
        elif counts is None and self.traffic.rows == 0:
            counts = other.counts
        return Tallied(
            replace(one, rows=one.rows + two.rows),
            counts,
            self.traffic + other.traffic,
            self.late + other.late,
        )

    @property
    def digest(self) -> str:
        """The name of what was counted: whole numbers alone, so that it does not depend on the order."""
        c = self.counts
        told = [] if c is None else [c.bins, c.rows, c.codes.tolist(), c.first, c.last]
        w = self.window
        return digest([w.release, w.arm, w.start, w.end, w.rows, told, self.traffic.to_bytes().hex()])


def follow(file: WatchFile, store: Store) -> None:
    """Take from the ledger which windows were judged: it alone says so.

    Raises:
        StoreError: ledger or file can't be read or written.
    """
    after, head = file.note(_LEDGER), store.head()[0]
    if after > head:  # another ledger, or an older copy
        with file.changing():
            file.run("UPDATE window SET arrived = 0, labelled = 0")
            file.set_note(_LEDGER, 0)
        after = 0
    if after == head:
        return
    with file.changing():
        for event in store.read(after=after, kinds=(JUDGED,)):
            note(file, event)
        file.set_note(_LEDGER, head)


def note(file: WatchFile, event: Event) -> None:
    """Keep what an event of the ledger says of a window. Inside `WatchFile.changing`."""
    p = event.payload
    stream = file.stream(p["release"], p["arm"])
    if p["side"] == Side.ARRIVED:
        number = file.put_window(stream, p["start"], p["end"], p["rows"], p["digest"])
        file.run("UPDATE window SET arrived = ? WHERE id = ?", (event.seq, number))
    else:
        file.run(
            "UPDATE window SET labelled = ? WHERE stream = ? AND start = ?", (event.seq, stream, p["start"])
        )


def arrived(
    file: WatchFile,
    stream: int,
    watched: Watched,
    arm: str,
    upto: int,
    starving: Callable[[int, int, int], bool],
    since: int = 0,
) -> Iterator[Window]:
    """The complete windows of a stream that were not judged yet, oldest first. To be judged one after the
    other: what comes after one is looked for when it is.

    upto: spans that end by then are complete. starving: (start, end, rows) whether so few answers are
    themselves what is to be told. since: where an outage begins at the earliest; 0: that is not known.
    """
    after = file.judged_upto(stream)
    start, rows, end = None, 0, after or 0
    for begun, stop, count in file.spans(stream, _FAR * -1 if after is None else after, _FAR):
        if stop > upto:
            break
        if start is None:
            start = begun
        rows, end = rows + count, stop
        if rows >= watched.needed:
            yield Window(watched.release, arm, start, stop, rows)
            start, rows = None, 0
    yield from _hungry(file, stream, watched, arm, (start, max(end, since), rows), upto, starving)


def _hungry(
    file: WatchFile,
    stream: int,
    watched: Watched,
    arm: str,
    left: tuple[int | None, int, int],
    upto: int,
    starving: Callable[[int, int, int], bool],
) -> Iterator[Window]:
    """What is left, up to the present, where there should have been more of it. An outage is told once: what
    follows a window without answers begins with the next answer."""
    start, end, rows = left
    begin = start if start is not None else end
    if not begin or (start is None and _was_empty(file, stream, end)):
        return
    stop = max(watched.last_end(upto), end)
    if stop > begin and starving(begin, stop, rows):
        yield Window(watched.release, arm, begin, stop, rows)


def _was_empty(file: WatchFile, stream: int, end: int) -> bool:
    found = file.windows("w.stream = ? AND w.stop = ? AND w.arrived > 0", (stream, end))
    return bool(found) and found[-1].rows == 0


def labelled(file: WatchFile, due: Callable[[Kept], bool]) -> Iterator[Kept]:
    """The windows whose labels are due and that were not judged by them yet, oldest first."""
    for kept in file.windows("w.arrived > 0 AND w.labelled = 0"):
        if due(kept):
            yield kept


def tallied(file: WatchFile, stream: int, window: Window, judged: int | None = None) -> Tallied:
    """What was counted in a window. judged: how many rows it had when it was judged first."""
    counts: Counts | None = None
    traffic = Traffic()
    for piece in file.pieces(stream, window.start, window.end):
        more = counts_of(piece)
        counts = more if counts is None else counts if more is None else counts + more
        traffic = traffic + Traffic.from_bytes(piece.traffic)
    late = 0 if judged is None else max(0, traffic.rows - judged)
    return Tallied(replace(window, rows=traffic.rows), counts, traffic, late)


def late(file: WatchFile, touched: Collection[tuple[int, int]]) -> int:
    """Answers that came after their window was judged, in windows with these spans of streams; and those of
    these spans that had none when a later one was judged, and so are in no window."""
    held = [(stream, start, file.window_at(stream, start)) for stream, start in touched]
    found = {kept.id: (stream, kept) for stream, _, kept in held if kept is not None}
    upto = {stream: file.judged_upto(stream) or 0 for stream, _ in touched}
    passed = [(s, start) for s, start, kept in held if kept is None and start < upto[s]]
    between = sum(rows for s, start in passed for *_, rows in file.spans(s, start, start + 1))
    return between + sum(late_in(file, stream, kept) for stream, kept in found.values())


def late_in(file: WatchFile, stream: int, kept: Kept) -> int:
    """Answers in a judged window that came after it was judged."""
    return max(0, sum(rows for *_, rows in file.spans(stream, kept.start, kept.stop)) - kept.rows)


def as_one(file: WatchFile, stream: int, window: Window) -> None:
    """Keep a window by count as one span. Inside `WatchFile.changing`."""
    pieces = file.pieces(stream, window.start, window.end)
    if all(p.start == window.start for p in pieces):
        return
    file.drop_pieces(stream, window.start, window.end)
    for piece in pieces:
        counts, traffic = counts_of(piece), Traffic.from_bytes(piece.traffic)
        put(file, replace(piece, start=window.start, stop=window.end), counts, traffic)


def place_of(file: WatchFile, by_count: Callable[[int], bool]) -> Callable[[int, int], int]:
    """Where the counts of a span of a stream belong: to the window by count that was judged over it."""

    def place(stream: int, start: int) -> int:
        if not by_count(stream):
            return start
        found = file.window_at(stream, start)
        return start if found is None else found.start

    return place


def window_of(kept: Kept) -> Window:
    """A judged window."""
    return Window(kept.release, kept.arm, kept.start, kept.stop, kept.rows)
