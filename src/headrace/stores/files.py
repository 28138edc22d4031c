"""Artifacts as files: `artifacts/ab/cdef…`, named by the SHA-256 of their bytes.

Bytes are written to `tmp/` on the same file system, forced to the disk, and only then moved under their
name: a process killed at any point leaves the whole artifact or none. Files are read-only; whoever edits
one by hand nevertheless is found by `audit`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from headrace.core.artifact import Artifact
from headrace.core.digest import digest_bytes, digest_file
from headrace.core.errors import DataError, NotFound
from headrace.stores.trouble import os_trouble

_BLOCK = 1 << 20
_NAME = re.compile(r"[0-9a-f]{64}")
_STALE_SECONDS = 86_400.0
_TMP_NAME = re.compile(r"([0-9a-f]{8})-(\d+)-[0-9a-f]{16}.*")


class Files:
    """The artifacts of one folder. Nothing is created before the first `put` or `scratch`."""

    def __init__(self, root: Path) -> None:
        self.artifacts_folder = root / "artifacts"
        self.tmp_folder = root / "tmp"
        self._swept = False

    def put(self, source: bytes | Path) -> Artifact:
        if isinstance(source, Path):
            return self._adopt(source) if self._is_scratch(source) else self._copy(source)
        artifact = Artifact(digest_bytes(source), len(source))
        if not self._is_whole(artifact):
            fresh = self.scratch()
            try:
                with self._medium(fresh), fresh.open("xb") as out:
                    out.write(source)
                    _to_disk(out)
                self._place(fresh, artifact)
            finally:
                _discard(fresh)
        return artifact

    def get(self, digest: str) -> Path:
        path = self._path(digest) if _NAME.fullmatch(digest) else None
        if path is None or not path.is_file():
            raise NotFound(
                f"no artifact {digest}",
                where=str(self.artifacts_folder),
                why="it was never put here, or its file was removed",
                fix="run again what makes it, or restore the store from a backup",
            )
        return path

    def has(self, digest: str) -> bool:
        return _NAME.fullmatch(digest) is not None and self._path(digest).is_file()

    def artifacts(self) -> Iterator[Artifact]:
        if not self.artifacts_folder.is_dir():
            return
        for shard in sorted(self.artifacts_folder.iterdir()):
            if not shard.is_dir():
                continue
            for path in sorted(shard.iterdir()):
                name = shard.name + path.name
                if _NAME.fullmatch(name):
                    yield Artifact(name, path.stat().st_size)

    def scratch(self, suffix: str = "") -> Path:
        """A fresh path for a file or folder that the caller makes; `put` moves files made there."""
        with self._medium(self.tmp_folder):
            self.tmp_folder.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            sweep(self.tmp_folder)
        return self.tmp_folder / f"{_host()}-{os.getpid()}-{secrets.token_hex(8)}{suffix}"

    def _adopt(self, source: Path) -> Artifact:
        """Move a scratch file under its name."""
        with self._medium(source):
            artifact = Artifact(digest_file(source), source.stat().st_size)
            if self._is_whole(artifact):
                _discard(source)
                return artifact
            with source.open("rb") as written:
                os.fsync(written.fileno())
        self._place(source, artifact)
        return artifact

    def _copy(self, source: Path) -> Artifact:
        """Hash while copying, so that a large file is read once."""
        try:
            reader = source.open("rb")
        except OSError as error:
            raise DataError(
                "this file can't be kept",
                where=str(source),
                why=error.strerror or str(error),
                fix="check the path",
            ) from error
        fresh = self.scratch()
        try:
            with reader:
                artifact = self._copy_from(reader, fresh, source)
            if not self._is_whole(artifact):
                self._place(fresh, artifact)
        finally:
            _discard(fresh)
        return artifact

    def _copy_from(self, reader: BinaryIO, fresh: Path, source: Path) -> Artifact:
        sha = hashlib.sha256()
        size = 0
        with self._medium(fresh), fresh.open("xb") as out:
            while block := _read_block(reader, source):
                sha.update(block)
                size += len(block)
                out.write(block)
            _to_disk(out)
        return Artifact(sha.hexdigest(), size)

    def _place(self, fresh: Path, artifact: Artifact) -> None:
        """Move a finished file under its digest; a file of that name with another length is replaced."""
        target = self._path(artifact.digest)
        with self._medium(target):
            new_shard = not target.parent.is_dir()
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh.chmod(0o444)
            fresh.replace(target)
            _sync_folder(target.parent)
            if new_shard:
                _sync_folder(self.artifacts_folder)

    def _path(self, digest: str) -> Path:
        return self.artifacts_folder / digest[:2] / digest[2:]

    def _is_whole(self, artifact: Artifact) -> bool:
        """Whether the file is there with its length; a cut or grown file is not reused."""
        try:
            return self._path(artifact.digest).stat().st_size == artifact.size
        except OSError:
            return False

    def _is_scratch(self, source: Path) -> bool:
        """Whether only we know this file. A link has another owner, whose edits would change the artifact."""
        if source.is_symlink() or not source.parent.resolve().is_relative_to(self.tmp_folder.resolve()):
            return False
        return source.is_file() and source.stat().st_nlink == 1

    @contextlib.contextmanager
    def _medium(self, place: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise os_trouble(error, "keep an artifact", place) from error


def sweep(folder: Path) -> None:
    """Remove what dead processes left in `folder`.

    What a process of this host made goes when the process is gone; what one of another host made (a shared
    folder, a container) when it is a day old, as nobody here can tell whether that process lives.
    """
    now = time.time()
    for path in folder.iterdir():
        match = _TMP_NAME.fullmatch(path.name)
        if match is None:
            continue
        with contextlib.suppress(OSError):  # somebody else sweeps too
            if match[1] == _host() and os.name == "posix":
                stale = not alive(int(match[2]))
            else:
                stale = now - path.stat().st_mtime > _STALE_SECONDS
            if stale and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif stale:
                path.unlink()


def alive(pid: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    name = os.uname().nodename if os.name == "posix" else "host"
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _read_block(reader: BinaryIO, source: Path) -> bytes:
    try:
        return reader.read(_BLOCK)
    except OSError as error:
        raise DataError(
            "this file can't be read to its end",
            where=str(source),
            why=error.strerror or str(error),
            fix="check the disk that it is on",
        ) from error


def _to_disk(out: BinaryIO) -> None:
    out.flush()
    os.fsync(out.fileno())


def _sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, where the system knows how."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):  # what stays is swept when its process is gone
        path.unlink(missing_ok=True)
