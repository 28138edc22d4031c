"""The search: trials proposed, fitted fold by fold, given up, kept; one candidate after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headrace.core.errors import MissingDependency, UserError
from headrace.core.task import Kind
from headrace.learn.candidate import Space, Vector
from headrace.learn.choose import chosen_without
from headrace.learn.compare import part_values, result_of
from headrace.learn.measure import best_threshold, measure_pieces
from headrace.learn.records import Crossed, Entry, Job, Progress, Result
from headrace.learn.search.journal import Entered, Journal
from headrace.learn.search.propose import Proposer, proposer
from headrace.learn.search.prune import hopeless
from headrace.learn.search.record import CandidateSearch, SearchPlan, SearchRecord, State, Trial
from headrace.learn.search.space import MOST_GRID, described, space_of, within
from headrace.learn.search.workers import Fit, Workers, workers

_TIRED = 10
"""After so many failed trials in a row a candidate's search ends."""


@dataclass(frozen=True)
class Share:
    """What one candidate may use up: `seconds` more, and trials up to number `trials`."""

    seconds: float | None
    trials: int | None


@dataclass(frozen=True)
class Found:
    """What came of one candidate's search.

    result: the tuned line, None where no trial was better than the defaults. seconds: of every trial.
    used: seconds of the share that were used up; made: how many trials beside trial 0 there are.
    """

    search: CandidateSearch
    result: Result | None
    seconds: tuple[float, ...]
    used: float
    made: int


def tuned_name(name: str) -> str:
    """The tuned line's name on the leaderboard."""
    return f"{name} (tuned)"


def search_candidate(
    job: Job,
    base: Result,
    plan: SearchPlan,
    share: Share,
    *,
    lanes: Workers,
    folder: Path | None,
    progress: Progress,
    clock: Callable[[], float],
) -> Found:
    """Search the parameters of a candidate whose comparison is `base` (which is trial 0).

    folder: where finished trials are kept, so that a killed search goes on. Time that earlier lives used
    counts against the share.

    Raises:
        MissingDependency: a library is not installed.
        UserError: a process of the search died.
    """
    if base.entry is None or base.crossed is None:
        raise ValueError("only what could be compared can be searched")
    hunt = _Hunt(job, base.entry, plan, share, Journal(folder, base.line.model), clock)
    hunt.begin(base)
    stopped = hunt.go(lanes, progress)
    return hunt.finish(base, stopped)


@dataclass
class _Live:
    """A trial under way. early: its values so far, for pruning, each by the fold's own threshold."""

    number: int
    params: dict[str, Any]
    scores: Vector
    early: list[float] = field(default_factory=list)
    seconds: float = 0.0


class _Hunt:
    """One candidate's search. Live."""

    def __init__(
        self,
        job: Job,
        entry: Entry,
        plan: SearchPlan,
        share: Share,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self.job, self.entry, self.plan, self.share = job, entry, plan, share
        self.journal, self.clock = journal, clock
        self.space: Space = space_of(entry, job.task)
        self.entered: list[Entered] = []
        self.proposer: Proposer = proposer(
            plan.method,
            self.space,
            most=MOST_GRID if share.trials is None else min(MOST_GRID, share.trials),
            seed=job.setting.seed,
            name=entry.name,
        )
        self.next = 1
        self.failed = 0
        self.used = 0.0
        self._began = clock()

    def begin(self, base: Result) -> None:
        """Trial 0 is the comparison itself; then what an earlier life left."""
        assert base.crossed is not None  # noqa: S101  # looked at by the caller
        scores = base.crossed.own
        self.journal.remember(0, scores)
        values = tuple(_or_none(v) for v in base.line.folds)
        params = {n: self.entry.params[n] for n in self.space}
        trial = Trial(0, params, values, base.line.mean, State.COMPLETE)
        early = tuple(_or_none(self._early(scores, i)) for i in range(self.job.fits))
        self._take(Entered(trial, early, base.line.seconds), within(self.space, params))
        for entered in self.journal.read():
            self._take(entered, entered.trial.params)
            self.used += entered.seconds / self.plan.processes
            self.next = max(self.next, entered.trial.number + 1)

    def _take(self, entered: Entered, params: Mapping[str, Any]) -> None:
        self.entered.append(entered)
        trial = entered.trial
        known = [v for v in entered.early if v is not None]
        so_far = float(np.mean(known)) if known else float("-inf")
        reached = self.job.goodness(trial.mean) if trial.state is State.COMPLETE else so_far
        if self.space:
            self.proposer.tell(params, reached, trial.state, len(trial.folds))

    def go(self, lanes: Workers, progress: Progress) -> str:
        """Make trials until a budget is used up or nothing is left to try; why it ended."""
        running: dict[Future[Fit], _Live] = {}
        stopped = "" if self.space else "nothing to search: the candidate has no parameters left to vary"
        while True:
            while not stopped and len(running) < lanes.lanes:
                stopped = self._launch(lanes, running)
            if not running:
                return stopped
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            # in the order of trials, so that what two lanes finish at once is taken in one order
            for future in sorted(done, key=lambda f: running[f].number):
                self._collect(lanes, running, future)
                self._say(progress)

    def _launch(self, lanes: Workers, running: dict[Future[Fit], _Live]) -> str:
        """Begin the next trial; or why there is none."""
        if self.share.trials is not None and len(self.entered) - 1 + len(running) >= self.share.trials:
            return "its share of trials was made"
        if self._late():
            return "its share of the time was used up"
        if self.failed >= _TIRED:
            return f"{_TIRED} trials in a row failed"
        params = self.proposer.ask(self.next)
        if params is None:
            return "nothing new was left to try"
        live = _Live(self.next, params, np.full(self.job.shape, np.nan))
        self.next += 1
        running[self._submit(lanes, live)] = live
        return ""

    def _submit(self, lanes: Workers, live: _Live) -> Future[Fit]:
        return lanes.submit(self.entry, {**self.entry.params, **live.params}, len(live.early))

    def _late(self) -> bool:
        spent = self.used + self.clock() - self._began
        return self.share.seconds is not None and spent >= self.share.seconds

    def _collect(self, lanes: Workers, running: dict[Future[Fit], _Live], future: Future[Fit]) -> None:
        """Take one fold's scores; then the next fold, or the trial's end."""
        live = running.pop(future)
        try:
            fit = future.result()
        except MissingDependency:
            raise
        except BrokenProcessPool as error:
            raise UserError(
                "a process of the search died",
                where="tune.processes",
                why="it ran out of memory, or the script that began the search has no "
                "`if __name__ == '__main__':` around its work",
                fix="guard the script, take fewer processes, or set tune.processes: 1",
            ) from error
        except UserError as error:
            self.failed += 1
            self._end(live, State.FAILED, error=str(error))
            return
        self.failed = 0
        live.seconds += fit.seconds
        piece = self.job.pieces[len(live.early)]
        live.scores[piece] = fit.scores
        live.early.append(self._early(live.scores, len(live.early)))
        if len(live.early) == self.job.fits:
            self._end(live, State.COMPLETE)
        elif self.plan.prune and self._hopeless(live):
            self._end(live, State.PRUNED)
        elif self._late():
            self._end(live, State.STOPPED)
        else:
            running[self._submit(lanes, live)] = live

    def _early(self, scores: Vector, fold: int) -> float:
        """The metric on one fold (more is better), decided by the threshold that is best in the fold itself:
        alike for all trials, and known before the other folds are."""
        job, part, rows = self.job, self.job.scored, self.job.pieces[fold]
        decisions = None
        if job.task.kind is Kind.MULTICLASS:
            decisions = np.argmax(scores, axis=1)
        elif job.task.kind is Kind.BINARY:
            known = np.full(len(part.y), np.nan)
            known[rows] = scores[rows]
            threshold = best_threshold(job.task, job.metric, part.y, known)
            decisions = (known >= (0.5 if threshold is None else threshold)).astype(np.int64)
        values = measure_pieces(job.task, job.metric, part.y, scores, decisions, part.units, [rows])
        return float(job.metric.goodness(values[0]))

    def _hopeless(self, live: _Live) -> bool:
        complete = [
            [np.nan if v is None else v for v in e.early]
            for e in self.entered
            if e.trial.state is State.COMPLETE
        ]
        return hopeless(live.early, complete)

    def _end(self, live: _Live, state: State, *, error: str = "") -> None:
        scores = None
        values = tuple(_or_none(float(self.job.metric.goodness(v))) for v in live.early)
        mean = None
        if state is State.COMPLETE:
            scores = live.scores
            line = result_of(self.job, "", {}, Crossed.plain(self.job, scores), 0.0).line
            values, mean = tuple(_or_none(v) for v in line.folds), line.mean
        trial = Trial(live.number, live.params, values, mean, state, error)
        entered = Entered(trial, tuple(_or_none(v) for v in live.early), live.seconds)
        if state is not State.STOPPED:  # a trial that the clock cut may be whole in another life
            self.journal.add(entered, scores)
        self._take(entered, live.params)

    def _say(self, progress: Progress) -> None:
        best = min(self.entered, key=self._order).trial
        done = len(self.entered) - 1
        of = "" if self.share.trials is None else f"/{self.share.trials}"
        shown = "–" if best.mean is None else f"{best.mean:.4g}"
        progress(f"{self.entry.name} trial {done}{of} best {shown}", 0, 0)

    def _order(self, entered: Entered) -> tuple[float, int]:
        trial = entered.trial
        good = self.job.goodness(trial.mean) if trial.state is State.COMPLETE else -np.inf
        return -good, trial.number

    def finish(self, base: Result, stopped: str) -> Found:
        """The best trial; its line is measured with each part's trial chosen by the other parts."""
        trials = sorted(self.entered, key=lambda e: e.trial.number)
        best = min(self.entered, key=self._order).trial
        result = self._line(base, best) if best.number else None
        honest = base.line.mean if result is None else result.line.mean
        search = CandidateSearch(
            model=base.line.model,
            line=tuned_name(base.line.model) if result else "",
            space=described(self.space),
            note=self.proposer.note,
            trials=tuple(e.trial for e in trials),
            best=best.number,
            best_mean=best.mean,
            honest_mean=honest,
            defaults_mean=base.line.mean,
            stopped=stopped,
        )
        used = self.used + self.clock() - self._began
        return Found(search, result, tuple(e.seconds for e in trials), used, len(trials) - 1)

    def _line(self, base: Result, best: Trial) -> Result:
        job = self.job
        complete = [e for e in self.entered if e.trial.state is State.COMPLETE]
        numbers = [e.trial.number for e in complete]
        values = np.stack([self._parts(e) for e in complete])
        picks = [numbers[i] for i in chosen_without(values).tolist()]
        own = self.journal.scores(best.number)
        crossed = Crossed(own, tuple(own if n == best.number else self.journal.scores(n) for n in picks))
        params = {**self.entry.params, **best.params}
        seconds = sum(e.seconds for e in self.entered if e.trial.number)
        note = f"trial {best.number} of {len(self.entered) - 1}, on the folds that chose it {best.mean:.4g}"
        entry = replace(self.entry, params=params)
        return result_of(job, tuned_name(base.line.model), params, crossed, seconds, note=note, entry=entry)

    def _parts(self, entered: Entered) -> Vector:
        """The metric on every part, more is better."""
        if self.job.folds is not None:
            values = [np.nan if v is None else v for v in entered.trial.folds]
            return np.asarray(self.job.metric.goodness(np.array(values)), np.float64)
        scores = self.journal.scores(entered.trial.number)
        return part_values(self.job, result_of(self.job, "", {}, Crossed.plain(self.job, scores), 0.0))


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def search_all(
    job: Job,
    results: Sequence[Result],
    plan: SearchPlan,
    *,
    folder: Path | None,
    progress: Progress,
    clock: Callable[[], float],
) -> tuple[SearchRecord, list[Found]]:
    """Search the shortlist, best candidate first. Each gets an equal share of what is left of the budgets, so
    that what one doesn't use up passes on to the next.

    Raises:
        MissingDependency: a library is not installed.
        UserError: a process of the search died.
    """
    listed = _shortlist(job, results, plan.shortlist)
    found: list[Found] = []
    seconds, trials = plan.seconds, plan.trials
    with workers(job, plan.processes) as lanes:
        for place, base in enumerate(listed):
            left = len(listed) - place
            share = Share(
                None if seconds is None else seconds / left, None if trials is None else -(-trials // left)
            )
            one = search_candidate(
                job, base, plan, share, lanes=lanes, folder=folder, progress=progress, clock=clock
            )
            found.append(one)
            seconds = None if seconds is None else max(0.0, seconds - one.used)
            trials = None if trials is None else max(0, trials - one.made)
    record = SearchRecord(
        method=plan.method,
        metric=job.metric.name,
        higher_is_better=job.metric.higher_is_better,
        seconds=plan.seconds,
        trials=plan.trials,
        processes=plan.processes,
        clock=plan.seconds is not None or plan.processes > 1,
        candidates=tuple(f.search for f in found),
    )
    return record, found


def _shortlist(job: Job, results: Sequence[Result], most: int) -> list[Result]:
    """The best candidates of the comparison that can be searched."""
    able = [r for r in results if r.crossed is not None and r.entry is not None and r.line.mean is not None]
    able = [r for r in able if r.entry is not None and space_of(r.entry, job.task)]
    return sorted(able, key=lambda r: (-job.goodness(r.line.mean), r.line.model))[:most]
