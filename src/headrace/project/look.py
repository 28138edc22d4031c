"""What looks: profiles, snapshots, comparisons, reports, documents, health, the audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.errors import UserError
from headrace.core.spec import ParsedSpec
from headrace.core.views import RUN_KINDS, RunView, runs
from headrace.engine.context import Context, Progress, silent
from headrace.project.base import ProjectBase

if TYPE_CHECKING:
    from headrace.core.catalogue import FeatureTold
    from headrace.core.told import RunTold
    from headrace.data.profile.record import Profile
    from headrace.data.versions import TableDiff
    from headrace.engine.data import PersonalColumn, Version
    from headrace.engine.health import Health
    from headrace.learn.search.record import SearchRecord
    from headrace.report.document import Document
    from headrace.report.made import Report
    from headrace.stores.audit import AuditReport


class Looking(ProjectBase):
    """What can be seen of a `Project`."""

    def profile(self) -> Profile:
        """What the tables hold, as the newest run read them: the training rows of the events, all rows of
        side tables. Other rows are seen from outside, blind to the target.

        Raises:
            NotFound: no run has read the tables yet.
        """
        from headrace.engine.check import check
        from headrace.engine.profiles import newest_profile

        parsed = self.spec()
        seen = runs(self.store.read(kinds=RUN_KINDS))
        return newest_profile(self.store, seen, parsed.spec, lambda: check(parsed, self.root).target.columns)

    @staticmethod
    def profile_file(file: str | Path) -> Profile:
        """What every row of a CSV, Parquet or JSON-lines file holds, read once.

        Raises:
            DataError: there is no such file, it has no rows, or it is broken.
        """
        from headrace.data.profile.file import profile_file

        return profile_file(Path(file))

    def sql(
        self, dialect: str = "duckdb", *, tables: Mapping[str, str] | None = None, position: str | None = None
    ) -> str:
        """The spec's lookups and histories as one SQL query of `duckdb`, `postgres` or `spark`, for a
        database that holds the tables. `tables` says what a table is called there, `position` names a column
        that tells a row's place: it decides between rows of the same time.

        Raises:
            SpecError: the spec has mistakes.
            UserError: there is no such dialect or table.
            ExprError: the dialect has no exact form of an operation.
        """
        from headrace.engine.sql import spec_sql

        return spec_sql(self.spec(), self.root, dialect, relations=tables, position=position)

    def data(self) -> tuple[Version, ...]:
        """Every snapshot of every table: rows, age, and the runs that used it."""
        from headrace.engine.data import TablesFold, versions

        return self._follow(TablesFold).ask(lambda fold: versions(self.store, fold, self._clock))

    def profiled(self) -> str:
        """The newest run that made a profile of its tables; empty where there is none."""
        from headrace.engine.data import TablesFold

        return self._follow(TablesFold).ask(lambda fold: fold.profiled[1])

    def data_diff(self, first: str, second: str) -> tuple[TableDiff, ...]:
        """What differs between two snapshots of a table (beginnings of digests), or the tables of two runs.

        Raises:
            NotFound: no run or snapshot goes by that name.
        """
        from headrace.engine.data import TablesFold, compare, tables_of

        tables = self._follow(TablesFold)
        return compare(
            self.store,
            lambda name: tables.ask(lambda fold: tables_of(fold, name)),
            self.spec().spec,
            first,
            second,
        )

    def personal(self, *, progress: Progress = silent) -> tuple[PersonalColumn, ...]:
        """The sources' columns that look personal or have a treatment. Reads every row, keeps nothing.

        Raises:
            DataError: a source can't be read.
        """
        from headrace.engine.data import personal

        return personal(self.spec().spec, self.root, progress=progress)

    def find(self, where: str) -> tuple[RunView, ...]:
        """The runs for which an expression is true: `metrics.f1 > 0.4 and tags.team = 'a'`.

        Raises:
            UserError: the expression has a mistake.
        """
        from headrace.engine.tracking.search import find_runs

        return tuple(find_runs(self.runs(), where))

    def trials(self, run: str | None = None) -> tuple[SearchRecord, dict[str, list[float]]]:
        """What a run's search tried (default: the newest run), and the seconds of every trial by model.

        Raises:
            NotFound: there is no such run, or it searched no parameters.
        """
        from headrace.engine.searches import search_of

        return search_of(self.store, self.show(run))

    def compare(self, *names: str, progress: Progress = silent) -> dict[str, Any]:
        """What differs between runs, releases and scripts' runs: spec, data, artifacts, metrics, gates; and
        of each against the first, whether its metric differs beyond noise on the same fresh rows.

        Raises:
            NotFound: there is no such run or release.
            UserError: fewer than two are named.
        """
        from headrace.engine.compare import compare

        if len(names) < 2:
            raise UserError("there is nothing to compare", fix="name two runs or releases, or more")

        def context(spec: ParsedSpec) -> Context:
            return Context(self.root, self.store, spec, self._clock, self.actor, run="", progress=progress)

        return compare(self.store, names, context)

    def told(self, run: str | None = None) -> RunTold:
        """All that is kept of a run (default: the newest): what its report is made of.

        Raises:
            NotFound: there is no such run.
        """
        from headrace.engine.telling import told_of

        return told_of(self.store, self.show(run))

    def report(self, run: str | None = None) -> Report:
        """A run (default: the newest) as one self-contained HTML page, however far it came.

        Raises:
            NotFound: there is no such run.
        """
        from headrace.report.run import run_report

        return run_report(self.told(run))

    def card(self, release: str | None = None) -> Report:
        """The model card of a release (default: the champion), as HTML and Markdown.

        Raises:
            NotFound: there is no such release.
        """
        from headrace.report.card import model_card

        found, manifest = self.release(release)
        return model_card(manifest, found, self.told(manifest.run))

    def document(self) -> Document:
        """The design document, from the spec as it stands and the ledger. `headrace.report.document` turns it
        into Markdown or HTML: `to_markdown(project.document())`.

        Raises:
            SpecError: the spec has mistakes.
        """
        from headrace.engine.needs import require_training

        require_training()
        from headrace.engine.document_data import gather
        from headrace.report.document import document_of

        return document_of(gather(self.store, self.spec(), self.root))

    def features(self) -> tuple[FeatureTold, ...]:
        """Every feature of the spec and of its lock, and the proposals that were not kept.

        Raises:
            SpecError: the spec or the lock has mistakes.
        """
        from headrace.engine.needs import require_training

        require_training()
        from headrace.engine.catalogue import catalogue
        from headrace.engine.document_data import gather

        parsed = self.spec()
        return catalogue(parsed, gather(self.store, parsed, self.root))

    def health(self) -> Health:
        """How well the project is kept: lineage, reproducibility, gates, waivers, times, cadence."""
        from headrace.engine.health import HealthFold, health

        return self._follow(HealthFold).ask(lambda fold: health(self.store, fold, now=self._clock()))

    def audit(self) -> AuditReport:
        """Verify the ledger's chain, every artifact's bytes, and every file of the prediction log."""
        from headrace.core.places import LOG, STORE_DIR
        from headrace.logs.audit import audit_log
        from headrace.stores.audit import audit

        report = audit(self.store)
        return report.with_log(*audit_log(self.root / STORE_DIR / LOG, self.store))
