"""Whether anything that pages show has changed: asked every few seconds by every open page."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.digest import digest
from headrace.core.places import LOG, REVIEWS, STORE_DIR, WATCH

if TYPE_CHECKING:
    from headrace.project import Project


def version(project: Project) -> str:
    """A text that is another when the ledger, the prediction log, the review queue or the state of watching
    is. Reads the ledger's newest line and the sizes and times of files."""
    number, head = project.store.head()
    folder = project.root / STORE_DIR
    files = [folder / f"{name}{tail}" for name in (REVIEWS, WATCH) for tail in ("", "-wal")]
    with suppress(OSError):
        files += sorted(p for p in (folder / LOG).iterdir() if not p.name.endswith(".lock"))
    return digest([number, head, [_state(f) for f in files]])[:20]


def _state(file: Path) -> list[int]:
    try:
        seen = file.stat()
    except OSError:
        return []
    return [seen.st_size, seen.st_mtime_ns]
