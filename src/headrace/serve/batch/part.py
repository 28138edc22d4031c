"""One part of a batch: scored by whoever is free, put in place whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.core.artifact import Artifact
from headrace.core.digest import digest_file
from headrace.serve.batch.file import open_for, temporary, write
from headrace.serve.batch.plan import Part
from headrace.serve.batch.rows import Scoring
from headrace.serve.rejects import Rejects


@dataclass(frozen=True)
class Done:
    """A part that is in place: rows scored and rejected, and its output's digest and bytes."""

    number: int
    rows: int
    rejected: int
    digest: str
    bytes: int


def score_part(
    scoring: Scoring,
    root: Path,
    part: Part,
    folder: Path,
    ending: str,
    *,
    keep: Sequence[str] = (),
    threads: int = 1,
    told: Callable[[int], None] = lambda rows: None,
) -> Done:
    """Score a part into `folder`: `part-00007.parquet`, and `part-00007.rejects.csv` where rows can't be
    scored. Each appears whole, on the disk, the output last; done again the same bytes are written.

    Raises:
        DataError: the file can't be read, or lacks a column.
    """
    output, aside = folder / f"{part.name}{ending}", folder / f"{part.name}.rejects.csv"
    opened = open_for(scoring.answerer.serving, root / part.file, part.groups, keep)
    made, made_aside = temporary(output), temporary(aside)
    rejects = Rejects(made_aside)
    try:
        rows = write(
            scoring, opened, made, ending, rejects, lambda _, done, total: told(done), threads, part.file
        )
        rejects.finish(opened)
        if rejects.count:
            _to_disk(made_aside)
            made_aside.replace(aside)
        else:
            aside.unlink(missing_ok=True)
        _to_disk(made)
        kept = Artifact(digest_file(made), made.stat().st_size)
        made.replace(output)
        return Done(part.number, rows, rejects.count, kept.digest, kept.size)
    finally:
        rejects.discard()
        made.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
