"""Learning that goes on: what a fit has learned of its rows is of use to every fit that begins with them.

A mark is what was learned, and of which rows. It is a shortcut and no input: going on from it gives the same
bits as learning from the start, so that what is made depends on the rows alone, not on who learned before.
Folds that walk forward in time go on from each other, and a run goes on from the marks of earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import to_plain
from headrace.core.digest import digest
from headrace.core.task import Feature, Task
from headrace.learn.candidate import Continues, Fitted, Matrix, Vector
from headrace.learn.encode import category_columns, code_indices, code_names

_BLOCK = 65_536


@dataclass(frozen=True)
class Mark:
    """What was learned of `rows` rows. of: the digest of all that it depends on but the rows (see `Memory`);
    prefix: that of the rows. learned: as `Continues.carry_on` tells it."""

    of: str
    rows: int
    prefix: str
    learned: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """The marks of a run, by what they are of and their rows. An artifact of the stage learn."""

    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Continued:
    """How the fit on the most rows was learned: how many of its `rows` an earlier run had learned `before`,
    and why none, where it was none."""

    rows: int
    before: int
    why_none: str = ""


class Memory:
    """The marks that fits leave, and go on from. Live; of one run.

    versions: of the code and the libraries that learn, for each candidate whose marks are kept, by its name
    in the registry. known: marks of earlier runs.
    """

    def __init__(self, versions: Mapping[str, str], known: Sequence[Mark] = ()) -> None:
        self.versions = versions
        self._known = {(m.of, m.prefix): m for m in known}
        self._before = {key: m.rows for key, m in self._known.items()}
        self._made: dict[tuple[str, str], Mark] = {}
        self.continued: dict[str, Continued] = {}

    def checkpoint(self) -> Checkpoint:
        """The marks that this run's fits made: the same whether or not any was known."""
        return Checkpoint(tuple(sorted(self._made.values(), key=lambda m: (m.of, m.rows, m.prefix))))

    def fit(
        self,
        candidate: Continues,
        X: Matrix,
        y: Vector,
        *,
        line: str,
        use: str,
        features: tuple[Feature, ...],
        task: Task,
        params: Mapping[str, Any],
    ) -> Fitted:
        """Fit, from the mark on that knows the most of these rows. line: its name on the leaderboard; use: as
        the registry has it, one of `versions`."""
        columns = [[f.name, f.kind.value] for f in features]
        of = digest([self.versions[use], use, dict(params), to_plain(task), columns])
        mine = {key: mark for key, mark in self._known.items() if key[0] == of}
        lengths = sorted({m.rows for m in mine.values() if m.rows <= len(y)} | {len(y)})
        prefixes = list(_prefixes(features, X, y, lengths))
        met = [(of, p) for p in prefixes if (of, p) in mine]
        start = met[-1] if met else None
        fitted, learned = candidate.carry_on(
            X,
            y,
            features=features,
            task=task,
            params=params,
            learned=None if start is None else mine[start].learned,
        )
        before = 0 if start is None else self._before[start]
        if _finite(learned):
            mark = Mark(of, len(y), prefixes[-1], learned)
            key = (of, mark.prefix)
            self._known[key] = self._made[key] = mark
            self._before.setdefault(key, before)
        self._tell(line, len(y), before)
        return fitted

    def _tell(self, name: str, rows: int, before: int) -> None:
        if name in self.continued and self.continued[name].rows > rows:
            return
        why = ""
        if not before:
            earlier = any(key not in self._made for key in self._known)
            why = "no earlier run has learned row by row"
            if earlier:
                why = "no earlier run has learned of these first rows, with this model and this code"
        self.continued[name] = Continued(rows, before, why)


def in_order(X: Matrix, y: Vector, times: NDArray[np.int64] | None) -> tuple[Matrix, Vector]:
    """Rows in the order of their moments; as they are, where there are none or they are in order."""
    if times is None or not np.any(times[1:] < times[:-1]):
        return X, y
    order = np.argsort(times, kind="stable")
    return X[order], y[order]


def _prefixes(features: tuple[Feature, ...], X: Matrix, y: Vector, lengths: Sequence[int]) -> Iterator[str]:
    """The digest of the first rows, for every one of these numbers of rows (ascending). Categories count by
    their names: their codes may differ from one training set to the next."""
    categories = category_columns(features)
    numbers = [i for i in range(len(features)) if i not in categories]
    names = {i: _hashes(features[i]) for i in categories}
    running, at = sha256(), 0
    for length in lengths:
        for start in range(at, length, _BLOCK):
            part = slice(start, min(start + _BLOCK, length))
            parts = [np.ascontiguousarray(X[part][:, numbers], "<f4").view(np.uint8)]
            parts += [names[i][code_indices(X[part, i], len(names[i]))].view(np.uint8) for i in categories]
            parts.append(np.ascontiguousarray(y[part, None], "<f8").view(np.uint8))
            running.update(np.concatenate(parts, axis=1).tobytes())
        at = length
        yield running.hexdigest()


def _hashes(feature: Feature) -> NDArray[np.uint64]:
    """A number for each code of a category that follows from its name: [codes, 1]."""
    found = [
        int.from_bytes(blake2b(n.encode(), digest_size=8).digest(), "little") for n in code_names(feature)
    ]
    return np.array(found, "<u8")[:, None]


def _finite(told: Any) -> bool:
    """Whether every number is finite: JSON has no others."""
    if isinstance(told, Mapping):
        return all(_finite(v) for v in told.values())
    if isinstance(told, list | tuple):
        return all(_finite(v) for v in told)
    return not isinstance(told, float) or isfinite(told)
