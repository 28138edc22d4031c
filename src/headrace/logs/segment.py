"""Segments: the files that answers are appended to, `segments/<worker>-<start>.seg`.

Each has one writer, which holds a lock (flock) on it as long as it lives: what nobody holds is closed for
ever, also when its process was killed. A buffered writer that runs out of room holds its last segment until
what it has taken is written to the next. Keep the log on a local disk.

What has to be on the disk at once is written into room that was made for it: a file that grows with every
write has its new size put on the disk each time, behind whatever else the disk's journal holds (on ext4 an
fdatasync took .15 ms instead of .1, and one in a hundred 7 instead of .25). Until a segment is closed there
may be zeros behind its entries.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from pathlib import Path

from headrace.core.errors import StoreError
from headrace.logs.frames import HEADER

FOLDER = "segments"
ROTATE = "rotate"
"""A file whose touch asks all writers to close their segments, empty ones too, and begin new ones."""
SUFFIX = ".seg"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a medium says that may have room again."""
_ROOM = 1 << 18
"""Bytes that are made room for at once."""
_WORKER = re.compile(r"[A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*")

_sync = getattr(os, "fdatasync", os.fsync)


class SegmentFile:
    """A segment being written. For one thread."""

    def __init__(self, folder: Path, worker: str, start: int) -> None:
        """Make the file and lock it, before anybody sees it under its name.

        Raises:
            OSError: the medium refused; nothing is left.
        """
        if not _WORKER.fullmatch(worker):
            raise ValueError(f"{worker!r} can't be a part of a file's name")
        segments = folder / FOLDER
        if not segments.is_dir():
            segments.mkdir(parents=True, exist_ok=True)
            for above in (folder, folder.parent):
                sync_folder(above)
        while (path := segments / f"{worker}-{start}{SUFFIX}").exists():
            start += 1
        fresh = path.with_suffix(f".{os.getpid()}.new")
        self._fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            os.pwrite(self._fd, HEADER, 0)
            _sync(self._fd)
            fresh.rename(path)
            sync_folder(segments)
        except OSError:
            os.close(self._fd)
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        self.path = path
        self.start = start
        self.end = len(HEADER)
        self._room = self.end

    @property
    def has_entries(self) -> bool:
        """Whether anything was written."""
        return self.end > len(HEADER)

    def write(self, data: bytes, *, sync: bool) -> None:
        """Append bytes, all or none; with `sync` they are on the disk afterwards.

        Raises:
            OSError: the medium refused. What was written of them is taken back where that is possible; else
                it is the torn end of a segment, which readers skip.
        """
        try:
            if sync and self.end + len(data) > self._room:
                self._make_room(self.end + len(data))
            done = 0
            view = memoryview(data)
            while done < len(data):
                done += os.pwrite(self._fd, view[done:], self.end + done)
            if sync:
                _sync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                self._give_back()
            raise
        self.end += len(data)

    def _make_room(self, upto: int) -> None:
        """As far as that, and for more that may follow. Where the disk has none, writing finds out."""
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(self._fd, self.end, upto - self.end + _ROOM)
            self._room = upto + _ROOM
        except OSError:
            self._give_back()

    def _give_back(self) -> None:
        os.ftruncate(self._fd, self.end)
        self._room = self.end

    def sync(self) -> None:
        """Force to the disk what was written, and leave no room behind it. Raises `OSError`."""
        if self._room > self.end:
            self._give_back()
        _sync(self._fd)

    def room(self) -> int:
        """Bytes that the disk takes yet."""
        told = os.fstatvfs(self._fd)
        return told.f_bavail * told.f_frsize

    def close(self) -> None:
        """Let go of the file; one without entries goes. Raises nothing."""
        with contextlib.suppress(OSError):
            if not self.has_entries:
                self.path.unlink()
            elif self._room > self.end:
                self._give_back()
        with contextlib.suppress(OSError):
            os.close(self._fd)


def segments(folder: Path) -> list[Path]:
    """The segments that are there, oldest name first."""
    try:
        return sorted(p for p in (folder / FOLDER).iterdir() if p.suffix == SUFFIX)
    except FileNotFoundError:
        return []


def size_of(path: Path) -> int:
    """A segment's bytes, without the room behind them (nor zeros at their end); 0 where it is gone, as its
    writer wrote nothing to it.

    Raises:
        StoreError: it can't be read.
    """
    fd = opened(path)
    if fd is None:
        return 0
    try:
        size = at = os.fstat(fd).st_size
        while at == size and size:
            at = max(size - _ROOM, 0)
            size = at + len(os.pread(fd, size - at, at).rstrip(b"\0"))
        return size
    finally:
        os.close(fd)


def opened(path: Path) -> int | None:
    """A segment to read from; None where it is gone, as its writer wrote nothing to it.

    Raises:
        StoreError: the file can't be read.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise trouble(error, "read the prediction log", path) from error


def is_open(path: Path) -> bool:
    """Whether a living process holds the segment. False where it is gone.

    Raises:
        StoreError: the file can't be looked at.
    """
    fd = opened(path)
    if fd is None:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def ask_to_rotate(folder: Path) -> None:
    """Ask all writers to begin new segments; they do within a second, where their disk has room."""
    marker = folder / ROTATE
    marker.touch()
    told = marker.stat()
    os.utime(marker, ns=(told.st_atime_ns, told.st_mtime_ns + 1))  # two touches within a tick differ


def rotation(folder: Path) -> int:
    """What changes whenever writers are asked to rotate."""
    try:
        return (folder / ROTATE).stat().st_mtime_ns
    except OSError:
        return 0


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk. Raises `OSError`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_WHY = {
    errno.ENOSPC: ("the disk is full", "free some space; the log goes on by itself"),
    errno.EDQUOT: ("the disk quota is used up", "free some space; the log goes on by itself"),
    errno.EFBIG: ("the file would grow beyond the limit for one file", "raise the limit (`ulimit -f`)"),
    errno.EROFS: ("the folder is read-only", "choose a folder that can be written to"),
    errno.EACCES: ("the folder is read-only", "choose a folder that this user can write to"),
}


def trouble(error: OSError, doing: str, place: Path) -> StoreError:
    """What the medium refused, as the log's error."""
    why, fix = _WHY.get(error.errno or 0, (error.strerror or str(error), "check the folder and the disk"))
    return StoreError(f"can't {doing}", where=str(place), why=why, fix=fix)
