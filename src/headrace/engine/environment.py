"""What a run ran in: Python, the machine, and every installed distribution with its version."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
import sys
from pathlib import Path
from typing import Any

from headrace.core.codec import to_json
from headrace.core.ports import Store

_FOLDER = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")


def record(store: Store) -> str:
    """Keep the environment as an artifact; its digest. The same environment is the same artifact."""
    return store.put(to_json(environment())).digest


@functools.cache
def environment() -> dict[str, Any]:
    """Python's version, the system, and the distributions by normalised name (PEP 503)."""
    found: dict[str, str] = {}
    for entry in reversed(sys.path):  # what stands first on the path is what is imported
        folder = Path(entry or ".")
        if not folder.is_dir():
            continue
        # Names of folders alone: reading the metadata of a hundred distributions takes longer than a run
        # in which nothing is new.
        for child in folder.glob("*.dist-info"):
            match = _FOLDER.fullmatch(child.name)
            if match:
                found[normal(match["name"])] = match["version"]
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "distributions": dict(sorted(found.items())),
    }


def normal(name: str) -> str:
    """A distribution's name in the form that is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def source_of(name: str) -> Path | None:
    """The folder that a distribution was installed from, where it is no release of a registry."""
    try:
        text = importlib.metadata.distribution(name).read_text("direct_url.json") or ""
    except importlib.metadata.PackageNotFoundError:
        return None
    match = re.search(r'"url":\s*"file://([^"]+)"', text)
    return Path(match[1]) if match else None
