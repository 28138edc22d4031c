"""What a search is asked for, and what it did: every trial, for people and for reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Method = Literal["grid", "random", "bayesian"]


@dataclass(frozen=True)
class SearchPlan:
    """How to search. It stops at the first budget that is used up; with neither, a grid is tried whole.

    seconds, trials: for the whole search, shared over the `shortlist` best candidates. choose: which line
    becomes the model. prune: give up trials that are worse than the median beyond noise.
    """

    method: Method = "bayesian"
    seconds: float | None = None
    trials: int | None = None
    shortlist: int = 3
    choose: Literal["best", "one_standard_error"] = "best"
    prune: bool = True
    processes: int = 1

    def __post_init__(self) -> None:
        if self.seconds is None and self.trials is None and self.method != "grid":
            raise ValueError(f"a {self.method} search needs a budget in seconds, in trials, or both")


class State(StrEnum):
    """How a trial ended. `stopped`: the time was used up in its middle."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Trial:
    """One set of parameters on the folds. Trial 0 is the candidate as it stood in the comparison.

    params: those that were searched. folds: the metric on each fold that was measured (None where it is
    undefined there; of a trial that was given up, by thresholds of the fold itself). mean: of a complete
    trial.
    """

    number: int
    params: Mapping[str, Any]
    folds: tuple[float | None, ...]
    mean: float | None
    state: State
    error: str = ""


@dataclass(frozen=True)
class CandidateSearch:
    """The trials of one candidate.

    line: its line on the leaderboard, empty where no trial was better than the defaults. space: what was
    varied, in words. best: the number of the best trial. best_mean: its mean over the folds, which flatters
    it: it was chosen by these very folds. honest_mean: the mean where each fold's trial was chosen by the
    other folds. defaults_mean: of trial 0. stopped: why the search ended.
    """

    model: str
    line: str
    space: Mapping[str, str]
    note: str
    trials: tuple[Trial, ...]
    best: int
    best_mean: float | None
    honest_mean: float | None
    defaults_mean: float | None
    stopped: str


@dataclass(frozen=True)
class SearchRecord:
    """A whole search: artifact role `search`.

    clock: whether the trials made depend on the clock or on how processes took turns, so that another run
    may find something else.
    """

    method: str
    metric: str
    higher_is_better: bool
    seconds: float | None
    trials: int | None
    processes: int
    clock: bool
    candidates: tuple[CandidateSearch, ...]
