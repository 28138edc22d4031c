"""The soak in a minute, which counts; `make soak` takes ten, and measures too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from soak import SHORT, soak
from soak_checks import broken, table


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_under_load_and_misfortune_no_answer_is_lost(tmp_path: Path) -> None:
    checks = soak(tmp_path / "project", SHORT)
    assert not broken(checks), "\n" + table(checks)
