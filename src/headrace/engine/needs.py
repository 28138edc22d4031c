"""What checking and running need beyond the base install, said before a traceback does."""

from __future__ import annotations

from importlib.util import find_spec

from headrace.core.errors import MissingDependency

TRAINING = ("lightgbm", "onnx", "scipy", "skl2onnx", "sklearn")
"""The libraries of the extra `train`; serving and scoring do without them."""


def require_training() -> None:
    """Nothing is imported: the libraries are only looked for.

    Raises:
        MissingDependency: the base install alone is there.
    """
    missing = [name for name in TRAINING if find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"checking and running need {', '.join(missing)}, which this install does not have",
            why="the base install serves and scores; it does not train",
            fix="pip install 'headrace[train]' (from a clone: pip install '.[train]')",
        )
