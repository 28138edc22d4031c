"""A function of the user's own that computes a feature."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.core.schema import Type

PYTHON = "python"
"""The prefix of raw columns that functions fill (`python.risk`), and so the name of no table."""


@dataclass(frozen=True)
class Function:
    """A feature that a Python function computes. It fills the raw column `column`, and the feature `name`.

    `file` is below the project's folder. `reads` are the raw columns that it is given, in their order
    (`distance`, `weather.temp`, `history.late_3h`), `types` theirs; `type` is what it gives.
    """

    name: str
    file: str
    function: str
    reads: tuple[str, ...]
    types: tuple[Type, ...]
    type: Type

    @property
    def column(self) -> str:
        """The raw column that it fills."""
        return f"{PYTHON}.{self.name}"

    @property
    def label(self) -> str:
        """`features.py:risk`."""
        return f"{self.file}:{self.function}"

    @property
    def text(self) -> str:
        """The call in one line: `features.py:risk(distance, weather.temp)`."""
        return f"{self.label}({', '.join(self.reads)})"
