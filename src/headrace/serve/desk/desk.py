"""Answering by route: who draws an arm gets its release's answer, or what comes after it. People are told,
the log has it, and shadows follow."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from time import perf_counter
from typing import Any

import msgspec

from headrace.core.answered import Answered
from headrace.core.errors import DataError, Problem
from headrace.core.ports import Log
from headrace.core.routes import DEFAULT, Role, pick
from headrace.serve.desk.chain import Chain, Failed, Given
from headrace.serve.desk.counts import Counts
from headrace.serve.desk.entries import SLICE, Names, entries_of, shown, unit_of
from headrace.serve.desk.inputs import Taken
from headrace.serve.desk.people import People
from headrace.serve.desk.shadow import Pair, Shadows
from headrace.serve.live import Live, Scene, require

ASKED = "asked"
"""The arm of an answer whose release the caller named."""


Rows = Sequence[Mapping[str, Any]]
Groups = Mapping[tuple[str, str], Sequence[int]]
"""Where the rows are that a release answers for an arm."""

_ROW = re.compile(r"rows\[(\d+)\]")


class Asked(msgspec.Struct, frozen=True):
    """What a caller wants beside the rows. release: a certain one (operators); started: `perf_counter` when
    the request came; explain: how many contributions are told."""

    started: float
    route: str = DEFAULT
    release: str = ""
    explain: int = 0


class Desk:
    """Answers rows by the routes of the moment. For one event loop.

    counts: what it has done; chain: whom it asks, with their circuit breakers.
    """

    def __init__(
        self,
        live: Live,
        log: Log | None = None,
        people: People | None = None,
        *,
        seen: Callable[[Sequence[Answered]], None] | None = None,
    ) -> None:
        """seen: told of the answers that are returned, when they are."""
        self.live = live
        self.counts = Counts()
        self.chain = Chain(live, self.counts)
        self._log = log
        self._people = people
        self._seen = seen
        self._names = Names()
        self._shadows = Shadows(self.chain, self.counts, log, self._names)

    async def answer(self, rows: Rows, asked: Asked) -> list[dict[str, Any]]:
        """One answer a row, in their order; kept in the log before they are returned, if it is durable.

        Raises:
            DataError: rows that don't fit.
            NotFound: the release that is asked for is not loaded.
            NoAnswer: no release could answer, and there is no fallback.
            StoreError: the log takes nothing.
        """
        scene = self.live.scene
        groups = self._drawn(scene, rows, asked)
        answers: list[dict[str, Any]] = [{}] * len(rows)
        entries: list[Answered] = []
        shaded: list[Pair] = []
        for (arm, spots, mine), given in await self._given(scene, groups, rows, asked):
            made: list[Answered] = []
            for part in self._entries(asked, arm, given):
                if made:
                    await asyncio.sleep(0)  # large requests are worked at in slices: others have their turn
                made += part
            if self._people is not None and given.served.manifest.review is not None:
                if self._log is not None:  # before people are asked to look at what nobody will have got
                    self._log.append((), _nobody)
                made = await self._looked_at(self._people, given, made)
            for at in range(0, len(made), SLICE):
                if at:
                    await asyncio.sleep(0)
                span = slice(at, at + SLICE)
                for i, answer in zip(
                    spots[span], shown(made[span], given.answers.answers[span]), strict=True
                ):
                    answers[i] = answer
            entries += made
            if arm != ASKED and scene.routes[asked.route].arms:
                shaded += zip(mine, made, strict=True)
        if self._log is not None and entries:
            await kept(self._log, entries)
        if self._seen is not None and entries:
            self._seen(entries)
        if shaded:
            self._shadows.follow(scene, scene.routes[asked.route], shaded)
        return answers

    def close(self) -> None:
        """End the threads that are idle."""
        self.chain.close()

    def _drawn(self, scene: Scene, rows: Rows, asked: Asked) -> Groups:
        """Rows by the release and arm that are to answer them."""
        if not rows:
            return {}
        if asked.release:
            require(scene, asked.release)
            return {(asked.release, ASKED): range(len(rows))}
        route = scene.routes[asked.route]
        champion = scene.champion, Role.CHAMPION.value
        if not route.arms:
            return {champion: range(len(rows))}
        unit = scene.served[scene.champion].manifest.plan.unit
        groups: dict[tuple[str, str], list[int]] = {}
        for i, row in enumerate(rows):
            arm = pick(route, (unit_of(row, unit) if unit else "") or self._names.make(0, 1)[0])
            key = champion if arm is None else (arm.release, arm.role.value)
            groups.setdefault(key, []).append(i)
        return groups

    async def _given(
        self, scene: Scene, groups: Groups, rows: Rows, asked: Asked
    ) -> list[tuple[tuple[str, Sequence[int], Rows], Given]]:
        """The answers of each group, beside its arm, its rows and where they are among all. Nobody is asked
        before all rows were read: those that don't fit are told together, whichever arm they drew.

        Raises:
            DataError: rows that don't fit.
            NoAnswer: no release could answer, and there is no fallback.
        """
        started, explain, chain = asked.started, asked.explain, self.chain
        if len(groups) == 1:
            ((release, arm), spots), *_ = groups.items()
            given = await chain.given(scene, release, rows, started, alone=arm == ASKED, explain=explain)
            return [((arm, spots, rows), given)]
        parts = [(release, arm, spots, [rows[i] for i in spots]) for (release, arm), spots in groups.items()]
        read: list[Taken | Failed | None] = []
        problems: list[tuple[int, Problem]] = []
        for release, _, spots, mine in parts:
            try:
                read.append(await chain.read(scene, release, mine, started, explain=explain))
            except DataError as error:
                problems += _among(error.problems, spots)
        if problems:
            raise DataError.of([p for _, p in sorted(problems, key=itemgetter(0))])
        return [
            (
                (arm, spots, mine),
                await chain.given(scene, release, mine, started, explain=explain, read=there),
            )
            for (release, arm, spots, mine), there in zip(parts, read, strict=True)
        ]

    def _entries(self, asked: Asked, arm: str, given: Given) -> Iterator[list[Answered]]:
        """The answers for the log, in slices."""
        took = int((perf_counter() - asked.started) * 1e6)
        return entries_of(
            given.served,
            given.taken,
            given.answers,
            names=self._names,
            route=asked.route,
            arm=arm,
            release=given.release,
            took_us=took,
        )

    async def _looked_at(self, people: People, given: Given, entries: list[Answered]) -> list[Answered]:
        """The same, with those marked that a person will look at; where nothing is to stand until then, their
        predictions are left out."""
        answers = given.answers
        looked = await people.look(
            given.served,
            [e.id for e in entries],
            [e.inputs for e in entries],
            [e.answer for e in entries],
            answers.by,
            answers.feeds,
        )
        if not looked:
            return entries
        marked = list(entries)
        for i, entry in enumerate(entries):
            if entry.id in looked:
                outcome, answer = looked[entry.id], entry.answer
                if outcome.withheld:
                    answers.answers[i]["prediction"] = None
                    answer = {**answer, "prediction": None}
                flags = (*entry.flags, outcome.flag) if outcome.flag else entry.flags
                marked[i] = msgspec.structs.replace(entry, review=outcome.review, answer=answer, flags=flags)
        return marked


def _among(problems: Sequence[Problem], spots: Sequence[int]) -> Iterator[tuple[int, Problem]]:
    """Problems of some rows of a request as those of the whole, beside the row's number there. Those of one
    row alone name no row."""
    for problem in problems:
        inside = _ROW.match(problem.where) if len(spots) > 1 else None
        row = spots[int(inside[1]) if inside else 0]
        below = problem.where[inside.end() :] if inside else problem.where and f".{problem.where}"
        yield row, replace(problem, where=f"rows[{row}]{below}")


async def kept(log: Log, entries: Sequence[Answered]) -> None:
    """Wait until the log has the entries as safe as its mode says."""
    told = _Told()
    log.append(entries, told)
    if not told.heard:
        told.future = told.loop.create_future()
        await told.future
    elif told.error is not None:
        raise told.error


def _nobody(_: Exception | None) -> None:
    """Nobody waits."""


class _Told:
    """What the log calls, from whichever thread. Waking a loop from another costs more than a row's
    answer, and so does a future where nothing is to be waited for."""

    __slots__ = ("error", "future", "heard", "loop", "thread")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.future: asyncio.Future[None] | None = None
        self.heard = False
        self.error: Exception | None = None

    def __call__(self, error: Exception | None) -> None:
        if threading.get_ident() == self.thread:
            self._hear(error)
        else:
            self.loop.call_soon_threadsafe(self._hear, error)

    def _hear(self, error: Exception | None) -> None:
        self.heard, self.error = True, error
        if self.future is None or self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)
