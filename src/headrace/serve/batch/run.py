"""A batch from its plan to its end: parts not yet done are scored, by one process or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headrace.core.clock import Clock, iso
from headrace.core.errors import DataError, UserError
from headrace.core.event import Draft
from headrace.core.ports import Store
from headrace.release.manifest import Manifest
from headrace.serve.batch.file import Progress
from headrace.serve.batch.part import Done, score_part
from headrace.serve.batch.plan import BatchPlan
from headrace.serve.batch.pool import Pool
from headrace.serve.batch.rows import THREADS, Scoring
from headrace.serve.batch.state import State, begin, keep, locked, sweep

ENDINGS = (".parquet", ".csv")


@dataclass(frozen=True)
class Batch:
    """What came of a batch. before: rows that an earlier start had scored; seconds: this one took; loaded:
    rows that are in a table."""

    id: str
    release: str
    output: str
    parts: int
    rows: int
    rejected: int
    before: int
    seconds: float
    digest: str
    loaded: int = 0

    @property
    def speed(self) -> float:
        """Rows a second, of those that were scored now."""
        return (self.rows + self.rejected - self.before) / self.seconds if self.seconds > 0 else 0.0


Load = Callable[[Path, str], int]
"""Puts a part's file into a table, once or again: the rows that are there; second: its part's name."""


def run_batch(
    store: Store,
    manifest: Manifest,
    digest: str,
    plan: BatchPlan,
    folder: Path,
    *,
    actor: str,
    clock: Clock,
    workers: int = 1,
    again: bool = False,
    loads: Sequence[tuple[str, Load]] = (),
    progress: Progress = lambda text, done, total: None,
) -> Batch:
    """Score every part of a plan into `folder`, each row once, however often this is started and killed: a
    part is a file that appears whole, and `_batch.json` says which are there. manifest, digest: the
    release's. loads: a table's (or log's) address, and what puts a part there.

    Several processes need a store that is a folder. When all is done there is an event `batch.finished`.

    Raises:
        UserError: the folder holds something else; another process works on it; more processes are asked for
            than can share the store.
        DataError: a file can't be read, or lacks a column. The parts that are done stay.
    """
    if plan.ending not in ENDINGS:
        raise DataError(f"parts ending in {plan.ending} can't be written", fix=f"{' or '.join(ENDINGS)}")
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        sweep(folder)
        state = begin(folder, plan, again=again)
        before = state.rows + state.rejected
        if not state.finished:
            state = _score(store, manifest, digest, state, folder, workers, progress)
        took = time.monotonic() - began
        loaded = 0
        for address, load in loads:
            state, loaded = _load(folder, state, address, load, progress)
        if not state.finished:
            state = replace(state, finished=iso(clock()))
            keep(folder, state)
        _tell(store, state, actor)
    return Batch(
        state.id,
        plan.release,
        str(folder),
        len(plan.parts),
        state.rows,
        state.rejected,
        before,
        took,
        state.digest,
        loaded,
    )


def _score(
    store: Store,
    manifest: Manifest,
    digest: str,
    state: State,
    folder: Path,
    workers: int,
    progress: Progress,
) -> State:
    plan = state.plan
    waiting = [p for p in plan.parts if str(p.number) not in state.done]
    shown = _Shown(state, progress)
    root = Path(plan.root)

    def took(done: Done) -> None:
        nonlocal state
        state = state.with_part(done)
        keep(folder, state)
        shown.took(done)

    if not waiting:
        return state
    if workers < 2 or len(waiting) == 1:
        scoring = Scoring(store, manifest, plan.release, explain=plan.explain)
        for part in waiting:
            told = shown.of(part.number)
            done = score_part(
                scoring, root, part, folder, plan.ending, keep=plan.keep, threads=THREADS, told=told
            )
            took(done)
        return state
    place = getattr(store, "root", None)
    if place is None:
        raise UserError("this store can't be shared by several processes", fix="leave --workers out")
    line: dict[str, Any] = {
        "store": str(Path(place).resolve()),
        "manifest": digest,
        "release": plan.release,
        "root": str(root),
        "folder": str(folder.resolve()),
        "ending": plan.ending,
        "explain": plan.explain,
        "keep": plan.keep,
    }
    Pool(line, workers).score(waiting, lambda number, rows: shown.of(number)(rows), took)
    return state


class _Shown:
    """Progress over all parts: rows done, and rows a second of this start."""

    def __init__(self, state: State, progress: Progress) -> None:
        self._progress = progress
        self._before = self._done = state.rows + state.rejected
        known = [p.groups.rows if p.groups else None for p in state.plan.parts]
        self._total = sum(k for k in known if k is not None) if None not in known else 0
        self._under: dict[int, int] = {}
        self._began = time.monotonic()

    def of(self, number: int) -> Callable[[int], None]:
        """Told how many rows of a part are done."""

        def told(rows: int) -> None:
            self._under[number] = rows
            self._show()

        return told

    def took(self, done: Done) -> None:
        """A part is in place."""
        self._under.pop(done.number, None)
        self._done += done.rows + done.rejected
        self._show()

    def _show(self) -> None:
        done = self._done + sum(self._under.values())
        rate = (done - self._before) / max(1e-9, time.monotonic() - self._began)
        self._progress(f"scoring, {rate:,.0f} rows/s", done, self._total)


def _load(folder: Path, state: State, address: str, load: Load, progress: Progress) -> tuple[State, int]:
    """Every part into a table, those that are there left out."""
    there = set(state.loaded.get(address, ()))
    rows = sum(state.done[str(n)].rows for n in there)
    for part in state.plan.parts:
        if part.number in there:
            continue
        rows += load(folder / f"{part.name}{state.plan.ending}", part.name)
        state = state.with_loaded(address, part.number)
        keep(folder, state)
        progress("loading", rows, state.rows)
    return state, rows


def _tell(store: Store, state: State, actor: str) -> None:
    """One event a batch, however often it is started."""
    payload = {
        "release": state.plan.release,
        "rows": state.rows,
        "rejected": state.rejected,
        "parts": len(state.plan.parts),
        "digest": state.digest,
    }
    told = [e.payload.get("digest") for e in store.read(kinds=("batch.finished",), subject=state.id)]
    if state.digest not in told:
        store.append([Draft("batch.finished", state.id, state.finished, actor, payload)])
