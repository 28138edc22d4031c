"""The rows that can't be scored: kept aside while the file is read, then written with their lines."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from headrace.serve.source import Source

HEADER = ["row", "line", "reason"]


class Rejects:
    """A rejects file in the making at `part`, where nothing is created before the first row comes. Live."""

    def __init__(self, part: Path) -> None:
        self.count = 0
        self._part = part
        self._spool: TextIO | None = None
        self._spooled = part.with_name(part.name + ".rows")

    def add(self, rows: Iterable[tuple[int, str]]) -> None:
        """Keep rows (number from 1, reason), in ascending order over all calls."""
        for row in rows:
            if self._spool is None:
                self._spool = self._spooled.open("w", encoding="utf-8", newline="")
            csv.writer(self._spool).writerow(row)
            self.count += 1

    def finish(self, source: Source) -> None:
        """Write the file at `part`, each row with the line where it begins (empty where that isn't known)."""
        if self._spool is None:
            return
        self._spool.close()
        lines = source.lines(int(row) for row, _ in self._rows())
        with self._part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            writer.writerows(
                [row, "" if line is None else line, reason]
                for (row, reason), line in zip(self._rows(), lines, strict=True)
            )

    def discard(self) -> None:
        """Remove what is left in the making."""
        if self._spool is not None:
            self._spool.close()
        self._spooled.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)

    def _rows(self) -> Iterator[list[str]]:
        with self._spooled.open(encoding="utf-8", newline="") as file:
            yield from csv.reader(file)


def is_rejects(path: Path) -> bool:
    """Whether a file is a rejects file of an earlier run."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.readline(100).strip() == ",".join(HEADER)
    except (OSError, UnicodeDecodeError):
        return False
