"""What each raw column added to one answer, asked of the packaged graph: Shapley values by sampling.

A column's contribution is what putting the row's own value in place of a reference row's changes in the
answer, averaged over reference rows and over the orders in which columns are put in (Shapley 1953; Štrumbelj
& Kononenko 2014, Knowledge and Information Systems 41; the marginal form of Lundberg & Lee 2017: what is put
in doesn't depend on the columns left out). Needs numpy alone, and knows no model: only its answers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import NULL_TEXT, Type
from headrace.graph.encode import CHUNK, Feeds

Floats = NDArray[np.float64]
Answer = Callable[[Feeds, int], Floats]
"""Raw columns and their number of rows -> float64 [rows, answers]: one value, or one of each class."""

EVALUATIONS = 4_096
"""About so many answers of the graph explain one row."""
MOST_REFERENCES, FEWEST_REFERENCES = 64, 8
_PAIRS = 2  # of orders for each reference row: what they differ by is the error of sampling


@dataclass(frozen=True, eq=False)
class Contributions:
    """For each row what every column added, in the order of `columns`.

    values, errors: float64 [rows, columns]; a row's values add up to its `answer` less its `base`, whatever
    was sampled. errors: standard errors of sampling orders, given the reference rows; 0 where all subsets
    were asked. base, answer: [rows]; the mean answer of the reference rows, and the row's own. of: int64
    [rows], which of the answers it is.
    """

    columns: tuple[str, ...]
    values: Floats
    errors: Floats
    base: Floats
    answer: Floats
    of: NDArray[np.int64]


def references(columns: int, evaluations: int = EVALUATIONS) -> int:
    """How many reference rows a graph of so many columns is explained with. Few columns ask every subset;
    many have two pairs of orders a reference row: fewer rows, so that the cost stays bounded."""
    fitting = evaluations // max(1, 2 * _PAIRS * (columns - 1))
    return max(FEWEST_REFERENCES, min(MOST_REFERENCES, fitting))


class Explainer:
    """Explains rows against reference rows. Holds those and their answers; safe for use by several threads.

    Where asking every subset of columns costs at most `evaluations` answers, contributions are exact for
    these reference rows. Else each reference row gets two random orders of the columns, each with its
    reverse (the antithetic pairs of Mitchell et al. 2022, Journal of Machine Learning Research 23), from a
    seed that is made of the row's values: the same row always gets the same contributions.
    """

    def __init__(
        self, answer: Answer, types: Mapping[str, Type], reference: Feeds, *, evaluations: int = EVALUATIONS
    ) -> None:
        self.columns = tuple(types)
        self._answer, self._types = answer, dict(types)
        self._rows = len(next(iter(reference.values()))) if types else 1
        if not self._rows:
            raise ValueError("explaining needs a reference row")
        self._reference = {n: reference[n] for n in types}
        self._of_reference = answer(self._reference, self._rows)
        count = len(types)
        self.exact = count < 20 and 2**count * self._rows <= evaluations
        if not self.exact:  # walked from several times
            self._rows *= _PAIRS
            self._reference = {n: np.tile(v, _PAIRS) for n, v in self._reference.items()}
            self._of_reference = np.tile(self._of_reference, (_PAIRS, 1))
        self._subsets = _subsets(count) if self.exact else None
        per_row = (2**count if self.exact else 2 * max(count - 1, 0)) * self._rows
        self.evaluations = per_row + 1

    @property
    def base(self) -> Floats:
        """The mean answer of the reference rows, [answers]."""
        mean: Floats = self._of_reference.mean(axis=0)
        return mean

    def explain(self, feeds: Feeds, rows: int) -> Contributions:
        """Contributions to each row's answer: of several, to the highest (the first of equal ones).

        Raises:
            DataError, HeadraceError: as the graph's runner.
        """
        own = self._answer(feeds, rows)
        of = np.argmax(own, axis=1) if rows else np.zeros(0, np.int64)
        values = np.zeros((rows, len(self.columns)))
        errors = np.zeros_like(values)
        for some in self._groups(rows):
            masks = [self._masks(feeds, i) for i in some]
            told = self._ask(feeds, some, masks)
            for at, i in enumerate(some):
                k = int(of[i])
                if self._subsets is not None:
                    values[i] = _exact(self._subsets, told[at][..., k].mean(axis=1))
                else:
                    ends = self._of_reference[:, k], float(own[i, k])
                    values[i], errors[i] = _sampled(self._orders(feeds, i), told[at][..., k], *ends)
        return Contributions(self.columns, values, errors, self.base[of], own[np.arange(rows), of], of)

    def _groups(self, rows: int) -> Iterator[range]:
        """Rows that are asked for in one run."""
        step = max(1, CHUNK // self.evaluations)
        for start in range(0, rows if self.columns else 0, step):
            yield range(start, min(rows, start + step))

    def _orders(self, feeds: Feeds, row: int) -> NDArray[np.int64]:
        """An order of the columns for each walk, [walks, columns]."""
        told = "\x1e".join(_told(self._types[n], feeds[n][row]) for n in self.columns)
        seed = int.from_bytes(hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        plain = np.tile(np.arange(len(self.columns)), (self._rows, 1))
        return np.random.default_rng(seed).permuted(plain, axis=1)

    def _masks(self, feeds: Feeds, row: int) -> NDArray[np.bool_]:
        """Which columns are the row's own: bool [asked, walks, columns]."""
        if self._subsets is not None:
            return np.repeat(self._subsets[:, None, :], self._rows, axis=1)
        place = np.argsort(self._orders(feeds, row), axis=1)
        count = len(self.columns)
        steps = np.arange(1, count)[:, None, None]
        return np.concatenate([place < steps, place >= count - steps])

    def _ask(self, feeds: Feeds, rows: range, masks: list[NDArray[np.bool_]]) -> list[Floats]:
        """Answers to every mask of these rows, each [asked, walks, answers], in one run."""
        mixed: dict[str, NDArray[np.generic]] = {}
        sizes = [m.shape[0] for m in masks]
        for j, name in enumerate(self.columns):
            reference = self._reference[name]
            parts = [
                # (a slice, since a text alone would lose the U+0000 that stands for null)
                np.where(m[..., j], feeds[name][i : i + 1], reference).reshape(-1)
                for m, i in zip(masks, rows, strict=True)
            ]
            mixed[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        total = sum(sizes) * self._rows
        if not total:
            return [np.zeros((0, self._rows, self._of_reference.shape[1])) for _ in masks]
        told = self._answer(mixed, total).reshape(sum(sizes), self._rows, -1)
        return np.split(told, np.cumsum(sizes)[:-1])


def _told(kind: Type, value: object) -> str:
    """A value as text that is the same wherever the value is: in a file, a request, a table."""
    if kind is Type.TEXT:
        return str(value)
    if kind is Type.TIME:
        return str(int(value))  # type: ignore[call-overload]  # a numpy whole number
    number = float(value)  # type: ignore[arg-type]  # a numpy double
    return "" if math.isnan(number) else repr(number + 0.0)


def _subsets(count: int) -> NDArray[np.bool_]:
    """Every subset of the columns, bool [2^columns, columns]; a subset's number has its columns as bits."""
    numbers = np.arange(2**count)
    return (numbers[:, None] >> np.arange(count) & 1).astype(np.bool_)


def _exact(subsets: NDArray[np.bool_], worth: Floats) -> Floats:
    """Shapley's formula over every subset: worth float64 [2^columns] -> [columns]."""
    count = subsets.shape[1]
    sizes = subsets.sum(axis=1)
    found = np.zeros(count)
    weight = np.array(
        [math.factorial(s) * math.factorial(count - s - 1) / math.factorial(count) for s in range(count)]
    )
    numbers = np.arange(len(subsets))
    for j in range(count):
        without = numbers[~subsets[:, j]]
        found[j] = np.sum(weight[sizes[without]] * (worth[without | 1 << j] - worth[without]))
    return found


def _sampled(
    orders: NDArray[np.int64], told: Floats, of_reference: Floats, own: float
) -> tuple[Floats, Floats]:
    """Contributions and their errors from walks along each order and back.

    told: [2 × (columns - 1), walks], the answers on the way, forward then backward. The walks go through the
    reference rows twice; a row's two differ by sampling alone, and no two rows share an order.
    """
    rows, count = orders.shape
    ends = np.full((1, rows), own)
    each = np.zeros((rows, count))
    for way, order in ((told[: count - 1], orders), (told[count - 1 :], orders[:, ::-1])):
        walk = np.concatenate([of_reference[None, :], way, ends])
        steps = np.diff(walk, axis=0).T
        each[np.arange(rows)[:, None], order] += steps / 2
    apart = each[: rows // _PAIRS] - each[rows // _PAIRS :]
    error: Floats = np.sqrt((apart**2).sum(axis=0)) / rows
    return each.mean(axis=0), error


def is_null(kind: Type, value: object) -> bool:
    """Whether a value of a raw column is null."""
    if kind is Type.TEXT:
        return value == NULL_TEXT
    return _told(kind, value) in ("", str(-(2**63)))
