"""Batches: many files, or a table, scored by several processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.places import LOG, STORE_DIR
from headrace.engine.context import Progress, silent
from headrace.project.base import ProjectBase

if TYPE_CHECKING:
    from headrace.serve.batch.run import Batch


class Batching(ProjectBase):
    """What a `Project` scores at scale."""

    def score(
        self,
        source: str | Path,
        output: str | Path,
        *,
        release: str | None = None,
        workers: int = 1,
        explain: int = 0,
        query: str = "",
        ending: str = ".parquet",
        keep: Sequence[str] = (),
        to: str = "",
        key: Sequence[str] = (),
        log: bool = False,
        again: bool = False,
        progress: Progress = silent,
    ) -> Batch:
        """Score a file, a folder of files, those that match a pattern, or a table of a database into a folder
        of parts, each row once, however often it is started: see `serve.batch.run.run_batch`.

        query: of a database, in place of a table. ending: of the parts, .parquet or .csv. keep: columns of
        the source that stand beside the answers. to: a table that takes the answers too (`duckdb:FILE#TABLE`,
        `$VARIABLE#TABLE`), by `key`. log: whether the prediction log does, with what was read of each row.
        again: throw away what the folder holds of a batch.

        Raises:
            UserError: the output holds something else, or another process works on it.
            DataError: a file can't be read, or lacks a column that the release needs.
        """
        from headrace.serve.batch.database import database_of, stage, unstage
        from headrace.serve.batch.log import logger
        from headrace.serve.batch.plan import plan_batch
        from headrace.serve.batch.run import run_batch
        from headrace.serve.batch.to import loader

        found, manifest = self.release(release)
        folder = Path(output)
        loads = [loader(to, Path.cwd(), key)] if to else []
        table = database_of(str(source), query)
        if table is not None:
            if again:
                unstage(folder)
            source = stage(table, Path.cwd(), folder)
        plan = plan_batch(str(source), found.release, ending=ending, explain=explain, keep=keep)
        where = self.root / STORE_DIR / LOG
        kept = [logger(self.store, manifest, plan, where, self._clock)] if log else []
        done = run_batch(
            self.store,
            manifest,
            found.manifest,
            plan,
            folder,
            actor=self.actor,
            clock=self._clock,
            workers=workers,
            again=again,
            loads=[*loads, *kept],
            progress=lambda text, done, total: progress("predict", text, done, total),
        )
        if table is not None:
            unstage(folder)
        return done
