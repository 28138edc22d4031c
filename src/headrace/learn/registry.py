"""Which candidates there are: the built-ins and those of the entry-point group `headrace.candidates`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from headrace.core.errors import Problem, UserCodeError, UserError, did_you_mean
from headrace.core.spec.learning import ModelSpec
from headrace.core.task import Kind, Task
from headrace.learn.candidate import Candidate, Continues, resolve_params
from headrace.learn.candidates import BUILT_IN

GROUP = "headrace.candidates"
RESERVED = ("naive", "today")
"""Leaderboard names of the two baselines, which nobody needs to list."""


def _points() -> dict[str, EntryPoint]:
    """Entry points by name. A plugin can't take a built-in's name: specs would change their meaning."""
    ours = [EntryPoint(name=n, value=v, group=GROUP) for n, v in BUILT_IN.items()]
    return {point.name: point for point in [*entry_points(group=GROUP), *ours]}


def candidate_names() -> tuple[str, ...]:
    """Every name a spec may use, sorted; imports no candidate."""
    return tuple(sorted(_points()))


def candidates() -> Mapping[str, Candidate]:
    """Every candidate by name, imported.

    Raises:
        UserCodeError: a plugin can't be imported or is no candidate.
    """
    return {name: load_candidate(name) for name in candidate_names()}


def load_candidate(name: str) -> Candidate:
    """The candidate that a spec names: a registered one, or any scikit-learn estimator as `module:Class`.

    Raises:
        UserError: no candidate has this name.
        UserCodeError: a plugin or the named module raised when imported.
        MissingDependency: scikit-learn or skl2onnx is not installed (`module:Class` only).
    """
    if ":" in name:
        from headrace.learn.candidates.sklearn_any import estimator_candidate

        return estimator_candidate(name)
    points = _points()
    if name not in points:
        fix = did_you_mean(name, points) + "; or a scikit-learn estimator as 'module:Class'"
        raise UserError.of([Problem(f"no model is called {name!r}", where="models", fix=fix)])
    try:
        loaded = points[name].load()
    except Exception as error:  # user-code boundary: candidates may be anybody's
        raise UserCodeError(
            f"model {name!r} ({points[name].value}) can't be imported: {error}",
            where="models",
            fix="mend or uninstall the package that provides it",
        ) from error
    if not isinstance(loaded, Candidate):
        raise UserCodeError(
            f"model {name!r} ({points[name].value}) is no candidate",
            where="models",
            fix="it needs what headrace.learn.candidate.Candidate names",
        )
    return loaded


def check_models(
    models: Sequence[str | ModelSpec], root: Path, kind: Kind | None = None
) -> Iterator[tuple[int, Problem]]:
    """What is wrong with a spec's models, each with its place in the list; nothing is fitted.

    root: the project's folder, named where a module lies there but can't be imported. kind: the task, to
    say which candidates can't learn it.
    """
    names: dict[str, int] = {}
    for i, model in enumerate(models):
        spec = model if isinstance(model, ModelSpec) else ModelSpec(use=model)
        label = spec.name or spec.use
        if label in RESERVED or label in names:
            why = "it is scored always" if label in RESERVED else "the leaderboard has one line a name"
            yield (
                i,
                Problem(f"two models are called {label!r}", why=why, fix="give this one a name: of its own"),
            )
        names.setdefault(label, i)
        try:
            candidate = load_candidate(spec.use)
            classes = ("no", "yes") if kind in (None, Kind.BINARY) else ("a", "b", "c")
            task = Task(kind or min(candidate.tasks), classes)
            resolve_params(candidate, task, 1000, 10, spec.params)
        except UserError as error:
            for problem in error.problems:
                yield i, _nearby(problem, spec.use, root)


def missing_libraries(models: Sequence[str | ModelSpec]) -> Iterator[tuple[int, Problem]]:
    """Candidates whose own library is not installed, each with its place in the list: they will be lines of
    the leaderboard without a score."""
    for i, model in enumerate(models):
        use = model.use if isinstance(model, ModelSpec) else model
        candidate = load_candidate(use) if use in BUILT_IN else None
        library = getattr(candidate, "library", None)
        if library is not None and find_spec(library) is None:
            what = f"{library} is not installed: {use} will not be fitted"
            extra = getattr(candidate, "extra", "models")
            yield i, Problem(what, fix=f"pip install 'headrace[{extra}]', or leave it out")


def continuing(uses: Iterable[str]) -> tuple[str, ...]:
    """Those of the built-in candidates that learn row by row, and go on from what they have learned."""
    found = dict.fromkeys(u for u in uses if u in BUILT_IN)
    return tuple(u for u in found if isinstance(load_candidate(u), Continues))


def _nearby(problem: Problem, use: str, root: Path) -> Problem:
    """A module that lies in the project's folder but is not importable gets a better hint."""
    module = use.partition(":")[0]
    if problem.what.startswith("no module") and (root / f"{module}.py").is_file():
        return replace(problem, fix=f"{module}.py lies in {root}: put that folder on PYTHONPATH")
    return problem
