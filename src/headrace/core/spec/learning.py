"""How candidates learn: models, cross-validation, search, ensembles, calibration, limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from headrace.core.spec.scalars import Duration, Level, Model, Size, shape_of


class ModelSpec(Model):
    """A candidate in its long form."""

    use: str
    """A candidate's name, or a scikit-learn estimator as `module:Class`."""
    name: str | None = None
    """Its name on the leaderboard (default: `use`)."""
    params: dict[str, bool | int | float | str | None] = {}
    """Parameters that differ from the candidate's defaults."""


class CrossValidation(Model):
    """How candidates are compared on the training rows."""

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Number of folds; they match the split (stratified, by group, or walking forward in time)."""
    holdout: bool = False
    """Fit once on train and compare on validation: for data too large to fit several times."""


class Tune(Model):
    """The search for better parameters. It stops at the first budget that is used up."""

    method: Literal["grid", "random", "bayesian"] = "bayesian"
    """Every combination of a grid, at random, or TPE (tree-structured Parzen estimator)."""
    budget: Duration | None = None
    """Seconds for the whole search, shared over the shortlist."""
    trials: Annotated[int, Field(ge=1)] | None = None
    """Trials for the whole search, shared over the shortlist."""
    shortlist: Annotated[int, Field(ge=1, le=20)] = 3
    """How many of the best candidates by cross-validation are tuned."""
    choose: Literal["best", "one_standard_error"] = "best"
    """The best mean, or the simplest candidate within one standard error of it (Breiman et al., 1984)."""
    prune: bool = True
    """Give up a trial whose first folds are worse than the median's."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that search side by side."""


class Uncertainty(Model):
    """How sure a prediction is, by conformal prediction."""

    level: Level = 0.9
    """Share of new rows whose true value the interval (regression) or the set of classes is to hold."""
    abstain: bool = False
    """Classification: answer `abstain` where the set holds several classes or none."""


class Limits(Model):
    """Budgets of the machine and of the release."""

    latency: Duration = "20 ms"
    """The most that one row may take through the packaged graph (95th percentile, this machine)."""
    size: Size = "500 MB"
    """The most that the packaged graph may weigh."""
    memory: Size = "4 GB"
    """The most that reading, joining and checking tables may hold in memory; the rest goes to disk."""
    threads: Annotated[int, Field(ge=1)] = 2
    """Threads used for reading, learning and scoring."""


TextOrModel = Annotated[
    Annotated[str, Tag("plain")] | Annotated[ModelSpec, Tag("mapping")], Discriminator(shape_of)
]
