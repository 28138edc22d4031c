"""A batch's parts: which rows of which files are scored together, before anything is."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.core.codec import to_plain
from headrace.core.digest import digest
from headrace.core.errors import DataError
from headrace.serve.source import Groups

PART = 500_000
"""Rows of a part of a Parquet file, about: what a killed process has to do again."""
ENDINGS = (".csv", ".tsv", ".parquet", ".pq", ".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Input:
    """A file to score. name: below the folder that all are in; size and changed (nanoseconds) tell whether it
    is still the same."""

    name: str
    size: int
    changed: int


@dataclass(frozen=True)
class Part:
    """Rows that are scored together: of one file, whole or (Parquet) some of its row groups."""

    number: int
    file: str
    groups: Groups | None = None

    @property
    def name(self) -> str:
        """What its files are called, without ending."""
        return f"part-{self.number:05}"


@dataclass(frozen=True)
class BatchPlan:
    """All that decides what comes out. root: the folder that the inputs' names begin in (not part of it).
    keep: columns of the inputs that stand beside the answers."""

    root: str
    release: str
    inputs: tuple[Input, ...]
    parts: tuple[Part, ...]
    ending: str
    explain: int = 0
    keep: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Another release, file or option is another batch."""
        told = {k: v for k, v in to_plain(self).items() if k != "root"}
        return digest(told)[:16]


def plan_batch(
    source: str,
    release: str,
    *,
    ending: str = ".parquet",
    explain: int = 0,
    keep: Sequence[str] = (),
    rows: int = PART,
) -> BatchPlan:
    """The plan of scoring a file, a folder with all files below it, or those that match a pattern (`*`, `?`,
    `[…]`, `**`). Files whose names begin with `.` or `_` are left out.

    Raises:
        DataError: there is no such file, none of a kind that can be scored, or one is no Parquet file.
    """
    root, files = _files(source)
    inputs: list[Input] = []
    parts: list[Part] = []
    for file in files:
        status = file.stat()
        name = file.relative_to(root).as_posix()
        inputs.append(Input(name, status.st_size, status.st_mtime_ns))
        for groups in _groups(file, rows):
            parts.append(Part(len(parts), name, groups))
    return BatchPlan(str(root), release, tuple(inputs), tuple(parts), ending, explain, tuple(keep))


def is_many(source: str) -> bool:
    """Whether a source is a folder or a pattern."""
    return Path(source).is_dir() or (glob.has_magic(source) and not Path(source).exists())


def _files(source: str) -> tuple[Path, list[Path]]:
    path = Path(source)
    if path.is_file():
        return path.resolve().parent, [path.resolve()]
    if path.is_dir():
        root = path.resolve()
        found: Sequence[Path] = sorted(p for p in root.rglob("*") if p.is_file())
    else:
        # The part before the first wildcard is where names begin.
        fixed = list(_before_magic(path))
        root = Path(*fixed).resolve() if fixed else Path.cwd()
        pattern = str(Path(*path.parts[len(fixed) :]))
        found = sorted(p for p in root.glob(pattern) if p.is_file())
    files = [p for p in found if _wanted(p.relative_to(root))]
    if not files:
        raise DataError(
            "there is nothing to score",
            where=source,
            why=f"{len(found)} files are there, none of a kind that is read" if found else "no file is there",
            fix=f"give files ending in {', '.join(ENDINGS)}",
        )
    return root, files


def _before_magic(path: Path) -> Iterator[str]:
    for part in path.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _wanted(path: Path) -> bool:
    if any(p.startswith((".", "_")) for p in path.parts):
        return False
    bare = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    return bare.endswith(ENDINGS) and not bare.endswith(".rejects.csv")


def _groups(path: Path, rows: int) -> list[Groups | None]:
    """A Parquet file's row groups, as many together as hold about so many rows."""
    if path.suffix.lower() not in (".parquet", ".pq"):
        return [None]
    import pyarrow as pa

    from headrace.data.parquet import open_file

    try:
        metadata = open_file(path).metadata
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            "the file is no Parquet file, or is cut short", where=str(path), why=str(error)[:200]
        ) from error
    found: list[Groups | None] = []
    first = row = held = 0
    for at in range(metadata.num_row_groups):
        held += metadata.row_group(at).num_rows
        if held >= rows or at == metadata.num_row_groups - 1:
            found.append(Groups(first, at + 1 - first, row + 1, held))
            first, row, held = at + 1, row + held, 0
    return found or [None]
