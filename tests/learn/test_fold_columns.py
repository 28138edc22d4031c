"""Columns that every fold has its own of reach every fit: here, in a process of its own, in the curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.learn.compare import entries_of
from headrace.learn.curve import refit
from headrace.learn.fold_columns import FoldColumns, rows_of_fold
from headrace.learn.folds import FoldKind, FoldPlan, folds
from headrace.learn.records import Job, Member, ModelChoice, Part, Setting
from headrace.learn.run import learn
from headrace.learn.search import workers
from headrace.metrics.catalog import METRICS

TASK = Task(Kind.REGRESSION)
FEATURES = (
    Feature("a", FeatureKind.NUMBER),
    Feature("b", FeatureKind.NUMBER),
    Feature("c", FeatureKind.NUMBER),
)
SETTING = Setting(FEATURES, TASK, 0, 1)


def part(n: int = 120, seed: int = 0) -> Part:
    """The columns a and c hold the target itself: whoever reads them is perfect."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    X = np.stack([y, rng.normal(size=n), -y], axis=1).astype(np.float32)
    return Part(X, y, np.arange(n))


def columns(drawn: list[tuple[np.ndarray, np.ndarray]]) -> FoldColumns:
    """The same columns made anew: noise."""
    rng = np.random.default_rng(9)
    own = [rng.normal(size=(len(rows), 2)).astype(np.float32) for rows, _ in drawn]
    tested = [rng.normal(size=(len(rows), 2)).astype(np.float32) for _, rows in drawn]
    return FoldColumns(np.array([0, 2]), own, tested)


def test_a_fold_has_its_own_columns_and_the_matrix_stays():
    train = part()
    drawn = folds(FoldPlan(FoldKind.RANDOM, 3), 120, seed=1)
    made, before = columns(drawn), train.X.copy()
    fit, tested = rows_of_fold(train.X, drawn[1], 1, made)
    np.testing.assert_array_equal(fit[:, [0, 2]], made.own[1])
    np.testing.assert_array_equal(tested[:, [0, 2]], made.tested[1])
    np.testing.assert_array_equal(fit[:, 1], before[drawn[1][0], 1])
    np.testing.assert_array_equal(train.X, before)


def test_every_score_out_of_fold_is_by_the_folds_own_columns():
    train = part()
    drawn = folds(FoldPlan(FoldKind.RANDOM, 3), 120, seed=1)

    def rmse(refits: FoldColumns | None) -> float:
        learned = learn(
            train,
            [ModelChoice("linear", "linear")],
            features=FEATURES,
            task=TASK,
            metric=METRICS["rmse"],
            folds=drawn,
            refits=refits,
        )
        mean = {line.model: line.mean for line in learned.leaderboard}["linear"]
        assert mean is not None
        return mean

    assert rmse(None) < 0.05
    assert rmse(columns(drawn)) > 0.8


def test_a_process_of_its_own_fits_the_same(tmp_path: Path):
    train = part()
    drawn = folds(FoldPlan(FoldKind.RANDOM, 3), 120, seed=1)
    made = columns(drawn)
    job = Job(train, train, drawn, SETTING, METRICS["rmse"], METRICS["rmse"], made)
    (entry,) = entries_of(job, [ModelChoice("linear", "linear")])
    with workers.workers(job, 1) as here:
        wanted = [here.submit(entry, entry.params, i).result().scores for i in range(3)]
    workers._write(SETTING, workers.Table(train.X, train.y, drawn, None, made), tmp_path)
    for i in range(3):
        told = workers._elsewhere(str(tmp_path), entry.name, entry.use, dict(entry.params), i)
        np.testing.assert_array_equal(told.scores, wanted[i])
    assert np.corrcoef(np.concatenate(wanted), np.concatenate([train.y[t] for _, t in drawn]))[0, 1] < 0.5


def test_shares_of_the_learning_curve_have_columns_of_their_own_rows():
    train, scored, asked = part(), part(60, seed=5), []

    def renew(rows: np.ndarray) -> FoldColumns:
        asked.append(len(rows))
        rng = np.random.default_rng(len(rows))
        return FoldColumns(
            np.array([0, 2]),
            [rng.normal(size=(len(rows), 2)).astype(np.float32)],
            [rng.normal(size=(60, 2)).astype(np.float32)],
        )

    made = refit(
        train, scored, Member("linear", "linear", {}), setting=SETTING, metric=METRICS["rmse"], renew=renew
    )
    error = {f.share: float(np.sqrt(np.mean((f.scored.score - f.scored.y) ** 2))) for f in made.fits}
    assert asked == [30] * 3 + [60] * 3
    assert error[0.5] > 0.8
    assert error[1.0] < 0.05  # all rows have the matrix's own
