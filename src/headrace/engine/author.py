"""Who runs, and from which code: names are claims on one machine, and the documentation says so."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path


def actor(root: Path, given: str | None = None) -> str:
    """The name that events carry: the one given, `HEADRACE_USER`, git's user.email, or the login."""
    if given:
        return given
    if os.environ.get("HEADRACE_USER"):
        return os.environ["HEADRACE_USER"]
    email = _git(root, "config", "user.email")
    if email:
        return email
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def commit(root: Path) -> tuple[str, bool]:
    """The git commit that `root` stands at and whether its tree was dirty; `("", False)` outside git."""
    head = _git(root, "rev-parse", "HEAD")
    return (head, bool(_git(root, "status", "--porcelain", "--", "."))) if head else ("", False)


def _git(root: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(
        [git, "-C", str(root), *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() if done.returncode == 0 else ""
