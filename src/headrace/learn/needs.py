"""Libraries that only training needs: named, with the command that installs them, where they are missing."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from headrace.core.errors import MissingDependency, UserError


def need(module: str) -> Any:
    """Import a training library.

    Raises:
        MissingDependency: it, or the OpenMP runtime that LightGBM links to, is not installed.
    """
    # OpenMP reads this once, when it is loaded. By default its idle threads spin: on cores that are shared
    # with anything else a LightGBM fit then takes seven times as long (81 s for 11 s, measured).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return import_module(module)
    except ImportError as error:
        missing = (error.name or module).split(".")[0]
        raise MissingDependency(
            f"{missing} is not installed",
            why="models are trained with it; serving does without",
            fix="pip install 'headrace[train]'",
        ) from error
    except OSError as error:
        raise _missing_system_library(module, error) from error


def need_model(module: str, extra: str = "models") -> Any:
    """Import the library of one candidate, which only those who name that candidate need. extra: what has it.

    Raises:
        UserError: it is not installed: that candidate is left out, and the leaderboard says why. (Not
            MissingDependency, which stops everything.)
    """
    try:
        return need(module)
    except MissingDependency as error:
        problem = error.problems[0]
        raise UserError(
            problem.what,
            where=f"models: {module}",
            why="this model is trained with it; the others go on without",
            fix=f"pip install 'headrace[{extra}]'"
            if isinstance(error.__cause__, ImportError)
            else problem.fix,
        ) from error


def _missing_system_library(module: str, error: OSError) -> MissingDependency:
    if "gomp" in str(error) or "omp.dylib" in str(error):
        command = "brew install libomp" if sys.platform == "darwin" else "apt-get install libgomp1"
        return MissingDependency(
            f"{module} needs the OpenMP runtime, which this machine lacks: {error}",
            fix=f"{command} (or your system's package of the same library)",
        )
    return MissingDependency(f"{module} needs a system library: {error}", fix="install the library it names")
