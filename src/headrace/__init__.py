"""headrace: from raw data through gates to a running, watched decision.

Importing this package loads no heavy library; `Project` is resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace._version import __version__

if TYPE_CHECKING:
    from headrace.project import Project

__all__ = ["Project", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Project":
        from headrace.project import Project

        return Project
    raise AttributeError(f"module 'headrace' has no attribute {name!r}")
