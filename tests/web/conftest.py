"""A finished project with its pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from spine import clock, finished, fresh
from visitor import Browser, pages_of

from headrace.project import Project

__all__ = ["clock", "finished", "fresh"]


@pytest.fixture
def browser(finished: Project) -> Iterator[Browser]:
    """A browser on this machine, where there is no token."""
    with pages_of(finished) as shell:
        yield Browser(shell)
