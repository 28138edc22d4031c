"""The seal: test rows are looked at through openings, and each opening spends from a budget.

The budget follows the rows, not the name of the seal. Openings are numbered over every seal that shares at
least one row, and the k-th is judged at `opening_level(alpha, k)`, so that however many candidates are tried
on the same rows, and however their choice depends on what earlier openings told, an unfit one passes with
probability at most alpha (`metrics.seal` has the argument, tests/data/test_seal_attack.py the simulation).
Only the first opening shows its estimate.

It is tamper-evident, not secret: the bytes of the test rows are in the store, and whoever owns the files
can read them. What nobody can do unseen is measure a candidate through headrace without spending.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import Clock, iso
from headrace.core.digest import digest, digest_bytes
from headrace.core.errors import Conflict, DataError, NotFound
from headrace.core.event import Draft, Event
from headrace.core.evidence import Interval
from headrace.core.ports import Store
from headrace.metrics.seal import opening_level

_KINDS = ("seal.made", "seal.opened", "seal.judged")


@dataclass(frozen=True)
class Seal:
    """Sealed rows. `id` names the rows and nothing else, `rows` counts the different ones among them,
    `ids` is the digest of the artifact with their sorted names, `event` that of the `seal.made` event."""

    id: str
    rows: int
    ids: str
    event: str


@dataclass(frozen=True)
class Opening:
    """The right to measure one frozen candidate on the rows of one seal.

    `number` counts, from 1, the openings on rows that the seal shares, this one included; `level` is the
    error level at which this one is judged. `inherits` are the other seals whose openings are counted;
    `unreadable` those among them that are counted only because it can't be told any more which rows they
    held. `event` is the digest of the `seal.opened` event.
    """

    seal: str
    candidate: str
    number: int
    level: float
    event: str
    inherits: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def shows_estimate(self) -> bool:
        """Whether the estimate may be shown. If not, only the verdict may."""
        return self.number == 1

    def covers(self, ids: NDArray[np.uint64]) -> bool:
        """Whether these are the rows (by `identity.row_ids`, in any order) that the opening is for."""
        return seal_id(ids) == self.seal


@dataclass(frozen=True)
class OpeningView:
    """An opening as the ledger tells it, for reports. `outcome` is empty where it was opened and never
    judged (the process died, say): it has spent all the same."""

    opening: Opening
    actor: str
    time: str
    run: str
    outcome: str = ""
    value: float | None = None
    interval: Interval | None = None


def seal_id(ids: NDArray[np.uint64]) -> str:
    """The name of a set of rows: a digest of their number and their sorted names."""
    return _name(_distinct(ids))


def _distinct(ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The names in order, each once."""
    # np.unique takes fifty times as long where nearly all differ: it hashes them first.
    ids = np.sort(ids).astype("<u8", copy=False)
    return ids[np.flatnonzero(np.diff(ids, prepend=~ids[:1]))]


def _name(unique: NDArray[np.uint64]) -> str:
    return digest(["seal", unique.size, digest_bytes(unique.tobytes())])


def make_seal(store: Store, ids: NDArray[np.uint64], *, actor: str, time: str, run: str) -> Seal:
    """Put rows behind a seal. The same rows are the same seal, and are recorded once.

    `ids` are the names of the rows (`identity.row_ids`), uint64 in any order.

    Raises:
        DataError: there are no rows.
        StoreError: the store refused.
    """
    unique = _distinct(ids)
    if unique.size == 0:
        raise DataError("a seal needs at least one row", where="split.test", fix="make split.test larger")
    name = _name(unique)
    artifact = store.put(_npy(unique))
    payload = {"rows": int(unique.size), "ids": artifact.digest, "run": run}
    while True:
        _, head = store.head()
        made = next(iter(store.read(kinds=("seal.made",), subject=name)), None)
        if made is not None:
            return _seal(made)
        try:
            (event,) = store.append([Draft("seal.made", name, time, actor, payload)], expect=head)
        except Conflict:
            continue  # somebody else wrote, perhaps this very seal: look again
        return _seal(event)


def open_seal(
    store: Store,
    seal: Seal,
    candidate: str,
    *,
    actor: str,
    clock: Clock,
    run: str,
    alpha: float = 0.05,
) -> Opening:
    """Open the seal for one frozen candidate. The event is in the ledger before this returns, and so
    before a row is read: a process that dies afterwards has spent.

    `candidate` is the digest of what will be measured. The same candidate on the same seal is the same
    opening: nothing is spent, and it shows what it showed. Any other pair of candidate and seal is a new
    one; one candidate on a second seal too, since rows can be picked as candidates can.

    Openings of every seal with which this one shares a row are counted. Sharing is direct: seals that
    share rows with one of those, but none with this one, are not. Where the names of an earlier seal's
    rows (or this one's) are gone or changed, the seal is taken to share rows: the safe side.

    Any number of processes may open at once; each gets a number of its own.

    Raises:
        NotFound: the seal was never made in this store.
        StoreError: the store refused; nothing is spent.
        ValueError: alpha is not between 0 and 1, or the candidate is empty.
    """
    if not 0 < alpha < 1 or not candidate:
        raise ValueError("an opening needs a candidate and an alpha between 0 and 1")
    overlaps: _Overlaps | None = None
    while True:
        _, head = store.head()
        events = list(store.read(kinds=_KINDS[:2]))
        made = {e.subject: str(e.payload["ids"]) for e in events if e.kind == "seal.made"}
        if seal.id not in made:
            raise NotFound(f"there is no seal {seal.id[:12]} in this store", fix="run the split stage again")
        overlaps = overlaps or _Overlaps(store, made[seal.id])
        opened = [e for e in events if e.kind == "seal.opened"]
        for e in opened:
            if e.subject == seal.id and e.payload["candidate"] == candidate:
                return _opening(e)
        spent = [e for e in opened if e.subject == seal.id or overlaps.shares(e.subject, made.get(e.subject))]
        others = sorted({e.subject for e in spent} - {seal.id})
        number = len({(e.subject, e.payload["candidate"]) for e in spent}) + 1
        payload = {
            "seal": seal.id,
            "candidate": candidate,
            "number": number,
            "level": opening_level(alpha, number),
            "alpha": alpha,
            "inherits": others,
            "unreadable": [other for other in others if other in overlaps.unreadable],
            "run": run,
        }
        try:
            (event,) = store.append(
                [Draft("seal.opened", seal.id, iso(clock()), actor, payload)], expect=head
            )
        except Conflict:
            continue  # somebody wrote meanwhile, perhaps an opening: count anew
        return _opening(event)


def record_judgement(
    store: Store,
    opening: Opening,
    *,
    outcome: str,
    value: float | None = None,
    interval: Interval | None = None,
    actor: str,
    time: str,
) -> Event:
    """Record how an opening ended. Value and interval are kept only where the opening shows its estimate.

    The same outcome again is the event that is there already.

    Raises:
        StoreError: the store refused.
    """
    shown = opening.shows_estimate
    payload = {
        "seal": opening.seal,
        "candidate": opening.candidate,
        "opening": opening.event,
        "outcome": outcome,
        "value": value if shown else None,
        "interval": [interval.low, interval.high, interval.level] if interval and shown else None,
    }
    for event in store.read(kinds=("seal.judged",), subject=opening.seal, newest_first=True):
        if event.payload["opening"] == opening.event:
            if dict(event.payload) == payload:
                return event
            break
    (event,) = store.append([Draft("seal.judged", opening.seal, time, actor, payload)])
    return event


def openings(store: Store, seal: str | None = None) -> tuple[OpeningView, ...]:
    """Every opening in its order, with its newest judgement; of one seal where `seal` (an id) is given."""
    views: dict[str, OpeningView] = {}
    for e in store.read(kinds=_KINDS[1:], subject=seal):
        if e.kind == "seal.opened":
            views[e.digest] = OpeningView(_opening(e), e.actor, e.time, str(e.payload["run"]))
            continue
        view = views.get(str(e.payload["opening"]))
        if view is not None:
            ends = e.payload["interval"]
            views[view.opening.event] = OpeningView(
                view.opening,
                view.actor,
                view.time,
                view.run,
                outcome=str(e.payload["outcome"]),
                value=e.payload["value"],
                interval=None if ends is None else Interval(*ends),
            )
    return tuple(views.values())


def _seal(event: Event) -> Seal:
    return Seal(event.subject, int(event.payload["rows"]), str(event.payload["ids"]), event.digest)


def _opening(event: Event) -> Opening:
    p = event.payload
    return Opening(
        seal=event.subject,
        candidate=str(p["candidate"]),
        number=int(p["number"]),
        level=float(p["level"]),
        event=event.digest,
        inherits=_texts(p["inherits"]),
        unreadable=_texts(p["unreadable"]),
    )


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(v) for v in values)


# --- the names of the rows -----------------------------------------------------------------------


def _npy(ids: NDArray[np.uint64]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, ids, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _load(store: Store, artifact: str) -> NDArray[np.uint64] | None:
    """The sorted names, or None where the artifact is gone or is not what was written."""
    try:
        data = store.get(artifact).read_bytes()
        if digest_bytes(data) != artifact:
            return None
        ids: NDArray[np.uint64] = np.load(io.BytesIO(data), allow_pickle=False)
    except (NotFound, OSError, ValueError, EOFError):
        return None
    return ids


class _Overlaps:
    """Which other seals share a row with one. Each is compared once, also when an append is retried."""

    def __init__(self, store: Store, artifact: str) -> None:
        self._store = store
        self._ids = _load(store, artifact)
        self._known: dict[str, bool] = {}
        self.unreadable: set[str] = set()

    def shares(self, other: str, artifact: str | None) -> bool:
        """Whether seal `other`, whose names are in `artifact`, shares a row; True where it can't be told."""
        if other not in self._known:
            ids = None if artifact is None else _load(self._store, artifact)
            if self._ids is None or ids is None:
                self.unreadable.add(other)
                self._known[other] = True
            else:
                self._known[other] = share_a_row(self._ids, ids)
        return self._known[other]


def share_a_row(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> bool:
    """Whether two sorted arrays of names have one in common."""
    few, many = (one, other) if one.size <= other.size else (other, one)
    if few.size == 0 or few[-1] < many[0] or many[-1] < few[0]:
        return False
    # a few names spread over the array settle nearly every case in which much is shared
    return any(_found(names, many) for names in (few[:: max(1, few.size // 256)], few))


def _found(names: NDArray[np.uint64], among: NDArray[np.uint64]) -> bool:
    place = np.minimum(np.searchsorted(among, names), among.size - 1)
    return bool((among[place] == names).any())
