"""Which candidates there are: the built-ins and those of the entry-point group `headrace.candidates`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from headrace.core.errors import Problem, UserCodeError, UserError, did_you_mean
from headrace.learn.candidate import Candidate
from headrace.learn.candidates import BUILT_IN

GROUP = "headrace.candidates"


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
    except Exception as error:  # noqa: BLE001 - user-code boundary: a plugin may raise anything
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
