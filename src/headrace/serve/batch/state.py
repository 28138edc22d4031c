"""What of a batch is done, in its folder: one file, replaced whole; and one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from headrace.core.codec import from_json, to_json
from headrace.core.digest import digest
from headrace.core.errors import DataError, UserError
from headrace.serve.batch.part import Done
from headrace.serve.batch.plan import BatchPlan

STATE, LOCK, STAGED = "_batch.json", ".lock", "_source"
"""The state; the lock; the folder of what was read of a database."""


@dataclass(frozen=True)
class State:
    """A batch on its way. done: by part's number, as text. loaded: numbers of the parts that are in a table,
    by its address. finished: when, ISO (empty: it is not)."""

    id: str
    plan: BatchPlan
    done: Mapping[str, Done] = field(default_factory=dict)
    loaded: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    finished: str = ""

    @property
    def rows(self) -> int:
        """Scored so far."""
        return sum(d.rows for d in self.done.values())

    @property
    def rejected(self) -> int:
        """Rows that could not be scored."""
        return sum(d.rejected for d in self.done.values())

    @property
    def digest(self) -> str:
        """Of the whole output: the parts' digests in their order."""
        return digest([self.done[str(p.number)].digest for p in self.plan.parts])

    def with_part(self, done: Done) -> State:
        """With one part more."""
        return replace(self, done={**self.done, str(done.number): done})

    def with_loaded(self, address: str, number: int) -> State:
        """With a part in a table."""
        there = (*self.loaded.get(address, ()), number)
        return replace(self, loaded={**self.loaded, address: there})


def begin(folder: Path, plan: BatchPlan, *, again: bool) -> State:
    """The state to go on from: that of the folder where it is the same batch, else a new one. Parts that are
    not on the disk as they were are to be done again. again: what is there is thrown away.

    Raises:
        UserError: the folder holds another batch, or other files.
    """
    there = read_state(folder)
    if there is not None and there.id == plan.id and not again:
        kept = {n: d for n, d in there.done.items() if _whole(folder, plan, d)}
        if len(kept) == len(there.done):
            return there
        return replace(there, done=kept, finished="", loaded={})
    if there is not None and not again:
        raise UserError(
            "the folder holds another batch",
            where=str(folder),
            why="the release, the files to score or the options are not the same",
            fix="name another folder, or throw that batch away with --again",
        )
    if there is None and any(p.name not in (LOCK, STAGED) for p in folder.iterdir()):
        raise UserError(
            "the folder holds something else than a batch", where=str(folder), fix="name a new folder"
        )
    if there is not None:
        (folder / STATE).unlink()
    fresh = State(plan.id, plan)
    _sweep(folder, all_parts=True)
    keep(folder, fresh)
    return fresh


def _whole(folder: Path, plan: BatchPlan, done: Done) -> bool:
    path = folder / f"{plan.parts[done.number].name}{plan.ending}"
    return path.is_file() and path.stat().st_size == done.bytes


def sweep(folder: Path) -> None:
    """Remove what dead processes left in the making."""
    _sweep(folder, all_parts=False)


def _sweep(folder: Path, *, all_parts: bool) -> None:
    for path in folder.iterdir():
        made = path.name.startswith(".part-") or path.name.startswith(f".{STATE}")
        if made or (all_parts and path.name.startswith("part-")):
            path.unlink(missing_ok=True)


def read_state(folder: Path) -> State | None:
    """The state in a folder; None where there is none.

    Raises:
        DataError: it can't be read.
    """
    try:
        return from_json((folder / STATE).read_bytes(), State)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            "the batch's state can't be read", where=str(folder / STATE), why=str(error)[:200]
        ) from error


def keep(folder: Path, state: State) -> None:
    """Put a state in place, on the disk."""
    part = folder / f".{STATE}.part"
    with part.open("wb") as file:
        file.write(to_json(state))
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / STATE)
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Busy(UserError):
    """Another process works on the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process works on a folder; the lock goes with it, however it ends.

    Raises:
        Busy: another one does.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such locks: who starts two at once has to know
        yield
        return
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(
                "another process works on this batch", where=str(folder), fix="wait for it, or stop it"
            ) from None
        yield
