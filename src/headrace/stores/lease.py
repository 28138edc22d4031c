"""A lease: one process of a machine at a time, until it lets go or dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO


class Lease:
    """A lock of the operating system on a file: one process has it, until it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def held(self) -> bool:
        """Whether it is ours, taken now if it was free."""
        if self._file is not None:
            return True
        file = self._path.open("ab", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        with suppress(OSError):  # for people who wonder which one it is: a full disk is no reason not to act
            file.truncate(0)
            file.write(b"%d\n" % os.getpid())
        return True

    def free(self) -> None:
        """Let another have it."""
        if self._file is not None:
            self._file.close()
        self._file = None
