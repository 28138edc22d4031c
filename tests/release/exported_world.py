"""An exported folder, installed where nothing else is, and started."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HEAVY = ("pyarrow", "pandas", "sklearn", "scipy", "duckdb", "pydantic", "onnx", "lightgbm", "sqlglot")


def install(folder: Path, venv: Path) -> Path:
    """A new virtual environment with what the exported folder names, and nothing else; its interpreter."""
    uv = Path(sys.executable).with_name("uv")
    python = venv / "bin" / "python"
    wanted = ["-r", str(folder / "requirements.txt"), *map(str, (folder / "wheels").glob("*.whl"))]
    if uv.exists():
        make = [str(uv), "venv", "-q", "--python", sys.executable, str(venv)]
        fill = [str(uv), "pip", "install", "-q", "--no-deps", "--python", str(python), *wanted]
    else:
        make = [sys.executable, "-m", "venv", str(venv)]
        fill = [str(python), "-m", "pip", "install", "-q", "--no-deps", *wanted]
    subprocess.run(make, check=True, capture_output=True, timeout=120)
    done = subprocess.run(fill, check=False, capture_output=True, text=True, timeout=240)
    if done.returncode != 0:
        pytest.skip(f"no registry to install from: {done.stderr.strip().splitlines()[-1][:200]}")
    return python


def size(folder: Path) -> int:
    """Bytes on the disk, as `du` counts them: a file that is there twice by a link counts once."""
    seen = {(s.st_dev, s.st_ino): s.st_blocks * 512 for p in folder.rglob("*") if (s := p.lstat())}
    return sum(seen.values())


@contextmanager
def running(python: Path, folder: Path, state: Path, **environment: str) -> Iterator[str]:
    """The exported folder's server; its address. `HOST` is the machine's own."""
    told = state.with_name(f"{state.name}.log")
    clean = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    asked = {"HEADRACE_HOST": "127.0.0.1", "HEADRACE_PORT": "0", "HEADRACE_STATE": str(state)}
    with told.open("w") as log:
        process = subprocess.Popen(
            [str(python), "-m", "headrace.cli.exported", str(folder / "release")],
            env={**clean, **asked, **environment},
            stderr=log,
            cwd="/",
        )
    try:
        until = time.monotonic() + 60
        while (found := re.search(r"http://[\d.]+:(\d+)", told.read_text())) is None:
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < until, told.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{found[1]}"
        process.terminate()
        assert process.wait(timeout=60) == 0, told.read_text()
    finally:
        process.kill()
        process.wait()


def call(address: str, path: str, value: Any = None, token: str = "") -> tuple[int, Any]:
    """Status and JSON of a request."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    body = None if value is None else json.dumps(value).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, body, headers), timeout=30) as r:
            return r.status, json.load(r)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def read_only(folder: Path) -> None:
    """Nothing in it can be written (by others than root, whom no mode stops)."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
