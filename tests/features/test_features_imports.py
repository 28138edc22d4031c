"""What serving imports stays light: no onnx, pandas or scikit-learn behind the running side."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"onnx", "pandas", "sklearn", "lightgbm", "scipy", "skl2onnx"}
SERVING = "headrace.graph.run, headrace.graph.encode, headrace.graph.rows"


def test_serving_side_loads_nothing_heavy() -> None:
    code = f"import sys, {SERVING}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(loaded.stdout.split())
