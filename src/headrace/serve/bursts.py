"""What the graph says of many requests, fairly: those that came together are answered by one call of it, and
large ones are cut, so that a request of one row waits here for no more than a piece of them. (Bodies are read
and answers written elsewhere.)

In the loop's own thread: a call takes microseconds, and on one core threads would only take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.graph.rows import Row

FEW = 8
"""Rows of a request up to which it joins others."""
TOGETHER = 64
"""Rows that are answered by one call for several requests."""
PIECE = 128
"""Rows of a large request that are answered at once."""

_ENOUGH = 16
"""Small requests that are not made to wait for others."""
_LONELY = 32
"""Turns with one request each, after which requests are taken to come one at a time."""

Answers = list[dict[str, Any]]
Feeds = Mapping[str, NDArray[Any]]


class Decider(Protocol):
    """A release: what its graph says of rows, and what is made of that."""

    def decide(self, feeds: Feeds, rows: int) -> Answers:
        """An answer a row; of each row alone."""
        ...


class Late(TimeoutError):
    """A request whose deadline passed before its turn."""


@dataclass(slots=True, eq=False)
class _Asked:
    decider: Decider
    feeds: Feeds
    rows: int
    until: float
    future: asyncio.Future[Answers]


@dataclass(slots=True, eq=False)
class _Large:
    asked: _Asked
    done: int
    answers: Answers


class Bursts:
    """Takes turns. For one loop.

    A turn answers all small requests that are there, and a piece of one large request. Small ones of a
    release share a call of its graph; if that fails they are answered one by one, so that nobody suffers for
    another's row.

    While requests come one at a time they are answered at once: a turn costs two rounds of the loop.
    """

    def __init__(self) -> None:
        self._single = True
        self._marked = False
        self._lonely = 0
        self._seen = 0
        self._small: deque[_Asked] = deque()
        self._large: deque[_Large] = deque()
        self._turning = False

    def at_once(self, rows: int) -> bool:
        """Whether a request of so many rows has its turn now: the caller asks the decider itself. Else
        `decide` has its turn come."""
        if not self._single or rows > PIECE or self._turning:
            return False
        if self._marked:  # the second in one round of the loop
            self._single, self._lonely = False, 0
            return False
        self._marked = True
        asyncio.get_running_loop().call_soon(self._unmark)
        return True

    def decide(
        self, decider: Decider, feeds: Feeds, rows: int, *, until: float = float("inf")
    ) -> asyncio.Future[Answers]:
        """`Decider.decide`, at this request's turn. until: `perf_counter` at which nobody waits any more.

        The future raises:
            Late: the turn came after `until`.
            Exception: what the decider raised.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(decider, feeds, rows, until, loop.create_future())
        if self.at_once(rows):
            if _waited_for(asked):
                _alone(asked)
            return asked.future
        if rows <= FEW:
            self._small.append(asked)
        else:
            self._large.append(_Large(asked, 0, []))
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn)
        return asked.future

    def _unmark(self) -> None:
        self._marked = False

    def _turn(self) -> None:
        if self._seen < len(self._small) < _ENOUGH and not self._large:
            # More have come since the last round of the loop: still more may, and share the call.
            self._seen = len(self._small)
            asyncio.get_running_loop().call_soon(self._turn)
            return
        self._seen = 0
        small, self._small = self._small, deque()
        self._lonely = self._lonely + 1 if len(small) == 1 and not self._large else 0
        if self._lonely >= _LONELY:
            self._single = True
        while small:
            first = small.popleft()
            group, rows = [first], first.rows
            while small and small[0].decider is first.decider and rows + small[0].rows <= TOGETHER:
                group.append(small.popleft())
                rows += group[-1].rows
            _answer([a for a in group if _waited_for(a)])
        if self._large:
            self._piece()
        if self._small or self._large:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._turning = False

    def _piece(self) -> None:
        """The next rows of the large request whose turn it is; then it is the next one's."""
        large = self._large.popleft()
        asked = large.asked
        if not _waited_for(asked):
            return
        upto = min(asked.rows, large.done + PIECE)
        whole = large.done == 0 and upto == asked.rows
        feeds = asked.feeds if whole else {n: v[large.done : upto] for n, v in asked.feeds.items()}
        try:
            large.answers += asked.decider.decide(feeds, upto - large.done)
        except Exception as error:  # noqa: BLE001  handed to whoever waits
            asked.future.set_exception(error)
            return
        large.done = upto
        if upto == asked.rows:
            asked.future.set_result(large.answers)
        else:
            self._large.append(large)


def _waited_for(asked: _Asked) -> bool:
    """Whether somebody still waits; who waited too long is told."""
    if asked.future.done():
        return False
    if perf_counter() > asked.until:
        asked.future.set_exception(Late("the deadline passed before the answer was begun"))
        return False
    return True


def _answer(group: Sequence[_Asked]) -> None:
    if not group:
        return
    if len(group) == 1:
        _alone(group[0])
        return
    try:
        answers = group[0].decider.decide(_joined(group), sum(a.rows for a in group))
    except Exception:  # noqa: BLE001  whose row it was shows when each is asked alone
        for asked in group:
            _alone(asked)
        return
    at = 0
    for asked in group:
        asked.future.set_result(answers[at : at + asked.rows])
        at += asked.rows


def _alone(asked: _Asked) -> None:
    try:
        asked.future.set_result(asked.decider.decide(lent(asked.feeds), asked.rows))
    except Exception as error:  # noqa: BLE001  handed to whoever waits
        asked.future.set_exception(error)


def lent(feeds: Feeds) -> Feeds:
    """Feeds for a decider that keeps nothing of them, which is asked before the next feeds are lent."""
    return feeds.lent() if isinstance(feeds, Row) else feeds


def _joined(group: Sequence[_Asked]) -> Feeds:
    parts = [a.feeds for a in group]
    rows = [p for p in parts if isinstance(p, Row)]
    if len(rows) == len(parts):
        return Row.joined(rows)
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
