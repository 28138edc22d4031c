"""The prediction log and the labels of a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.clock import duration_micros, micros
from headrace.core.places import LOG, REVIEWS, STORE_DIR
from headrace.core.spec import FILE_NAME
from headrace.engine.context import Progress, silent
from headrace.project.base import ProjectBase

if TYPE_CHECKING:
    from headrace.logs.compact import Compacted
    from headrace.logs.erase import Erased
    from headrace.logs.labels import LabelBook, Taken
    from headrace.logs.match import Matched
    from headrace.logs.query import Select, Told
    from headrace.logs.status import LogStatus
    from headrace.logs.tail import Tail
    from headrace.release.plan import Plan


def _micros(duration: str) -> int:
    """A duration in microseconds.

    Raises:
        UserError: it is none.
    """
    from headrace.core.errors import UserError

    try:
        return duration_micros(duration)
    except ValueError as error:
        raise UserError(str(error)) from None


class Logging(ProjectBase):
    """What a `Project` answered, and what turned out to be true."""

    @property
    def log_folder(self) -> Path:
        """Where answers are kept: `.headrace/log`."""
        return self.root / STORE_DIR / LOG

    def log_query(self, sql: Select, *, as_of: datetime | None = None) -> Told:
        """Ask the log one SELECT over `predictions`, `labels` and `answered` (every prediction with its
        newest label); with `as_of`, labels that were known then. A function is given the names of the columns
        of `predictions`, and writes the SELECT.

        Raises:
            UserError: it is no single SELECT, or DuckDB refuses it.
        """
        from headrace.logs.match import matched_query

        until = None if as_of is None else micros(as_of)
        return matched_query(self.log_folder, self._book(), sql, until=until)

    def log_tail(self, *, last: timedelta | None = None) -> Tail:
        """Follow the log, beginning with what was answered within `last`."""
        from headrace.logs.tail import Tail

        start = None if last is None else micros(self._clock() - last)
        return Tail(self.log_folder, start=start)

    def log_compact(self, *, keep: str | None = None, progress: Progress = silent) -> Compacted:
        """Turn closed segments into Parquet, put small files together, and drop what is older than `keep`
        (default: `serve.log.keep` of the spec).

        Raises:
            StoreError: another process compacts, or the disk refused.
        """
        from headrace.logs.compact import compact

        keep_us = self._wanted().log.keep_us if keep is None else _micros(keep)
        return compact(
            self.log_folder,
            self.store,
            keep_us=keep_us,
            clock=self._clock,
            actor=self.actor,
            progress=lambda text, done, total: progress("log", text, done, total),
        )

    def log_status(self) -> LogStatus:
        """What the log's folder holds."""
        from headrace.logs.status import status

        return status(self.log_folder, self._book())

    def log_erase(self, name: str, *, column: str | None = None) -> Erased:
        """Erase all answers, labels and reviewers' items about somebody: rows whose input `column` (default:
        the spec's `serve.log.subject`) is `name`, also where releases hash it. The ledger gets a tombstone.

        Raises:
            UserError: no column is given, or its hashes need a key that is not there.
            StoreError: somebody else compacts, or a writer does not let go of its segment.
        """
        from headrace.core.errors import UserError
        from headrace.engine.releases import load_manifest
        from headrace.logs.erase import Subject, erase
        from headrace.serve.answer import secret_of
        from headrace.serve.labelled import treated_text
        from headrace.stores.reviews import SqliteReviews

        plan = self._wanted()
        of = column or plan.log.subject
        if not of:
            raise UserError(
                "it is not said which column names whom a row is about",
                fix="give --column NAME, or write `serve: {log: {subject: NAME}}`",
            )
        values = {name: None}
        whole, point, fraction = name.partition(".")
        if point and not fraction.strip("0"):
            values[whole] = None  # 5.0 is written so, too
        for release in self.releases().releases.values():
            serving = load_manifest(self.store, release).serving
            how = serving.treated.get(of)
            if how is not None:
                secret = secret_of([how], serving.pii_key)
                values[treated_text(of, name, how, secret) or name] = None
        subject = Subject(of, tuple(values), units=plan.unit == of)
        erased = erase(
            self.log_folder, subject, self.store, self._book(), clock=self._clock, actor=self.actor
        )
        # Behind the log, which may refuse: nothing is erased then.
        SqliteReviews(self.root / STORE_DIR / REVIEWS).erase(of, tuple(values))
        return erased

    def _wanted(self) -> Plan:
        """How the spec wants answers to be kept; without a spec, how the champion does."""
        from headrace.release.plan import LogPlan, Plan

        if (self.root / FILE_NAME).is_file():
            serve = self.spec(locked=False).spec.serve
            if serve is None:
                return Plan()
            keep = None if serve.log.keep is None else _micros(serve.log.keep)
            return Plan(unit=serve.unit, log=LogPlan(keep_us=keep, subject=serve.log.subject))
        champion = self.releases().champion
        return Plan() if champion is None else self.release(champion.release)[1].plan

    def _book(self) -> LabelBook:
        from headrace.logs.labels import LabelBook

        return LabelBook(self.log_folder, clock=self._clock)

    def labels(self) -> LabelBook:
        """The labels, to take more or to read them. Inputs are kept as the champion's log has them, labels as
        its task has them; what its task can't have is refused."""
        from headrace.logs.labels import LabelBook

        champion = self.releases().champion
        if champion is None:
            return self._book()
        from headrace.serve.labelled import as_logged, as_truth

        serving = self.release(champion.release)[1].serving
        return LabelBook(
            self.log_folder, clock=self._clock, treat=as_logged(serving), fit=as_truth(serving.task)
        )

    def label(self, rows: Sequence[Mapping[str, Any]], *, source: str = "") -> tuple[Taken, Matched]:
        """Keep labels (see `LabelBook.take`), and match those that were sent by inputs."""
        from headrace.logs.match import match

        book = self.labels()
        return book.take(list(rows), source=source), match(self.log_folder, book)

    def label_file(
        self, file: str | Path, *, source: str = "", progress: Progress = silent
    ) -> tuple[Taken, Matched]:
        """`label` for a CSV, Parquet or JSON-lines file. Labels before a line that can't be read are kept.

        Raises:
            DataError: it can't be read, or has other columns than labels have.
        """
        from headrace.logs.label_files import batches
        from headrace.logs.labels import Taken
        from headrace.logs.match import match

        book, taken, rows = self.labels(), Taken(), 0
        for batch in batches(Path(file)):
            taken.add(book.take(batch, source=source, first=rows))
            rows += len(batch)
            progress("label", "rows", rows, 0)
        return taken, match(self.log_folder, book)
