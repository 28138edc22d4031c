"""Finished trials on disk, so that a search that was killed goes on where it was.

One line a trial, and its scores beside it. Only whole lines count: a process that died while writing leaves
half a line, which is dropped. Nothing is locked; a trial that was under way is simply not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from headrace.core.codec import from_json, to_json
from headrace.core.digest import digest
from headrace.learn.candidate import Vector
from headrace.learn.search.record import State, Trial


@dataclass(frozen=True)
class Entered:
    """A line of the journal. early: the values that pruning goes by. seconds: of fitting and scoring."""

    trial: Trial
    early: tuple[float | None, ...]
    seconds: float


class Journal:
    """The trials of one candidate under `folder`, or in memory alone where that is None. Live; one writer.

    Scores of complete trials are float64 [rows] or [rows, classes], kept on disk where there is one: fifty
    trials of a million rows don't fit into memory side by side.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder = None if folder is None else folder / digest(name)[:16]
        self._scores: dict[int, Vector] = {}
        self._kept: set[int] = set()
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> Iterator[Entered]:
        """Every trial that was finished, in the order in which they were."""
        if self._folder is None or not self._file.is_file():
            return
        whole = self._file.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        self._file.write_bytes(whole)  # the next line must not be glued to half of one
        for line in whole.splitlines():
            try:
                entered = from_json(line, Entered)
            except msgspec.MsgspecError:
                continue  # written by another version, or damaged: that trial is made again
            if entered.trial.state is State.COMPLETE and not self._path(entered.trial.number).is_file():
                continue
            self._kept.add(entered.trial.number)
            yield entered

    def add(self, entered: Entered, scores: Vector | None) -> None:
        """Keep a finished trial; scores for a complete one, written before its line."""
        number = entered.trial.number
        if scores is not None:
            if self._folder is None:
                self._scores[number] = scores
            else:
                path = self._path(number)
                fresh = path.with_suffix(".tmp")
                with fresh.open("wb") as out:
                    np.save(out, scores)
                fresh.replace(path)
        if self._folder is not None:
            with self._file.open("ab") as out:
                out.write(to_json(entered) + b"\n")

    def scores(self, number: int) -> Vector:
        """The scores of a complete trial."""
        if self._folder is None or number in self._scores:
            return self._scores[number]
        loaded: Vector = np.load(self._path(number), mmap_mode="r")
        return loaded

    def remember(self, number: int, scores: Vector) -> None:
        """Scores that are at hand anyway (of trial 0): in memory alone."""
        self._scores[number] = scores

    @property
    def _file(self) -> Path:
        assert self._folder is not None  # noqa: S101  # callers have looked
        return self._folder / "trials.jsonl"

    def _path(self, number: int) -> Path:
        assert self._folder is not None  # noqa: S101  # callers have looked
        return self._folder / f"{number}.npy"


def clear(folder: Path | None) -> None:
    """Remove what searches under `folder` kept: their result is durable elsewhere."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
