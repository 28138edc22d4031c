"""The ports: what headrace asks of the world. Each ships its exam in `headrace.testing`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from headrace.core.answered import Answered
from headrace.core.artifact import Artifact
from headrace.core.event import Draft, Event
from headrace.core.online import Fact, Filled, Found, Freshness, Kept, Outcome, Place, Stream
from headrace.core.review import Counts, Item, Label, Load, Period, Reviewed, State
from headrace.core.watching import Message

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Store(Protocol):
    """An append-only ledger and content-addressed artifacts.

    A store may be shared by many threads and processes at once, also at the moment when it is first
    created. State is never kept here: it is a fold of the events.
    """

    def head(self) -> tuple[int, str]:
        """Number and digest of the newest event; `(0, GENESIS)` where the ledger is empty."""
        ...

    def append(self, drafts: Sequence[Draft], *, expect: str | None = None) -> tuple[Event, ...]:
        """Write the drafts, all or none, in order, behind the present head. Returns them as events.

        When this returns, the events survive the death of the process. With `expect`, the append
        happens only if the head's digest is still `expect`.

        Raises:
            Conflict: `expect` was given and the head has moved; nothing was written.
            StoreError: the medium refused (full, read-only, locked); nothing was written.
            ValueError: a draft's kind is unknown; nothing was written.
        """
        ...

    def read(
        self,
        *,
        after: int = 0,
        kinds: Collection[str] | None = None,
        subject: str | None = None,
        newest_first: bool = False,
    ) -> Iterator[Event]:
        """Events with a number above `after`, in order, of these kinds and this subject where given."""
        ...

    def put(self, source: bytes | Path) -> Artifact:
        """Keep these bytes, or a copy of this file. Idempotent: the same bytes are the same artifact.

        A process killed at any point leaves either nothing or the whole artifact under its digest.

        Raises:
            StoreError: the medium refused; nothing half-written is left under the digest.
        """
        ...

    def scratch(self, suffix: str = "") -> Path:
        """A path of its own, with nothing there yet, for a file or folder in the making.

        `put` of a file made there moves it instead of copying. What a dead process left is swept later.
        """
        ...

    def get(self, digest: str) -> Path:
        """A local, readable file with the artifact's bytes. The caller must not write to it.

        Raises:
            NotFound: no artifact has this digest.
        """
        ...

    def has(self, digest: str) -> bool:
        """Whether the artifact is there."""
        ...

    def artifacts(self) -> Iterator[Artifact]:
        """Every artifact that is kept, in no stated order."""
        ...


class OnlineStore(Protocol):
    """Facts by key and moment, for answering at once: what `core.online` says of facts and streams.

    A store may be shared by many threads and processes at once. What `put` acknowledged survives the death
    of the process. Facts come in any order; what is found depends on which are there, never on the order in
    which they came, but for rows of equal times, which lie in the order of their positions.
    """

    def declare(self, streams: Sequence[Stream]) -> None:
        """Make streams that are not there yet, empty and not filled. Others stay as they are."""
        ...

    def streams(self) -> Mapping[str, Filled]:
        """Every stream, by name."""
        ...

    def put(
        self,
        table: str,
        facts: Sequence[Fact],
        *,
        start: int | None = None,
        filling: Collection[str] = (),
        into: Collection[str] = (),
    ) -> tuple[Outcome, ...]:
        """Keep facts of a table, all or none, and say what became of each.

        A new fact is put at all its places. One that is known is put nowhere, but for its places in the
        streams `filling`. `start` is the position of the first fact in its file, the next has the next one;
        without it facts have arrived one by one: each new one gets a number, and `ARRIVED` and it as its
        position. `into` are the streams of the table that the caller sees to, also where a fact has no place
        in them: they hold what arrived up to the newest number, if they held it up to the one before.

        Raises:
            StoreError: the medium refused; nothing was written.
            ValueError: a place is in a stream that is not declared, or its payload has another length than
                its kind of stream holds; nothing was written.
        """
        ...

    def place(self, places: Sequence[tuple[int, Place]]) -> None:
        """Put rows of known facts at places, each with its position. What is there already stays as it is.

        Raises:
            StoreError: the medium refused; nothing was written.
            ValueError: as `put`.
        """
        ...

    def begin(self, stream: str) -> None:
        """Empty a stream, to fill it anew."""
        ...

    def finish(self, stream: str, source: str, upto: int) -> None:
        """Note that a stream holds every row of a snapshot and every fact that arrived up to a number."""
        ...

    def kept(self, table: str, after: int = 0) -> Iterator[Kept]:
        """The facts of a table that arrived one by one, with numbers above `after`, in their order."""
        ...

    def newest(self, stream: str, asks: Sequence[tuple[bytes, int]]) -> list[Found | None]:
        """For each key and moment the newest row that was known then (`known <= moment`): of the greatest
        (on, known, position). None where there is none."""
        ...

    def window(self, stream: str, key: bytes, start: int, moment: int) -> NDArray[np.int64]:
        """The rows [n, 4] of a key with `start <= on` and `known < moment`: on, known, position and cell, in
        the order of the first three."""
        ...

    def has(self, stream: str, key: bytes) -> bool:
        """Whether there is any row of a key."""
        ...

    def freshness(self, table: str) -> Freshness:
        """How many facts of a table there are, and how new."""
        ...

    def codes(self, words: Sequence[str]) -> list[int]:
        """Numbers from 0 on that stand for texts in cells, the same for the same text for ever."""
        ...

    def words(self, codes: Sequence[int]) -> list[str]:
        """The texts that numbers stand for.

        Raises:
            KeyError: no text has this number.
        """
        ...


class Log(Protocol):
    """Where answers are kept, as they are given. One writer a process; readers see whole entries alone."""

    def append(self, entries: Sequence[Answered], done: Callable[[Exception | None], None]) -> None:
        """Take entries, in order. `done` is called once, from any thread: with None when they are as safe as
        the mode says (durable: they survive the death of any process and a power cut; buffered: they are
        taken), with the reason when they could not be kept. No entries ask whether it takes any.

        Raises:
            StoreError: the log takes nothing now (full disk, too much waiting); nothing was taken.
        """
        ...

    def close(self) -> None:
        """Write what is waiting. Nothing may be appended afterwards."""
        ...


class ReviewQueue(Protocol):
    """What people are to look at, and what they said.

    A queue may be shared by many threads and processes at once. What a call acknowledged survives the death
    of the process. The moment (`now`) is always the caller's.
    """

    def put(self, items: Sequence[Item], *, period: Period | None = None) -> frozenset[str]:
        """Keep items that are not there yet; those of an id that is known stay as they are. With a `period`
        that has a capacity, an item whose seats (`wanted`) would exceed it, counting all that were sent in
        the period, or all that are open, is refused. Returns the ids of the refused.

        Raises:
            StoreError: the medium refused; nothing was written.
        """
        ...

    def load(self, period: Period, *, now: int, holder: str = "", rate: float = 0.0, missed: int = 0) -> Load:
        """How full the queue is; a `holder` (a process) tells how many candidates a second it sees, which
        counts for half a minute, and how many it did not even send, knowing that there was no room: they are
        counted as refused."""
        ...

    def take(
        self, reviewer: str, *, now: int, lease: int, name: str | None = None, source: str | None = None
    ) -> Reviewed | None:
        """Give an open item to a reviewer for `lease` microseconds: the one that is due first, or that of
        the id `name`. Nobody else is given its seat meanwhile. None where nothing is there for them.

        Raises:
            DataError: the named item is not there, or has no free seat.
        """
        ...

    def decide(self, name: str, reviewer: str, decision: Label, *, now: int, comment: str = "") -> Reviewed:
        """Write a decision down. The last of those that are wanted settles the item; where the first two
        differ a third is wanted, and counts.

        Raises:
            DataError: the item is not there, settled, due, or held by others; or the decision is none of its
                choices.
        """
        ...

    def comment(self, name: str, reviewer: str, text: str, *, now: int) -> Reviewed:
        """Say something about an item, whatever its state.

        Raises:
            DataError: the item is not there.
        """
        ...

    def give_back(self, name: str, reviewer: str, *, now: int) -> Reviewed:
        """Free the seat that a reviewer holds.

        Raises:
            DataError: the item is not there, or they hold no seat of it.
        """
        ...

    def expire(self, *, now: int) -> int:
        """Settle every item whose deadline has passed: by what those said who decided, where they agree,
        or as expired. Returns how many expired."""
        ...

    def get(self, name: str) -> Reviewed | None:
        """An item by its id, or None."""
        ...

    def items(
        self,
        *,
        state: State | None = None,
        source: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[tuple[int, Reviewed]]:
        """Items with numbers above `after`, in the order in which they came, with their numbers."""
        ...

    def settled(self, *, limit: int = 1000) -> list[Reviewed]:
        """Settled items that nobody has collected, in the order in which they were settled."""
        ...

    def collected(self, ids: Sequence[str]) -> None:
        """Note that settled items were collected."""
        ...

    def counts(self, *, now: int, source: str | None = None) -> Counts:
        """The queue in numbers."""
        ...

    def erase(self, column: str, values: Collection[str]) -> int:
        """Forget the items whose input `column` is one of these texts (as `core.spelled` has it), with all
        that was said of them; how many. Nothing of them stays readable in the medium.

        Raises:
            StoreError: the medium refused; nothing was forgotten.
        """
        ...


class Sink(Protocol):
    """Where alerts go. The same message may come twice; its id tells."""

    def send(self, message: Message) -> None:
        """Hand the message over; when this returns, the receiver has it.

        Raises:
            Undelivered: the receiver did not take it; whoever sends tries again later.
        """
        ...
