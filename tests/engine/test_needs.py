"""The base install serves and scores; what it can't do it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.engine.needs import TRAINING
from headrace.project import Project

WITHOUT = """
import sys
for name in {absent!r}:
    sys.modules[name] = None  # as if it were not installed
from headrace.cli import main
sys.argv = ["headrace", {command!r}, "-C", {folder!r}]
main()
"""


@pytest.mark.parametrize("command", ["check", "run"])
def test_training_without_its_libraries_is_a_mistake_with_a_mend(fresh: Project, command: str) -> None:
    folder = str(fresh.root)
    code = WITHOUT.format(absent=TRAINING, command=command, folder=folder)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: checking and running need lightgbm, onnx, scipy, skl2onnx, sklearn" in done.stderr
    assert "pip install 'headrace[train]'" in done.stderr
    assert not (Path(folder) / ".headrace").exists(), "nothing was begun"
