"""What the medium refused, said so that a person can mend it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

from headrace.core.errors import Corrupt, StoreError

_OS_TROUBLE = {
    errno.ENOSPC: ("the disk is full", "free some space and run the command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the command again"),
    errno.EFBIG: ("the file would grow beyond the limit for one file", "raise the limit (`ulimit -f`)"),
    errno.EROFS: ("the folder is read-only", "choose a folder that can be written to"),
    errno.EACCES: ("the folder is read-only", "choose a folder that this user can write to"),
    errno.EPERM: ("this user may not do that here", "choose a folder that this user can write to"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another folder for the store"),
    errno.EEXIST: ("there is a file where a folder should be", "choose another folder for the store"),
    errno.EMFILE: ("too many files are open", "raise the limit (`ulimit -n`)"),
}

_LEAST = 64 * 1024

_SQLITE_TROUBLE = {  # {what} is the file's kind, {file} its name
    sqlite3.SQLITE_FULL: _OS_TROUBLE[errno.ENOSPC],
    sqlite3.SQLITE_READONLY: ("the {what} is read-only", "choose a folder that this user can write to"),
    sqlite3.SQLITE_PERM: _OS_TROUBLE[errno.EACCES],
    sqlite3.SQLITE_CANTOPEN: (
        "the file of the {what} can't be opened",
        "check that the folder exists and that this user can read it and write to it",
    ),
    sqlite3.SQLITE_BUSY: (
        "another process held the {what} locked for too long",
        "find out which process holds it open (`fuser {file}`), or try again",
    ),
    sqlite3.SQLITE_IOERR: (
        "the disk failed to read or write",
        "check the disk, its free space and its limits",
    ),
    sqlite3.SQLITE_NOTADB: (
        "the file is not a SQLite database",
        "move the file away, or choose another folder for the store",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the database is damaged",
        "restore it from a backup; `sqlite3 {file} .recover` shows what can still be read",
    ),
}


def os_trouble(error: OSError, doing: str, place: Path) -> StoreError:
    """An `OSError` met at `place` while `doing`, as the store's error. The caller raises it from `error`."""
    why, fix = _OS_TROUBLE.get(
        error.errno or 0, (error.strerror or str(error), "check the folder and the disk")
    )
    return StoreError(f"can't {doing}", where=str(place), why=why, fix=fix)


def sqlite_trouble(error: sqlite3.Error, doing: str, place: Path, what: str = "ledger") -> StoreError:
    """A SQLite error met while `doing`, as the store's error; `Corrupt` where the file is damaged. what: the
    kind of file."""
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    why, fix = str(error), "check the file and the disk"
    if primary in _SQLITE_TROUBLE:
        why, fix = (text.format(what=what, file=place.name) for text in _SQLITE_TROUBLE[primary])
    if primary == sqlite3.SQLITE_CANTOPEN and not os.access(place.parent, os.W_OK):
        why, fix = _OS_TROUBLE[errno.EACCES]  # what SQLite couldn't open is a file that it has to make
    if primary == sqlite3.SQLITE_IOERR and _is_full(place.parent):
        why, fix = _OS_TROUBLE[errno.ENOSPC]  # so SQLite calls a shared-memory file that can't grow
    kind = Corrupt if primary == sqlite3.SQLITE_CORRUPT else StoreError
    return kind(f"can't {doing}", where=str(place), why=why, fix=fix)


def _is_full(folder: Path) -> bool:
    """Whether less is free than the files beside a ledger need to be made."""
    try:
        return shutil.disk_usage(folder).free < _LEAST
    except OSError:
        return False
