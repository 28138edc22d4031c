"""Import hygiene: what is not needed is not loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "pandas",
    "sklearn",
    "lightgbm",
    "onnxruntime",
    "starlette",
    "uvicorn",
    "onnx",
    "scipy",
    "duckdb",
    "pyarrow",
}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that are loaded once `code` has run in a process of its own."""
    script = f"{code}\nimport sys\nprint(' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_headrace_loads_nothing_heavy() -> None:
    assert not loaded_by("import headrace") & HEAVY


def test_the_command_line_loads_nothing_heavy_before_a_command_runs() -> None:
    assert not loaded_by("import headrace.cli.root") & (HEAVY | {"numpy", "pydantic"})


@pytest.mark.parametrize(
    "module", ["headrace.serve.http.app", "headrace.serve.batch.file", "headrace.serve.answer"]
)
def test_serving_loads_no_training_library(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"pandas", "sklearn", "lightgbm", "onnx", "scipy", "skl2onnx"}


def test_checking_a_spec_loads_no_learner() -> None:
    loaded = loaded_by("import headrace.engine.check")
    assert not loaded & {"pandas", "sklearn", "lightgbm", "scipy", "skl2onnx"}
