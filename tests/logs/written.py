"""A log as writers leave it."""

from collections.abc import Sequence
from pathlib import Path

from headrace.core.answered import Answered
from headrace.logs.read import read
from headrace.logs.writer import LogWriter
from headrace.testing.log_exam import Callers


def write(folder: Path, entries: Sequence[Answered], worker: str = "w") -> None:
    """A closed segment with these entries."""
    log, told = LogWriter(folder, worker=worker, mode="buffered"), Callers()
    log.append(entries, told)
    assert told.wait(1) == [None]
    log.close()


def everything(folder: Path) -> list[Answered]:
    """All entries, by id."""
    return sorted(read(folder), key=lambda e: e.id)
