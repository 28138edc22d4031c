"""What several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def housing() -> Path:
    """The California districts; not part of the repository."""
    given = os.environ.get("HEADRACE_HOUSING")
    root = Path(__file__).resolve().parent.parent
    file = Path(given) if given else root.parent / "shared" / "data" / "housing.csv"
    if not file.is_file():
        pytest.skip("housing.csv is absent: set HEADRACE_HOUSING to the California districts file")
    return file
