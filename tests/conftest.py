"""What several rooms' tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import postgres as postgres_programs
import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy with other things is no reason to fail.
settings.register_profile("headrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headrace")


@pytest.fixture(scope="session")
def housing() -> Path:
    """The California districts; not part of the repository."""
    given = os.environ.get("HEADRACE_HOUSING")
    root = Path(__file__).resolve().parent.parent
    file = Path(given) if given else root.parent / "shared" / "data" / "housing.csv"
    if not file.is_file():
        pytest.skip("housing.csv is absent: set HEADRACE_HOUSING to the California districts file")
    return file


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own."""
    binaries = postgres_programs.programs()
    if binaries is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    with postgres_programs.server(binaries) as url:
        yield url
