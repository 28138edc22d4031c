"""What to try next. The proposals of a number of finished trials are the same whether or not the process
was killed in between: every draw has a seed of its own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from headrace.core.digest import digest
from headrace.learn.candidate import Choice, Range, Space
from headrace.learn.needs import need
from headrace.learn.search.record import Method, State
from headrace.learn.search.space import grid

STARTUP = 10
"""So many trials are drawn at random before TPE has something to go by."""
_TIRED = 50


class Proposer(Protocol):
    """Gives parameters of a space, and is told what became of them. Not safe for several threads."""

    note: str

    def ask(self, number: int) -> dict[str, Any] | None:
        """Parameters for trial `number`, None where nothing new is left."""
        ...

    def tell(self, params: Mapping[str, Any], goodness: float, state: State, folds: int) -> None:
        """What a trial reached on its first `folds` folds (more is better), whether it was asked for here or
        in an earlier life."""
        ...


def proposer(method: Method, space: Space, *, most: int, seed: int, name: str) -> Proposer:
    """The proposer of a method; `most` bounds a grid, `name` keeps candidates' draws apart."""
    if method == "grid":
        return _Grid(space, most)
    return _Sampled(method, space, f"{seed}:{name}")


class _Grid:
    """Every combination, in order. Live."""

    def __init__(self, space: Space, most: int) -> None:
        self._points, self.note = grid(space, most)
        self._seen: set[str] = set()

    def ask(self, number: int) -> dict[str, Any] | None:
        """The first combination that was neither asked for nor told of."""
        for point in self._points:
            if digest(point) not in self._seen:
                self._seen.add(digest(point))
                return point
        return None

    def tell(self, params: Mapping[str, Any], goodness: float, state: State, folds: int) -> None:
        """Remember that it was tried."""
        self._seen.add(digest(dict(params)))


class _Sampled:
    """Optuna's samplers: at random, or by TPE (Bergstra et al. 2011; multivariate, Falkner et al. 2018).

    Trials live in Optuna's memory alone: what is kept on disk is the search's own journal, which a process
    that is killed can't leave locked or with trials that seem to be running for ever. Live.
    """

    def __init__(self, method: Method, space: Space, seed: str) -> None:
        self._optuna = need("optuna")
        self._method, self._seed = method, seed
        self._distributions = {n: _distribution(self._optuna, part) for n, part in space.items()}
        with _quiet(self._optuna):
            self._study = self._optuna.create_study(direction="maximize", sampler=self._sampler(0))
        self._waiting: dict[str, Any] = {}
        self._seen: set[str] = set()
        self.note = ""

    def _sampler(self, number: int) -> Any:
        seed = int(digest([self._seed, number])[:8], 16)
        samplers = self._optuna.samplers
        if self._method == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True)

    def ask(self, number: int) -> dict[str, Any] | None:
        """The next draw that was not tried before; None after fifty draws that all were."""
        if not self._distributions:
            return None
        for attempt in range(_TIRED):
            # A sampler of its own for every draw: its state needs no keeping.
            self._study.sampler = self._sampler(number * _TIRED + attempt)
            with _quiet(self._optuna):
                trial = self._study.ask(self._distributions)
            name = digest(dict(trial.params))
            if name not in self._seen:
                self._seen.add(name)
                self._waiting[name] = trial
                return dict(trial.params)
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return None

    def tell(self, params: Mapping[str, Any], goodness: float, state: State, folds: int) -> None:
        """Finish the trial that was asked for, or add one of an earlier life."""
        name, states = digest(dict(params)), self._optuna.trial.TrialState
        self._seen.add(name)
        trial = self._waiting.pop(name, None)
        with _quiet(self._optuna):
            if trial is None:
                self._study.enqueue_trial(dict(params))
                trial = self._study.ask(self._distributions)
            if not math.isfinite(goodness) or state in (State.FAILED, State.STOPPED):
                self._study.tell(trial, state=states.FAIL)
            elif state is State.PRUNED:
                trial.report(goodness, step=folds)
                self._study.tell(trial, state=states.PRUNED)
            else:
                self._study.tell(trial, goodness)


def _distribution(optuna: Any, part: Range | Choice) -> Any:
    kinds = optuna.distributions
    if isinstance(part, Choice):
        return kinds.CategoricalDistribution(part.options)
    if part.integer:
        return kinds.IntDistribution(int(part.low), int(part.high), log=part.log)
    return kinds.FloatDistribution(part.low, part.high, log=part.log)


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Optuna neither logs nor warns of its experimental parts within."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
