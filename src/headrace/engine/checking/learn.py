"""Search, ensembles, calibration and uncertainty against the task and the candidates, before any work."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.core.clock import parse_duration
from headrace.core.errors import HeadraceError
from headrace.core.task import Kind, Task
from headrace.engine.checking.checker import Checker
from headrace.learn.records import Entry
from headrace.learn.registry import load_candidate
from headrace.learn.search.run import tuned_name
from headrace.learn.search.space import space_of

_METHODS = ("sigmoid", "isotonic")


def check_learn(check: Checker) -> None:
    """Add a problem for every setting of learning that can't mean anything here."""
    spec = check.parsed.spec
    kind = Kind(spec.problem.task)
    if spec.tune is not None:
        _check_tune(check)
    if spec.calibrate != "off" and kind is Kind.REGRESSION:
        check.add(
            "calibrate only works for classes",
            "calibrate",
            why="a regression has no probabilities",
            fix="remove it; `uncertainty:` gives intervals",
        )
    if spec.uncertainty is not None and spec.uncertainty.abstain and kind is Kind.REGRESSION:
        check.add(
            "a regression can't abstain",
            *("uncertainty", "abstain"),
            why="its interval is wide where it is unsure; there are no classes to be torn between",
            fix="remove abstain, and act on the interval's width",
        )
    if spec.ensemble != "off" and len(spec.model_specs()) < 2:
        check.add(
            f"ensemble: {spec.ensemble} needs at least two models",
            "ensemble",
            why="there is nothing to combine",
            fix="name more under models, or remove ensemble",
        )
    _check_names(check)


def _check_tune(check: Checker) -> None:
    tune = check.parsed.spec.tune
    if tune is None:
        return
    if tune.budget is None and tune.trials is None and tune.method != "grid":
        check.add(
            f"tune has no budget: a {tune.method} search never ends by itself",
            "tune",
            fix="give trials: 60 (the same result every time), budget: 120 s, or both",
        )
    if tune.budget is not None and not parse_duration(tune.budget):
        check.add("tune.budget is no time at all", "tune", "budget", fix="write a duration such as 120 s")
    if tune.trials is not None and tune.trials < min(tune.shortlist, len(check.parsed.spec.model_specs())):
        check.add(
            f"{tune.trials} trials are fewer than the {tune.shortlist} candidates of the shortlist",
            *("tune", "trials"),
            fix="give more trials, or a smaller tune.shortlist",
        )
    spaces = list(_spaces(check))
    if spaces and not any(spaces):
        check.add(
            "no model has a parameter to search",
            "tune",
            why="parameters that models: sets are kept, and scikit-learn's estimators declare no space",
            fix="leave some parameters unset, add a built-in model, or remove tune",
        )


def _spaces(check: Checker) -> Iterator[bool]:
    """Whether each model has anything to search; models that can't be loaded are told of elsewhere."""
    spec = check.parsed.spec
    kind = Kind(spec.problem.task)
    task = Task(kind, ("no", "yes") if kind is Kind.BINARY else ("a", "b", "c"))
    for name, model in spec.model_specs().items():
        try:
            candidate = load_candidate(model.use)
        except HeadraceError:
            return
        yield bool(space_of(Entry(name, model.use, candidate, {}, frozenset(model.params)), task))


def _check_names(check: Checker) -> None:
    """A model may not bear the name of a line that the run itself will make."""
    spec = check.parsed.spec
    names = list(spec.model_specs())
    taken: set[str] = set()
    if spec.tune is not None:
        taken |= {tuned_name(n) for n in names}
    if spec.ensemble != "off":
        taken.add(spec.ensemble)
    if spec.calibrate in _METHODS:
        taken |= {f"{n} + {spec.calibrate}" for n in (*names, *taken)}
    for i, name in enumerate(names):
        if name in taken:
            check.add(
                f"a model is called {name!r}, which is a line that this run makes itself",
                *("models", i),
                fix="give it another name:",
            )
