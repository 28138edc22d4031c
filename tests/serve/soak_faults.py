"""What happens to a server in a soak, and what is seen of its processes: by /proc, so on Linux."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from served import Running


@dataclass(frozen=True)
class Kill:
    """A worker that was killed; ports: its callers' own."""

    at: float
    pid: int
    ports: frozenset[int]


@dataclass
class _Beside:
    """Does something in a thread beside the block, as long as that lasts."""

    server: Running

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        raise NotImplementedError


@dataclass
class Killer(_Beside):
    """Kills the oldest worker again and again, as long as the block lasts. spared: lives."""

    every: float
    kills: list[Kill] = field(default_factory=list)
    spared: int = 0

    def spare(self) -> None:
        """Let the worker live that is the youngest now."""
        self.spared = by_age(self.server)[-1]

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            # On a machine so busy that beginning takes longer than this, some worker has to live.
            while not (found := self._victim()) and not self._stop.wait(0.2):
                pass
            if found:
                with contextlib.suppress(ProcessLookupError):  # it drained, and has ended
                    self.kills.append(kill(found, self.server.port))

    def _victim(self) -> int:
        """The oldest that answers and is not spared, if another answers too; else 0."""
        answering = [pid for pid in by_age(self.server) if callers_of(pid, self.server.port)]
        victims = [pid for pid in answering if pid != self.spared]
        return victims[0] if victims and len(answering) > 1 else 0


def kill(pid: int, port: int) -> Kill:
    """Stop it first: then the connections that it has are those that break."""
    os.kill(pid, signal.SIGSTOP)
    ports = callers_of(pid, port)
    os.kill(pid, signal.SIGKILL)
    return Kill(time.monotonic(), pid, ports)


def callers_of(pid: int, port: int) -> frozenset[int]:
    """The other ends of the connections that a process has on a port."""
    links: list[str] = []
    with contextlib.suppress(FileNotFoundError):  # it has ended
        links = [_link(p) for p in Path(f"/proc/{pid}/fd").iterdir()]
    mine = {link[8:-1] for link in links if link.startswith("socket:[")}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = f":{port:04X}"
    return frozenset(int(f[2][-4:], 16) for f in lines if f[9] in mine and f[1].endswith(here))


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed in the meantime
        return ""


def by_age(server: Running) -> list[int]:
    """Its workers, the oldest first."""
    found = []
    for pid in server.children():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            found.append((int(fields[19]), pid))
    return [pid for _, pid in sorted(found)]


@dataclass
class Memory(_Beside):
    """Resident megabytes of a server's processes, every second as long as the block lasts: the supervisor's,
    the largest worker's, and each one's."""

    supervisor: list[float] = field(default_factory=list)
    largest: list[float] = field(default_factory=list)
    each: dict[int, list[float]] = field(default_factory=dict)

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            workers = {pid: mb for pid in by_age(self.server) if (mb := resident(pid))}
            for pid, mb in workers.items():
                self.each.setdefault(pid, []).append(mb)
            if workers:
                self.largest.append(max(workers.values()))
                self.supervisor.append(resident(self.server.process.pid))


def resident(pid: int) -> float:
    """Megabytes; 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[str]:
    """A file system of its own at `place`, as long as the block lasts; or the reason why not."""
    image = place.parent.with_suffix(".img")
    place.mkdir(parents=True, exist_ok=True)
    why = "mkfs.ext4, mount or umount is not installed"
    if all(shutil.which(c) for c in ("mkfs.ext4", "mount", "umount")):
        with image.open("wb") as file:
            file.truncate(int(size[:-1]) << {"M": 20, "G": 30}[size[-1]])
        why = _done("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        why = why or _done("mount", "-o", "loop", str(image), str(place))
    try:
        yield why
    finally:
        if not why:
            _done("umount", "-l", str(place))
        image.unlink(missing_ok=True)


def _done(*command: str) -> str:
    """What went wrong; empty: nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stderr or done.stdout).strip().splitlines()
    return (said[0] if said else f"{command[0]}: exit code {done.returncode}") if done.returncode else ""


def fill(folder: Path) -> Path:
    """Take all the room that is left, down to the last block; the file that has it."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        at = 0
        for piece in (64 << 20, 1 << 20, 64 << 10, 4 << 10):
            while True:
                try:
                    os.posix_fallocate(file.fileno(), at, piece)
                except OSError:
                    break
                at += piece
    return ballast
