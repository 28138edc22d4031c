"""The chain of who may answer: the release that was drawn, the champion, then what the spec falls back to.

Bad input is never a reason to fall back: it is refused before a release is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

from headrace.core.answered import MODEL
from headrace.core.errors import DataError, HeadraceError, NoAnswer, Problem
from headrace.serve.bursts import PIECE, Bursts, Late, lent
from headrace.serve.desk.around import Answers
from headrace.serve.desk.breaker import Breaker
from headrace.serve.desk.counts import Counts
from headrace.serve.desk.inputs import Taken
from headrace.serve.desk.pool import Pool
from headrace.serve.live import Live, Scene, Served

FEW_ROWS = PIECE
"""Up to so many rows are read at once: handing them to a thread would take longer, and they wait no longer
than for a piece of a large request."""
EXPLAINED = 60.0
"""Seconds that an answer with its reasons may take: thousands of answers are behind it."""
_OWN_THREADS, _LARGE_THREADS, _WHY_THREADS = 4, 2, 1
_LATER, _LAST = 0.4, 0.1
"""Of the time that is left, what a release leaves to the one after it, and the last one to the fallback."""
_FAIR = 0.5
"""The part of a request's time that a release has to be left before it is its fault that it took longer."""

_LOG = logging.getLogger("headrace.serve")

Rows = Sequence[Mapping[str, Any]]
T = TypeVar("T")


@dataclass(eq=False)
class Given:
    """Answers to rows. served: the release whose plan and schema hold for them; release: that gave the
    answers (empty: none did); taken: the rows as they were read."""

    answers: Answers
    served: Served
    release: str
    taken: Taken


class Failed(Exception):
    """A release gave no answer. why: in a word or two."""

    def __init__(self, why: str, *problems: Problem) -> None:
        super().__init__(why)
        self.why, self.problems = why, problems


class Chain:
    """Asks releases one after the other. For one event loop."""

    def __init__(self, live: Live, counts: Counts) -> None:
        self._live, self._counts = live, counts
        self._breakers: dict[str, Breaker] = {}
        self._pools: dict[str, Pool] = {}
        self._large = Pool(_LARGE_THREADS, "large")
        self._why = Pool(_WHY_THREADS, "why")  # of their own: reasons take seconds, and batches wait for none
        self._bursts = Bursts()

    async def read(
        self, scene: Scene, release: str, rows: Rows, started: float, *, explain: int = 0
    ) -> Taken | Failed | None:
        """Rows as the release reads them, for `given`, or why it could not; None: it is not loaded.

        Raises:
            DataError: rows that don't fit.
        """
        served = scene.served.get(release)
        if served is None:
            return None
        try:
            return await self.taken(scene, served, rows, _deadline(scene, started, explain))
        except Failed as failed:
            return failed

    async def given(
        self,
        scene: Scene,
        release: str,
        rows: Rows,
        started: float,
        *,
        alone: bool = False,
        explain: int = 0,
        read: Taken | Failed | None = None,
    ) -> Given:
        """The answers of the release, or of what comes after it. alone: nothing may come after it. read: the
        rows as `read` gave them (None: they are read here).

        Raises:
            DataError: rows that don't fit.
            NoAnswer: nothing is left.
        """
        champion = scene.served[scene.champion]
        deadline = _deadline(scene, started, explain)
        chain = [release] if alone or release == scene.champion else [release, scene.champion]
        why: list[str] = []
        problems: list[Problem] = []
        for step, name in enumerate(chain):
            served = scene.served.get(name)
            if served is None:
                why.append("not loaded")
                problems.append(Problem(f"the release {name} is not loaded"))
                continue
            if scene.retired and name == scene.champion and not alone:
                why.append("retired")
                problems.append(Problem(f"the release {name} was taken out of service"))
                continue
            try:
                # Before the breaker is asked: what does not fit says nothing about the release.
                if step or read is None:
                    taken = await self.taken(scene, served, rows, deadline, instead=step > 0)
                elif isinstance(read, Failed):
                    raise read
                else:
                    taken = read
                left = deadline - perf_counter()
                until = deadline - left * (_LATER if step + 1 < len(chain) else _LAST)
                ruled = served.around.ruled(taken)
                hurried = left < _FAIR * (deadline - started)
                answers = ruled or await self.tried(served, taken, until, explain=explain, hurried=hurried)
            except DataError:
                if not step:
                    raise
                why.append("the row does not fit it")
                problems.append(Problem(f"the rows do not fit the release {name}, the next to ask"))
            except Failed as failed:
                why.append(failed.why)
                problems += failed.problems
            else:
                if step:
                    answers.by = [f"fallback: {_instead(b)} ({why[0]})" for b in answers.by]
                return Given(answers, served, name, taken)
        if not alone:
            found = await self._fallen(scene, champion, rows, deadline, why)
            if found is not None:
                return found
        self._counts.unanswered += len(rows)
        raise NoAnswer.of(list(dict.fromkeys(problems)))

    async def taken(
        self, scene: Scene, served: Served, rows: Rows, deadline: float, *, instead: bool = False
    ) -> Taken:
        """Rows as a release reads them. What another release of the scene knows is no mistake, nor is the
        lack of what the champion does not ask for. instead: it answers for another, and anything may lack.

        Raises:
            DataError: rows that don't fit.
            Failed: there was no time.
        """
        inputs = served.around.inputs
        known, forgiven = scene.known, inputs.required
        if not instead:
            forgiven = forgiven - scene.served[scene.champion].around.inputs.required
        if len(rows) <= FEW_ROWS:
            return inputs.take(rows, known, forgiven)
        try:
            return await _in(self._large, partial(inputs.take, rows, known, forgiven), deadline, shared=True)
        except TimeoutError:
            raise Failed("deadline", Problem("reading the rows took longer than the deadline")) from None

    async def tried(
        self, served: Served, taken: Taken, until: float, *, explain: int = 0, hurried: bool = False
    ) -> Answers:
        """A release's answers, if its circuit is closed. hurried: it has less time than is its due, and is
        not blamed for taking longer.

        Raises:
            DataError: contributions are wanted and the release can't give them.
            Failed: it did not answer, or is not asked.
        """
        name, started = served.release, perf_counter()
        breaker = self.breaker(name)
        if not breaker.asks(started):
            told = f"the release {name} failed again and again: it is not asked now"
            raise Failed("circuit open", Problem(told))
        try:
            answers = await self._worked(served, taken, until, explain)
        except DataError:
            breaker.left()
            raise
        except Late:  # others were before it: not its fault
            breaker.left()
            raise Failed("deadline", Problem(f"the release {name} was too busy to answer in time")) from None
        except TimeoutError:
            if hurried or until <= started:  # others had used the time up before it was asked: not its fault
                breaker.left()
                told = f"too little time was left for the release {name}"
                raise Failed("deadline", Problem(told)) from None
            self._failed(name, breaker)
            raise Failed("timeout", Problem(f"the release {name} did not answer in time")) from None
        except HeadraceError as error:
            self._failed(name, breaker)
            _LOG.warning("the release %s failed: %s", name, error)
            raise Failed("error", _broken(name)) from error
        except asyncio.CancelledError:
            breaker.left()
            raise
        except Exception as error:  # the serving fallback: whatever a release does, its callers get an answer
            self._failed(name, breaker)
            _LOG.exception("the release %s failed", name)
            raise Failed("error", _broken(name)) from error
        if perf_counter() - started > served.manifest.plan.deadline_us / 1e6 and not explain:
            self._failed(name, breaker)  # the answer is there, but too late, and nothing could stop it
        else:
            breaker.succeeded()
        return answers

    def breaker(self, release: str) -> Breaker:
        """The circuit breaker of a release."""
        found = self._breakers.get(release)
        if found is None:
            there = self._live.scene.served
            self._breakers = {n: b for n, b in self._breakers.items() if n in there}
            found = self._breakers[release] = Breaker()
        return found

    def close(self) -> None:
        """End the threads that are idle."""
        for pool in (self._large, self._why, *self._pools.values()):
            pool.close()

    async def _worked(self, served: Served, taken: Taken, until: float, explain: int) -> Answers:
        around = served.around
        few = len(taken.rows) <= FEW_ROWS and not explain
        if few and not around.blocks:
            begun = around.begin(taken)
        else:
            own, begin = around.blocks, partial(around.begin, taken)
            pool = self._pool(served) if own else self._why if explain else self._large
            begun = await _in(pool, begin, until, shared=not own)
        rest, rows = begun.rest, len(begun.rest.rows)
        decided: list[dict[str, Any]] = []
        if explain and rows:
            decide = partial(around.decide, rest.feeds, rows, explain=explain)
            decided = await _in(self._why, decide, until, shared=True)
        elif rows and self._bursts.at_once(rows) and perf_counter() <= until:
            decided = around.decide(lent(rest.feeds), rows)
        elif rows:
            decided = await self._bursts.decide(around, rest.feeds, rows, until=until)
        return around.end(begun, decided)

    async def _fallen(
        self, scene: Scene, champion: Served, rows: Rows, deadline: float, why: Sequence[str]
    ) -> Given | None:
        """What the champion's rules before the model say, or its spec falls back to, row by row; None where
        there is nothing for a row."""
        told, odd = list(dict.fromkeys(why)), ""
        around, taken = champion.around, Taken(rows, {})
        try:
            taken = await self.taken(scene, champion, rows, deadline, instead=True)
            around.ruled(taken)
        except DataError:
            odd = "; the row does not fit the champion"
        except Failed as failed:
            told = list(dict.fromkeys([*told, failed.why]))
        answers = Answers([], [], taken.feeds)
        for i in range(len(rows)):
            found = around.instead(taken, i)
            if found is None:
                return None
            answer, by = found
            answers.answers.append(answer)
            reasons = f"{', '.join(told)}{odd}"
            answers.by.append(f"{by} ({reasons})" if by.startswith("fallback") else by)
        return Given(answers, champion, "", taken)

    def _failed(self, release: str, breaker: Breaker) -> None:
        breaker.failed(perf_counter())
        self._counts.failed(release)

    def _pool(self, served: Served) -> Pool:
        """The threads of a release whose owner's code may hang: it holds up nobody but itself."""
        found = self._pools.get(served.release)
        if found is None:
            there = self._live.scene.served
            for name in [n for n in self._pools if n not in there]:
                self._pools.pop(name).close()
            found = self._pools[served.release] = Pool(_OWN_THREADS, served.release)
        return found


def _broken(release: str) -> Problem:
    """What callers are told of an error: what its owner's code says may hold what was looked up."""
    return Problem(f"the release {release} failed", fix="the server's log says why")


def _deadline(scene: Scene, started: float, explain: int) -> float:
    """When answers are to be there."""
    plan = scene.served[scene.champion].manifest.plan
    return started + (EXPLAINED if explain else plan.deadline_us / 1e6)


def _instead(by: str) -> str:
    return "champion" if by == MODEL else f"champion, {by}"


async def _in(pool: Pool, work: Callable[[], T], until: float, *, shared: bool) -> T:
    """Have work done by a thread, and wait for it no longer than `until`. shared: the threads are not the
    release's own, so that it is not its fault where others keep them busy.

    By futures alone: whoever runs this may be no task, which `asyncio.timeout` would ask for.

    Raises:
        TimeoutError: it was not done in time; what has not begun by then is left.
        Late: the same, where threads are shared and it had not begun.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    begun = pool.submit(work)
    begun.add_done_callback(partial(_hand_over, loop, done))
    timer = loop.call_later(max(until - perf_counter(), 0.0), _give_up, done, begun, shared)
    try:
        return await done
    finally:
        timer.cancel()


def _hand_over(loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], begun: Future[T]) -> None:
    with suppress(RuntimeError):  # the loop has closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, done, begun)


def _settle(done: asyncio.Future[T], begun: Future[T]) -> None:
    if done.done() or begun.cancelled():
        return
    error = begun.exception()
    if error is None:
        done.set_result(begun.result())
    else:
        done.set_exception(error)


def _give_up(done: asyncio.Future[T], begun: Future[T], shared: bool) -> None:
    waited = begun.cancel()
    if not done.done():
        done.set_exception(Late() if waited and shared else TimeoutError())
