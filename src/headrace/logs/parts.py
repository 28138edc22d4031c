"""Which files make up the log: closed segments become parts (Parquet), and `parts.json` says which count.

An entry counts once: it is in the parts that `parts.json` names, or in a segment that it does not call taken.
That file is replaced as a whole, which is the moment at which a compaction happens; whoever dies before or
after leaves files that do not count. Files are removed only while nobody reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.codec import from_json, to_json
from headrace.core.errors import Corrupt, StoreError
from headrace.logs.segment import sync_folder, trouble

FILE = "parts.json"
FOLDER = "parts"
READING, CHANGING = "reading.lock", "changing.lock"
_STEP = 0.02


@dataclass(frozen=True)
class Part:
    """A file of answers of one UTC day and route, in the order of their times. file: within the log's folder.
    digest: SHA-256 of its bytes, `size` of them. first, last: times of its rows, UTC microseconds."""

    file: str
    digest: str
    size: int
    rows: int
    first: int
    last: int
    day: str
    route: str


@dataclass(frozen=True)
class Note:
    """What the ledger has still to be told: an event's kind, subject and payload."""

    kind: str
    subject: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Parts:
    """What counts. taken: segments whose entries are in parts, and whose files may still be there. recent:
    segments that were taken, the newest last, for those who follow the log. untold: for the ledger."""

    parts: tuple[Part, ...] = ()
    taken: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()
    untold: tuple[Note, ...] = ()
    format: int = 1


def load(folder: Path) -> Parts:
    """What counts now.

    Raises:
        Corrupt: the file is not what was written.
        StoreError: it can't be read.
    """
    path = folder / FILE
    try:
        return from_json(path.read_bytes(), Parts)
    except FileNotFoundError:
        return Parts()
    except msgspec.DecodeError as error:
        raise Corrupt(
            "the list of the prediction log's files can't be read",
            where=str(path),
            why=str(error),
            fix="restore it from a backup",
        ) from error
    except OSError as error:
        raise trouble(error, "read the prediction log", path) from error


def commit(folder: Path, parts: Parts) -> None:
    """Make this what counts, at once and as a whole. For whoever holds `changing`.

    Raises:
        StoreError: the medium refused; what counted before does still.
    """
    path = folder / FILE
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as out:
            out.write(to_json(parts))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
        sync_folder(folder)
    except OSError as error:
        raise trouble(error, "write the prediction log", path) from error


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """No file goes while this is held. Waits for nobody but who removes files at this moment."""
    try:
        fd = os.open(folder / READING, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:  # a folder that nobody can write to, or that is not there
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Only one at a time compacts or erases.

    Raises:
        StoreError: somebody else does.
    """
    with _held(folder, CHANGING, 0.0) as mine:
        if not mine:
            raise StoreError(
                "the prediction log is being compacted or erased from by another process",
                where=str(folder),
                fix="try again when it is done",
            )
        yield


def remove(folder: Path, files: Iterator[Path] | list[Path], *, patience: float = 0.0) -> bool:
    """Remove files that no longer count. False where readers held on to them all the while.

    Raises:
        StoreError: the medium refused.
    """
    with _held(folder, READING, patience) as mine:
        if not mine:
            return False
        for file in files:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise trouble(error, "remove a file of the prediction log", file) from error
    return True


@contextlib.contextmanager
def _held(folder: Path, name: str, patience: float) -> Iterator[bool]:
    """A lock that shuts out all others; whether it was got within so many seconds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise trouble(error, "change the prediction log", folder) from error
    try:
        yield _locked(fd, patience)
    finally:
        os.close(fd)


def _locked(fd: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_STEP)
        else:
            return True
