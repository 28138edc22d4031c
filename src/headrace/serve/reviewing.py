"""What reviewers ask of a server: a request's plain values in, a reply's out. Knows nothing of HTTP.

Who reviews is said by the caller of these functions (a token's name), never by the request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from headrace.core.clock import Clock, from_micros, iso, micros, parse_duration, system_clock
from headrace.core.codec import to_plain
from headrace.core.digest import digest
from headrace.core.errors import DataError, Problem, StoreError, did_you_mean
from headrace.core.event import Draft
from headrace.core.ports import ReviewQueue, Store
from headrace.core.review import EVENT, TRAFFIC, Reviewed, State
from headrace.policy.review_found import agreement, overturned, pairs_of

LEASE = "15 min"
"""How long an item is kept for who took it."""
MOST = 500
"""Items of one list."""
TEXT = 10_000
"""Characters of a comment."""
SOURCE = "review"
"""Who says so, of a label that a reviewer gave."""

_AT_ONCE = 1000


class Kept(Protocol):
    """What became of labels: how many were refused, and why."""

    @property
    def refused(self) -> int: ...
    @property
    def problems(self) -> Sequence[Problem]: ...


Keep = Callable[[Sequence[Mapping[str, Any]]], Kept]
"""Keeps labels: rows with id, label, weight, source and event_id, as `logs.labels.LabelBook.take` reads."""

_LOG = logging.getLogger("headrace.serve")
_MICRO = timedelta(microseconds=1)


@dataclass(frozen=True)
class Room:
    """Where reviewers work: the queue, and where decisions go. keep: None where nothing keeps labels."""

    reviews: ReviewQueue
    keep: Keep | None = None
    clock: Clock = system_clock

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        return micros(self.clock())


def take(room: Room, reviewer: str, request: Any) -> dict[str, Any]:
    """The item that is due first, or the named one, kept for the reviewer while the lease lasts; null where
    nothing is there. Request: `lease` (a duration), `id`, `source`.

    Raises:
        DataError: the request has another form; the named item is not there, or has no free seat.
    """
    asked = _read(request, {"lease": str, "id": str, "source": str})
    lease = _lease(asked.get("lease", LEASE))
    found = room.reviews.take(
        _name(reviewer), now=room.now(), lease=lease, name=asked.get("id"), source=asked.get("source")
    )
    return {"item": None if found is None else shown(found, reviewer)}


def decide(room: Room, reviewer: str, request: Any) -> dict[str, Any]:
    """Write a decision down: `id`, `decision` (one of the item's choices, or a number), `comment`. What is
    settled by it becomes a label at once.

    Raises:
        DataError: the request has another form, or the item can't be decided by them, or not so; or it is
            decided, and its label is refused.
    """
    asked = _read(
        request, {"id": str, "decision": (str, int, float, bool), "comment": str}, ("id", "decision")
    )
    made = room.reviews.decide(
        asked["id"], _name(reviewer), asked["decision"], now=room.now(), comment=asked.get("comment", "")
    )
    if _refused(room, [made]):
        raise DataError(
            f"the decision on {made.item.id} is written down, and is no label: the labels refuse it",
            where="id",
            why="another label has its event_id",
            fix="nothing to decide again; tell who runs the server, whose log says more",
        )
    return {"item": shown(made, reviewer)}


def comment(room: Room, reviewer: str, request: Any) -> dict[str, Any]:
    """Say something about an item: `id`, `text`.

    Raises:
        DataError: the request has another form, or the item is not there.
    """
    asked = _read(request, {"id": str, "text": str}, ("id", "text"))
    if not asked["text"].strip():
        raise DataError("the comment is empty", where="text", fix="say something")
    found = room.reviews.comment(asked["id"], _name(reviewer), asked["text"], now=room.now())
    return {"item": shown(found, reviewer)}


def give_back(room: Room, reviewer: str, request: Any) -> dict[str, Any]:
    """Leave an item to others: `id`.

    Raises:
        DataError: the request has another form, or they don't hold the item.
    """
    asked = _read(request, {"id": str}, ("id",))
    found = room.reviews.give_back(asked["id"], _name(reviewer), now=room.now())
    return {"item": shown(found, reviewer)}


def listed(room: Room, reviewer: str, request: Any) -> dict[str, Any]:
    """Items in the order in which they came: `state` (open, decided, expired), `source`, `after` (what the
    reply before called `next`), `limit`.

    Raises:
        DataError: the request has another form.
    """
    asked = _read(request, {"state": str, "source": str, "after": int, "limit": int})
    state, limit = asked.get("state"), asked.get("limit", 100)
    problems = []
    if state is not None and state not in set(State):
        problems.append(
            Problem(
                f"no state is called {state!r}", "state", fix=did_you_mean(state, [s.value for s in State])
            )
        )
    if not 1 <= limit <= MOST:
        problems.append(Problem(f"a list holds 1 to {MOST} items", "limit"))
    if problems:
        raise DataError.of(problems)
    room.reviews.expire(now=room.now())
    found = room.reviews.items(
        state=None if state is None else State(state),
        source=asked.get("source"),
        after=asked.get("after", 0),
        limit=limit,
    )
    further = found[-1][0] if len(found) == limit else None
    return {"items": [shown(item, reviewer) for _, item in found], "next": further}


def status(room: Room, reviewer: str, request: Any) -> dict[str, Any]:
    """The queue in numbers, what the reviewers found, and whether they agree: `source` (default: traffic).

    Raises:
        DataError: the request has another form.
    """
    del reviewer
    asked = _read(request, {"source": str})
    source = asked.get("source", TRAFFIC)
    now = room.now()
    room.reviews.expire(now=now)
    counts = room.reviews.counts(now=now, source=source)
    items = list(_every(room.reviews, source))
    told: dict[str, Any] = to_plain(counts) | {"oldest": _moment(counts.oldest), "source": source}
    told["agreement"] = to_plain(agreement(pairs_of(items)))
    told["overturned"] = to_plain(overturned(items, by_chance=False))
    told["overturned_by_chance"] = to_plain(overturned(items, by_chance=True))
    return told


def labels(items: Sequence[Reviewed]) -> list[dict[str, Any]]:
    """Decisions about traffic as labels: each weighs one over the chance at which it was asked."""
    return [
        {
            "id": i.item.id,
            "label": i.decision,
            "weight": 1.0 / i.item.chance,
            "source": SOURCE,
            "event_id": f"{EVENT}{i.item.id}",
        }
        for i in items
        if i.state is State.DECIDED and i.item.source == TRAFFIC
    ]


def settle(room: Room, store: Store, *, actor: str) -> dict[str, int]:
    """Write in the ledger what was settled since the last time, and hand the decisions on as labels (again,
    where they were: who keeps labels knows them by name). Killed on the way, it is done again
    from there; a part may then be told twice in the ledger, with the same digest. A decision that is refused
    as a label is told in the log, and stays to be settled.

    Returns how many items were decided, expired and overturned.
    """
    room.reviews.expire(now=room.now())
    total = {"decided": 0, "expired": 0, "overturned": 0}
    left: set[str] = set()
    while found := _settled(room, left):
        if gone := _refused(room, found):
            left |= gone
            found = [i for i in found if i.item.id not in gone]
        if not found:
            continue
        made = [i for i in found if i.state is State.DECIDED]
        counts = {
            "decided": len(made),
            "expired": len(found) - len(made),
            "overturned": sum(i.decision != i.item.answer.get("prediction") for i in made),
        }
        named = [
            [i.item.id, i.state.value, i.decision, [[s.reviewer, s.decision] for s in i.said]] for i in found
        ]
        payload = {
            **counts,
            "digest": digest(named),
            "reviewers": sorted({s.reviewer for i in made for s in i.said}),
        }
        store.append([Draft("review.settled", SOURCE, iso(room.clock()), actor, payload)])
        room.reviews.collected([i.item.id for i in found])
        total = {k: v + counts[k] for k, v in total.items()}
    return total


def _settled(room: Room, left: set[str]) -> list[Reviewed]:
    """What is to be collected, but for what is left where it is."""
    found = room.reviews.settled(limit=_AT_ONCE + len(left))
    return [i for i in found if i.item.id not in left]


def _refused(room: Room, items: Sequence[Reviewed]) -> set[str]:
    """Hand decisions on as labels; the ids of those that are refused, each told in the log."""
    rows = labels(items)
    if room.keep is None or not rows or not room.keep(rows).refused:
        return set()
    gone = set()
    for row in rows:  # one by one, to know which: those that were kept are known by name
        if (one := room.keep([row])).refused:
            gone.add(row["id"])
            why = "; ".join(str(p) for p in one.problems)
            _LOG.warning("the decision on %s is refused as a label: %s", row["id"], why)
    return gone


class Settler:
    """Settles every so many seconds, and when it is closed. One of a server's processes does so."""

    def __init__(self, room: Room, store: Store, *, actor: str = "server", every: float = 60.0) -> None:
        self._room, self._store, self._actor, self._every = room, store, actor, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="settling", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, when it has settled what there is."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            over = self._over.wait(self._every)
            with suppress(StoreError):  # what can't be written now stays to be settled
                settle(self._room, self._store, actor=self._actor)
            if over:
                return


def shown(found: Reviewed, reviewer: str) -> dict[str, Any]:
    """An item as JSON. While it is open, what others decided and said is not told: two who decide the same
    item decide by themselves."""
    item, open_ = found.item, found.state is State.OPEN
    said = [s for s in found.said if not open_ or s.reviewer == reviewer]
    return {
        **to_plain(item),
        "choices": list(item.choices),
        "asked": _moment(item.asked),
        "deadline": _moment(item.deadline),
        "state": found.state.value,
        "decision": found.decision,
        "settled": _moment(found.settled),
        "agreed": None if open_ else found.agreed,
        "decisions": sum(s.decision is not None for s in found.said),
        "said": [
            {
                **to_plain(s),
                "until": None if s.decision is not None else _moment(s.until),
                "at": _moment(s.at),
            }
            for s in said
        ],
        "remarks": [
            {**to_plain(r), "at": _moment(r.at)} for r in found.remarks if not open_ or r.reviewer == reviewer
        ],
    }


def _every(reviews: ReviewQueue, source: str) -> list[Reviewed]:
    """The items of a source, oldest first."""
    found: list[Reviewed] = []
    after = 0
    while page := reviews.items(source=source, after=after, limit=MOST):
        found += [item for _, item in page]
        after = page[-1][0]
    return found


def _read(
    request: Any, fields: Mapping[str, type | tuple[type, ...]], needed: Sequence[str] = ()
) -> Mapping[str, Any]:
    """A request's fields, every mistake collected. A null is a field that was not sent.

    Raises:
        DataError: it is no object, or has unknown, missing or wrongly typed fields.
    """
    if not isinstance(request, Mapping):
        raise DataError("the request has to be an object", fix=f"send {', '.join(fields)}")
    problems = []
    for name, value in request.items():
        if name not in fields:
            problems.append(
                Problem(f"unknown field {str(name)!r}", str(name), fix=did_you_mean(str(name), fields))
            )
        elif value is not None and not _is(value, fields[name]):
            problems.append(Problem(f"{name} has the wrong type: {type(value).__name__}", name))
        elif isinstance(value, str) and (len(value) > TEXT or not _sound(value)):
            problems.append(Problem(f"{name} is no sound text of at most {TEXT:,} characters", name))
    problems += [Problem(f"{n} is missing", n) for n in needed if request.get(n) is None]
    if problems:
        raise DataError.of(problems)
    return {n: v for n, v in request.items() if v is not None}


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, int) and abs(value) >= 1 << 62:
        return False
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _sound(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _lease(text: str) -> int:
    try:
        span = parse_duration(text)
    except ValueError as error:
        raise DataError(str(error), where="lease") from None
    if not timedelta(seconds=1) <= span <= timedelta(days=1):
        raise DataError("a lease is between 1 s and 1 day", where="lease", fix="such as 15 min")
    return span // _MICRO


def _name(reviewer: str) -> str:
    if not reviewer.strip():
        raise DataError("who reviews has no name", fix="use a token, or say who you are with --by")
    return reviewer.strip()


def _moment(moment: int) -> str | None:
    return iso(from_micros(moment)) if moment else None
