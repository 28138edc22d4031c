"""Rows against what a release was made on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.project.base import ProjectBase

if TYPE_CHECKING:
    from headrace.checks.compared import Compared


class Comparing(ProjectBase):
    """What a `Project` compares."""

    def drift(
        self,
        file: str | Path,
        release: str | None = None,
        *,
        level: float = 0.05,
        tell: Callable[[int], None] = lambda rows: None,
    ) -> Compared:
        """Every column of a file of rows (Parquet, CSV, JSON lines) against the reference of a release
        (default: the champion). level: the share of files that are beyond a threshold while nothing changes.

        Raises:
            NotFound: there is no such release.
            UserError: the release has no reference.
            DataError: the file can't be read, or has none of the columns.
        """
        from headrace.engine.drift import drift_of_file

        found, manifest = self.release(release)
        return drift_of_file(self.store, found, manifest, Path(file), level=level, tell=tell)
