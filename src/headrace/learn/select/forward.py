"""Forward selection by cross-validated gain, with noise as the measure of luck.

One proposal at a time: the one that best tells the errors of the model so far (`screen`) is put to the model
itself, over the same folds. It is kept when

- its statistic is above what shuffled proposals reach (the bar of `screen`, at the stated level),
- the loss of rows out of fold falls, with the lower end of the 90% interval over units above zero,
- and it falls by more than with any shuffled copy of the proposal in its place.

What gains nothing on the first half of the folds, or so little beside its error that the others would have
to make up for it, is not fitted on the others (stopping for futility: Lan, Simon & Halperin, Sequential
Analysis 1, 1982). Then the model is fitted anew, and the others are looked at against its errors. The loss is
squared error, or log loss. Only training rows take part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headrace.core.spec.lock import Gain
from headrace.core.task import Kind, Task
from headrace.learn.candidates.boosting import BOOSTING
from headrace.learn.links import sigmoid, softmax
from headrace.learn.select.blocks import Block, Field, firsts
from headrace.learn.select.screen import Screen, field_seed

STEPS = (0, 8, 20, 50, 120)
"""Numbers of trees among which cross-validation chooses; with none the model is a constant."""

PARAMS = {"learning_rate": 0.15, "leaves": 15, "columns": 1.0, "rows": 1.0, "bins": 63}
"""Nothing is drawn: two fits differ by what one of them sees more, and not by luck. Coarse bins take a third
of the time."""
LEARNER = "boosting, up to 120 trees of 15 leaves"
COPIES = 2
"""Shuffled copies that a proposal is held against."""

HOPE = 0.3
"""The share of its interval's reach that a gain on the first half of the folds has to pass: half a standard
error. Of less, fewer than a tenth would come to a lower end above zero, were the other folds like these."""

FAILS = 8
"""So many proposals in a row that the model has no use for end the search."""


@dataclass(frozen=True)
class Verdict:
    """What became of a proposal. `statistic` and `bar` are those of the screen."""

    name: str
    kept: bool
    why: str
    gain: Gain | None = None
    statistic: float = float("nan")
    bar: float = float("nan")


@dataclass(frozen=True)
class Selection:
    """Every proposal's verdict, the kept ones in the order in which they were taken, and why it ended."""

    verdicts: tuple[Verdict, ...]
    ended: str
    loss: float
    """The mean loss of the base."""
    final: float
    """The mean loss with what was kept."""

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.verdicts if v.kept)


@dataclass(frozen=True)
class _Model:
    """Scores out of fold of the model so far.

    errors: what it leaves untold. early: the same of the model half fitted, when it has told half of what it
    will: its end holds little of what one good column would have told at once, because many trees have
    pieced that together, and noise with it.
    """

    blocks: tuple[Block, ...]
    trees: int
    losses: NDArray[np.float64]
    errors: NDArray[np.float64]
    early: NDArray[np.float64]

    @property
    def loss(self) -> float:
        return float(np.nanmean(self.losses))


@dataclass(frozen=True)
class Rules:
    """How much is kept: see `core.spec.features.Auto`. `probes` off leaves out every hold against noise: for
    tests that show what it is for."""

    level: float = 0.05
    most: int = 30
    probes: bool = True


def select(
    base: Sequence[Block],
    proposals: Sequence[Block],
    rows: Field,
    rules: Rules | None = None,
    *,
    left: Callable[[], float] = lambda: float("inf"),
    progress: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> Selection:
    """Choose among proposals that come beside the base's columns.

    left: how many seconds there are still; what was not tried by then is not kept.
    """
    rules = rules or Rules()
    names = [b.name for b in proposals]
    by_name = {b.name: b for b in proposals}
    verdicts: dict[str, Verdict] = {}
    model = _fit(tuple(base), rows)
    first = model.loss
    screen = Screen(proposals, rows)
    screen.against(model.errors, model.early)
    bar = screen.bar(names, rules.level) if names and rules.probes else -np.inf
    fails, ended = 0, "every proposal above the bar was tried"
    statistics = screen.statistics(names)
    while True:
        waiting = [n for n in names if n not in verdicts and max(statistics[n]) > bar]
        kept = sum(v.kept for v in verdicts.values())
        progress("choosing features", len(verdicts), len(verdicts) + len(waiting))
        if not waiting:
            break
        if kept >= rules.most:
            ended = f"{rules.most} proposals were kept"
            break
        if left() <= 0:
            ended = "the budget was used up"
            break
        if fails >= FAILS:
            ended = f"{FAILS} proposals in a row did not help the model"
            break
        name = max(waiting, key=lambda n: _rank(statistics[n], bar))
        found, tried = _try(model, by_name[name], rows, rules)
        verdicts[name] = replace(found, statistic=max(statistics[name]), bar=bar)
        if found.kept:
            model, fails = tried, 0
            screen.against(model.errors, model.early)
            statistics |= screen.statistics([n for n in names if n not in verdicts])
        else:
            fails += 1
    for name in names:
        if name not in verdicts:
            low = max(statistics[name]) <= bar
            why = "tells the model's errors no better than shuffled copies" if low else f"not tried: {ended}"
            verdicts[name] = Verdict(name, False, why, None, max(statistics[name]), bar)
    order = sorted(verdicts.values(), key=lambda v: not v.kept)
    return Selection(tuple(order), ended, first, model.loss)


def _rank(statistics: tuple[float, ...], bar: float) -> tuple[bool, float]:
    """First what tells the errors of the fitted model, then what it might have told at once."""
    late, early = statistics
    return (True, late) if late > bar else (False, early)


def _try(model: _Model, block: Block, rows: Field, rules: Rules) -> tuple[Verdict, _Model]:
    """Put a proposal to the model."""
    hope = HOPE if rules.probes else 0.0
    gain, tried = _beside(model, block, rows, hope)
    if gain.gain <= 0:
        return Verdict(block.name, False, "the model is no better with it", gain), model
    if tried is None or (gain.low <= 0 and rules.probes):
        return Verdict(block.name, False, "the model is no better with it beyond noise", gain), model
    if not rules.probes:
        return Verdict(block.name, True, "", gain), tried
    rng = np.random.default_rng([field_seed(rows), 2, *block.name.encode()])
    best = max(_beside(model, block.shuffled(rows, rng), rows)[0].gain for _ in range(COPIES))
    gain = gain.model_copy(update={"probe": _short(best)})
    if gain.gain <= best:
        return Verdict(block.name, False, "a shuffled copy of it gains as much", gain), model
    return Verdict(block.name, True, "", gain), tried


def _beside(model: _Model, block: Block, rows: Field, hope: float = 0.0) -> tuple[Gain, _Model | None]:
    """What the model gains by a block, and the model with it. Where the first half of the folds gains
    nothing, or no more than `hope` of the interval's reach, the others are not fitted: its gain is theirs,
    and there is no model."""
    blocks = (*model.blocks, block)
    steps = _steps(model.trees)
    raw = _unscored(rows, steps)
    half = (len(rows.folds) + 1) // 2
    _score(raw, blocks, rows, steps, range(half))
    tried = _model(raw, blocks, rows, steps)
    gain = _gain(model, tried, rows)
    if half == len(rows.folds):
        return gain, tried
    if gain.gain <= 0 or (hope and gain.gain <= hope * (gain.gain - gain.low)):
        return gain, None
    _score(raw, blocks, rows, steps, range(half, len(rows.folds)))
    tried = _model(raw, blocks, rows, steps)
    return _gain(model, tried, rows), tried


def _fit(blocks: tuple[Block, ...], rows: Field) -> _Model:
    """Fit in every fold and score the other rows; of the numbers of trees the best."""
    raw = _unscored(rows, STEPS)
    _score(raw, blocks, rows, STEPS, range(len(rows.folds)))
    return _model(raw, blocks, rows, STEPS)


def _steps(most: int) -> tuple[int, ...]:
    """Numbers of trees up to the one that served the model before, and two more."""
    return STEPS[: next(i for i, s in enumerate(STEPS) if s >= most) + 3]


def _unscored(rows: Field, steps: tuple[int, ...]) -> NDArray[np.float64]:
    """Room for raw scores, [steps, rows, outputs]."""
    width = max(1, len(rows.task.classes) if rows.task.kind is Kind.MULTICLASS else 1)
    return np.full((len(steps), len(rows.y), width), np.nan)


def _score(
    raw: NDArray[np.float64], blocks: tuple[Block, ...], rows: Field, steps: tuple[int, ...], numbers: range
) -> None:
    """Fill in the scores of some folds' other rows."""
    for number in numbers:
        raw[:, rows.folds[number][1]] = _fold(blocks, rows, number, steps)


def _model(
    raw: NDArray[np.float64], blocks: tuple[Block, ...], rows: Field, steps: tuple[int, ...]
) -> _Model:
    """The model of these scores, NaN where a row has none (yet)."""
    scored = ~np.isnan(raw[0, :, 0])
    losses = np.full((len(steps), len(rows.y)), np.nan)
    for i, r in enumerate(raw):
        losses[i, scored] = _losses(r[scored], rows.y[scored], rows.task)
    means = np.nanmean(losses, axis=1)
    best = int(np.argmin(means))
    half = int(np.argmax(means <= (means[0] + means[best]) / 2))
    late, early = (_errors(raw[i], rows.y, rows.task) for i in (best, half))
    return _Model(blocks, steps[best], losses[best], late, early)


def _fold(blocks: tuple[Block, ...], rows: Field, number: int, steps: tuple[int, ...]) -> NDArray[np.float64]:
    """Raw scores of a fold's other rows, [steps, rows, outputs]."""
    fit, test = rows.folds[number]
    parts = [b.of(number, (fit, test)) for b in blocks]
    features = tuple(f for b in blocks for f in b.features)
    constant = _constant(rows.y[fit], rows.task)
    found = np.tile(constant, (len(steps), len(test), 1))
    y = rows.y[fit]
    if not features or steps[-1] == 0 or y.min() == y.max():
        return found
    X = np.concatenate([p[0] for p in parts], axis=1)
    defaults = BOOSTING.defaults(rows.task, len(fit), len(features))
    params = {**defaults, **PARAMS, "trees": steps[-1], "min_leaf": min(20, max(5, len(fit) // 40))}
    fitted = BOOSTING.fit(
        X, y, features=features, task=rows.task, params=params, seed=field_seed(rows), threads=rows.threads
    )
    other = np.ascontiguousarray(np.concatenate([p[1] for p in parts], axis=1))
    booster = fitted.booster  # type: ignore[attr-defined]  # LightGBM's own: scores after some of its trees
    for i, step in enumerate(steps):
        if step:
            scores = booster.predict(other, raw_score=True, num_iteration=step, num_threads=rows.threads)
            found[i] = np.asarray(scores, np.float64).reshape(len(test), -1)
    return found


def _constant(y: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
    """The raw scores of a model without a tree: the mean, or the log-odds of the shares, smoothed by one row
    a class."""
    if task.kind is Kind.REGRESSION:
        return np.array([y.mean()])
    counts = np.bincount(y.astype(np.int64), minlength=len(task.classes)) + 1.0
    if task.kind is Kind.BINARY:
        return np.array([np.log(counts[1] / counts[0])])
    return np.asarray(np.log(counts / counts.sum()))


def _losses(raw: NDArray[np.float64], y: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
    """Squared error or log loss by row, all of them scored."""
    if task.kind is Kind.REGRESSION:
        return np.asarray((y - raw[:, 0]) ** 2)
    if task.kind is Kind.BINARY:
        sign = np.where(y == 1, -1.0, 1.0)
        return np.asarray(np.logaddexp(0.0, sign * raw[:, 0]))
    top = raw.max(axis=1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(raw - top).sum(axis=1))
    return np.asarray(total - raw[np.arange(len(y)), y.astype(np.int64)])


def _errors(raw: NDArray[np.float64], y: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
    """What the model did not tell: y less its mean, for each class in classification; [rows, outputs]."""
    if task.kind is Kind.REGRESSION:
        return np.asarray(y[:, None] - raw)
    if task.kind is Kind.BINARY:
        return np.asarray(y[:, None] - sigmoid(raw))
    there = ~np.isnan(raw[:, 0])
    found = np.full(raw.shape, np.nan)
    hot = y[there, None] == np.arange(raw.shape[1])
    found[there] = hot - softmax(raw[there])
    return found


def _gain(before: _Model, after: _Model, rows: Field) -> Gain:
    """How much less the loss is, as a share of what it was; 90% over units (Student's t)."""
    from scipy.stats import t

    differences = before.losses - after.losses
    kept = ~np.isnan(differences)
    units = firsts(rows.units[kept])[1]
    sums = np.bincount(units, weights=differences[kept])
    n, rows_of_unit = len(sums), len(units) / len(sums)
    mean = float(sums.mean()) / rows_of_unit
    error = float(sums.std(ddof=1)) / np.sqrt(n) / rows_of_unit if n > 1 else np.inf
    reach = float(t.ppf(0.95, n - 1)) * error if n > 1 else np.inf
    scale = before.loss or 1.0
    return Gain(
        gain=_short(mean / scale), low=_short((mean - reach) / scale), high=_short((mean + reach) / scale)
    )


def _short(value: float) -> float:
    """Five digits: a lock is for people."""
    return float(f"{value:.5g}")
