"""Serving pays for writing the log with neither Arrow nor DuckDB nor pydantic."""

import subprocess
import sys

HEAVY = ("pyarrow", "duckdb", "pydantic", "numpy", "pandas")


def test_writing_and_labels_need_no_heavy_library() -> None:
    code = (
        "import sys; import headrace.logs.writer, headrace.logs.labels;"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
