"""A fresh virtual environment with the versions that a run recorded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.core.errors import UserError
from headrace.engine.context import Progress
from headrace.engine.environment import source_of

OURS = "headrace"
TOOLS = frozenset({"pip", "setuptools", "uv", "wheel"})
"""What installs is not what was installed for."""


def fresh_python(folder: Path, recorded: Mapping[str, Any], progress: Progress) -> Path:
    """Make the environment in `folder`; its interpreter. uv is used where it is present, else venv and pip.

    Every distribution is installed at its recorded version, without asking what it depends on. headrace is
    installed from the folder that this one came from, where that was no registry.

    Raises:
        UserError: the run recorded no environment, the Python is another, or the registry refused.
    """
    if not recorded:
        raise _refused("the run recorded no environment", "it is older than that record")
    mine = ".".join(map(str, sys.version_info[:2]))
    theirs = ".".join(recorded["python"].split(".")[:2])
    uv = shutil.which("uv") or _beside(sys.executable, "uv")
    if mine != theirs and uv is None:
        raise _refused(f"the run used Python {theirs}, and this is {mine}", "uv could fetch it; it is absent")
    wanted = [f"{n}=={v}" for n, v in recorded["distributions"].items() if n not in {*TOOLS, OURS}]
    source = source_of(OURS)
    ours = str(source) if source else f"{OURS}=={recorded['distributions'].get(OURS, '')}"
    folder.mkdir(parents=True)
    listed = folder / "recorded.txt"
    listed.write_text("\n".join(wanted) + "\n", encoding="utf-8")
    python = folder / "bin" / "python"
    progress("environment", f"installing {len(wanted)} distributions", 0, 0)
    if uv is not None:
        _run([uv, "venv", "--quiet", "--allow-existing", "--python", theirs, str(folder)])
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([*install, "-r", str(listed)])
    _run([*install, ours])
    return python


def _beside(python: str, program: str) -> str | None:
    path = Path(python).parent / program
    return str(path) if path.is_file() else None


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise _refused("the recorded environment can't be installed", " / ".join(lines[-4:]))


def _refused(what: str, why: str) -> UserError:
    return UserError(
        what, why=why, fix="--environment present does the run again with the libraries of today"
    )
