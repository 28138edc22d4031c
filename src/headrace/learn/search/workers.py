"""Fits of single folds, here or in processes side by side.

A process of its own reads the matrices from files that all of them map into memory, so nothing large is
copied or pickled; it is started afresh (`spawn`), because LightGBM's threads do not survive a fork.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from headrace.core.codec import from_json, to_json
from headrace.core.errors import HeadraceError
from headrace.learn.candidate import Matrix, Vector
from headrace.learn.compare import fit_entry, score_entry
from headrace.learn.fold_columns import FoldColumns, rows_of_fold
from headrace.learn.folds import Fold
from headrace.learn.records import Entry, Ints, Job, Setting
from headrace.learn.registry import load_candidate


@dataclass(frozen=True)
class Fit:
    """What a fit of one fold gave: scores of the fold's tested rows, and the seconds that it took."""

    scores: Vector
    seconds: float


class Workers(Protocol):
    """Fits folds. `lanes`: how many at once."""

    @property
    def lanes(self) -> int: ...

    def submit(self, entry: Entry, params: Mapping[str, Any], fold: int) -> Future[Fit]:
        """Begin to fit `entry` with `params` on a fold (0 of a holdout); the scores, or what it raised."""
        ...


@dataclass(frozen=True)
class Table:
    """The rows to fit on and to score: `folds` of X and y, or all of them and then `held`. refits: the
    columns that every fold has its own of. times: the rows' moments (see `Part`)."""

    X: Matrix
    y: Vector
    folds: Sequence[Fold] | None
    held: Matrix | None
    refits: FoldColumns | None = None
    times: Ints | None = None


@contextmanager
def workers(job: Job, processes: int) -> Iterator[Workers]:
    """One after the other in this process, or in `processes` of their own, which share the threads."""
    train, held = job.train, None if job.folds else job.scored.X
    table = Table(train.X, train.y, job.folds, held, job.refits, train.times)
    if processes == 1:
        yield _Here(job.setting, table)
        return
    setting = replace(job.setting, threads=max(1, job.setting.threads // processes))
    with tempfile.TemporaryDirectory(prefix="headrace-search-") as name:
        _write(setting, table, Path(name))
        executor: Executor = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
        try:
            yield _Pool(executor, name, processes)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Here:
    setting: Setting
    table: Table
    lanes: int = 1

    def submit(self, entry: Entry, params: Mapping[str, Any], fold: int) -> Future[Fit]:
        done: Future[Fit] = Future()
        try:
            done.set_result(fit_fold(self.setting, self.table, replace(entry, params=params), fold))
        except HeadraceError as error:
            done.set_exception(error)
        return done


@dataclass(frozen=True)
class _Pool:
    executor: Executor
    folder: str
    lanes: int

    def submit(self, entry: Entry, params: Mapping[str, Any], fold: int) -> Future[Fit]:
        return self.executor.submit(_elsewhere, self.folder, entry.name, entry.use, dict(params), fold)


def fit_fold(setting: Setting, table: Table, entry: Entry, fold: int) -> Fit:
    """Fit on a fold's rows and score its tested ones; or on all of them, scoring the held ones."""
    started = time.perf_counter()
    if table.held is not None:
        fitted = fit_entry(setting, entry, table.X, table.y, table.times)
        scores = score_entry(entry, fitted, table.held)
    else:
        rows, tested = (table.folds or ())[fold]
        X, others = rows_of_fold(table.X, (rows, tested), fold, table.refits)
        times = None if table.times is None else table.times[rows]
        scores = score_entry(entry, fit_entry(setting, entry, X, table.y[rows], times), others)
    return Fit(scores, time.perf_counter() - started)


def _elsewhere(folder: str, name: str, use: str, params: dict[str, Any], fold: int) -> Fit:
    """In a process of its own."""
    setting, table = _read(folder)
    return fit_fold(setting, table, Entry(name, use, load_candidate(use), params), fold)


def _write(setting: Setting, table: Table, folder: Path) -> None:
    arrays: dict[str, Any] = {"X": table.X, "y": table.y}
    if table.held is not None:
        arrays["held"] = table.held
    if table.times is not None:
        arrays["times"] = table.times
    for number, (rows, tested) in enumerate(table.folds or ()):
        arrays[f"rows{number}"], arrays[f"tested{number}"] = rows, tested
    if table.refits is not None:
        arrays["columns"] = table.refits.columns
        for number, (own, others) in enumerate(zip(table.refits.own, table.refits.tested, strict=True)):
            arrays[f"own{number}"], arrays[f"others{number}"] = own, others
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "setting.json").write_bytes(to_json(setting))


@functools.lru_cache(maxsize=1)
def _read(folder: str) -> tuple[Setting, Table]:
    """The setting and the rows of a folder, matrices mapped into memory; read once a process."""
    place = Path(folder)

    def load(name: str) -> Any:
        return np.load(place / f"{name}.npy", mmap_mode="r")

    count = len(list(place.glob("rows*.npy")))
    folds = [(load(f"rows{i}"), load(f"tested{i}")) for i in range(count)] or None
    held = None if folds else load("held")
    refits = None
    if (place / "columns.npy").exists():
        parts = [(load(f"own{i}"), load(f"others{i}")) for i in range(count)]
        refits = FoldColumns(
            np.array(load("columns")), [own for own, _ in parts], [others for _, others in parts]
        )
    times = np.array(load("times")) if (place / "times.npy").exists() else None
    setting = from_json((place / "setting.json").read_bytes(), Setting)
    return setting, Table(load("X"), np.array(load("y")), folds, held, refits, times)
