"""How a measure of labelled rows varies from window to window while nothing changes.

Windows are drawn from the reference rows in blocks of consecutive ones, as long as what belongs together (a
declared unit) or as the window, and compared with a reference that is drawn anew as well: its own error is in
what is found. A measure that is a function of sums over rows costs one product of matrices for all draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.tail import Tail, fit_tail, quantile, surprise
from headrace.metrics.record import Floats, Ints

DRAWS = 1000
ENOUGH_BLOCKS = 500
"""Rows that vary independently are taken together in about so many blocks: more would tell nothing."""
FEWEST_BLOCKS = 20
"""Fewer blocks than this say too little of how windows vary."""
_TAIL = 0.1
_BLOCKS_OF_A_SURE_WINDOW = 8

Evaluate = Callable[[Floats], Floats]
"""Weights of blocks [..., draws, blocks] -> the measure under each [draws], NaN where it is undefined."""
Prepare = Callable[[Ints, int], Evaluate]
"""Blocks of the reference rows, [n] codes from 0 on, and how many -> the measure of weighted blocks."""


@dataclass(frozen=True)
class Null:
    """How much worse than the reference windows of one size look by chance.

    reference: the measure of the reference rows. center, spread: of how much worse a window looks. tail: of
    the surprise. sign: 1 where larger is worse, -1 where smaller is.
    """

    reference: float
    center: float
    spread: float
    tail: Tail
    sign: float

    def p(self, value: float) -> float:
        """The chance of a window that looks at least as bad while nothing changes."""
        z = (self.sign * (value - self.reference) - self.center) / self.spread
        return self.tail.beyond(float(surprise(np.array([z]))[0]))

    def threshold(self, chance: float) -> float:
        """The value beyond which so many windows lie while nothing changes."""
        z = quantile(self.tail.threshold(chance))
        return self.reference + self.sign * (self.center + z * self.spread)


def together(units: Ints) -> int:
    """How many rows in a row belong together: the mean run of rows of one unit, 1 at least. units: [n]."""
    return max(1, round(len(units) / (1 + int((np.diff(units) != 0).sum()))))


def blocks_of(units: Ints, runs: Ints, window: int) -> Ints:
    """Blocks of consecutive reference rows, [n] codes from 0 on.

    A block is as long as the units' mean run of rows, but no longer than a window. Shorter ones are taken
    together as long as a window still has eight. units, runs: of the rows in their order in time [n]; a block
    lies within one run.
    """
    n = len(units)
    if not n:
        return np.zeros(0, np.int64)
    several = min(-(-n // ENOUGH_BLOCKS), window // _BLOCKS_OF_A_SURE_WINDOW)
    length = max(1, min(together(units), window), several)
    spots = np.arange(n)
    first = np.maximum.accumulate(np.where(np.diff(runs, prepend=runs[0] - 1) != 0, spots, 0))
    return np.asarray(np.cumsum((spots - first) % length == 0) - 1)


@dataclass
class Weights:
    """How often each block is in each window, and in each reference drawn anew: [2, draws, blocks]. The
    newest are kept, since all measures of a window ask for the same."""

    key: tuple[int, int, int] = (0, 0, 0)
    pair: Floats | None = None

    def of(self, take: int, count: int, seed: int) -> Floats:
        """Windows of `take` of `count` blocks."""
        if self.pair is None or self.key != (take, count, seed):
            rng = np.random.default_rng(seed)
            even = np.full(count, 1 / count)
            drawn = [rng.multinomial(size, even, DRAWS) for size in (take, count)]
            self.pair = np.stack(drawn).astype(np.float64)
            self.key = take, count, seed
        return self.pair


def null_of(
    prepare: Prepare,
    blocks: Ints,
    window: int,
    *,
    larger_is_worse: bool,
    seed: int,
    weights: Weights,
    apart: bool = False,
) -> Null | str:
    """The null distribution for windows of so many rows; or why there is none.

    blocks: of the reference rows, see `blocks_of`. weights: kept between measures. apart: the measure is how
    far a window is from the reference, and is given the weights of both, [2, draws, blocks].
    """
    count = int(blocks.max()) + 1 if len(blocks) else 0
    if count < FEWEST_BLOCKS:
        return f"the reference has {count} blocks of rows that vary independently; {FEWEST_BLOCKS} are needed"
    evaluate = prepare(blocks, count)
    each = len(blocks) / count
    take = max(1, round(window / each))
    sign = 1.0 if larger_is_worse else -1.0
    whole = np.ones((1, count))
    reference = float(evaluate(np.stack([whole, whole]) if apart else whole)[0])
    if not np.isfinite(reference):
        return "the measure is undefined on the reference rows"
    drawn = weights.of(take, count, seed)
    if apart:
        worse = sign * evaluate(drawn)
    else:
        against = evaluate(drawn[1])
        # A measure that chance makes larger, as a difference of groups, is larger still in a reference that
        # is drawn from the reference: of these draws only how far they scatter is taken.
        usual = float(np.mean(against[np.isfinite(against)])) if np.isfinite(against).any() else reference
        worse = sign * (evaluate(drawn[0]) - against + usual - reference)
    worse = worse[np.isfinite(worse)]
    if len(worse) < DRAWS / 2:
        return f"the measure is undefined in most windows of {window} rows"
    center, spread = float(worse.mean()), float(worse.std())
    if spread <= 0:
        return "the measure is the same in every window of the reference"
    surprised = surprise((worse - center) / spread)
    # Windows of few blocks are nearly the same few again and again: their tail is known less well.
    independent = min(1.0, max(take / _BLOCKS_OF_A_SURE_WINDOW, count / take / DRAWS))
    tail = fit_tail(surprised, share=_TAIL, gap=0, independent=independent)
    return Null(reference, center, spread, tail, sign)


def of_sums(columns: NDArray[np.float64], finish: Callable[[Floats], Floats]) -> Prepare:
    """A function of sums: columns [n, S] of the reference rows, finish: [..., S] -> [...]."""

    def prepare(blocks: Ints, count: int) -> Evaluate:
        sums = np.stack([np.bincount(blocks, c, minlength=count) for c in columns.T], axis=-1)
        return lambda weights: finish(weights @ sums)

    return prepare


@dataclass
class Nulls:
    """Null distributions of a release's measures, kept between windows.

    One is drawn for window sizes that are about the same, and its spread scaled to each: means of so many
    rows vary so against those of the reference.
    """

    units: Ints
    runs: Ints
    weights: Weights
    kept: dict[tuple[str, int], Null | str] = field(default_factory=dict)

    def of(
        self,
        name: str,
        prepare: Prepare,
        window: int,
        *,
        larger_is_worse: bool,
        seed: int,
        apart: bool = False,
    ) -> Null | str:
        """See `null_of`. name: the same measure of the same reference rows has the same."""
        size = _about(window)
        if (name, size) not in self.kept:
            blocks = blocks_of(self.units, self.runs, size)
            self.kept[name, size] = null_of(
                prepare,
                blocks,
                size,
                larger_is_worse=larger_is_worse,
                seed=seed,
                weights=self.weights,
                apart=apart,
            )
        found = self.kept[name, size]
        if isinstance(found, str):
            return found
        whole = 1 / len(self.units)
        return replace(found, spread=found.spread * sqrt((1 / window + whole) / (1 / size + whole)))


def _about(window: int) -> int:
    """A size that stands for those within a tenth of it.

    >>> _about(1000), _about(1049), _about(30)
    (956, 1051, 31)
    """
    if window < 1:
        return 1
    step = round(log(window) / log(1.1))
    return max(1, round(1.1**step))
