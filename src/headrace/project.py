"""The Python API: everything that the commands do, in one class of about a dozen methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.clock import Clock, system_clock
from headrace.core.errors import HeadraceError, NotFound, Problem, SpecError, UserError, did_you_mean
from headrace.core.html import table
from headrace.core.ports import Store
from headrace.core.spec import FILE_NAME, ParsedSpec, parse_spec
from headrace.core.views import RUN_KINDS, Reign, Releases, ReleaseView, RunView, runs
from headrace.engine.context import Context, Progress, silent

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from headrace.core.schema import Snapshot
    from headrace.core.told import RunTold
    from headrace.data.profile.record import Profile
    from headrace.data.versions import TableDiff
    from headrace.engine.compile import Compiled
    from headrace.engine.data import PersonalColumn, Version
    from headrace.engine.health import Health
    from headrace.engine.reproduce import Reproduction
    from headrace.engine.result import RunResult
    from headrace.engine.tracking.live import TrackedRun
    from headrace.engine.tracking.mirror import Mirror
    from headrace.engine.tracking.record import Given
    from headrace.learn.search.record import SearchRecord
    from headrace.policy.changes import Ablation
    from headrace.release.manifest import Manifest
    from headrace.report.document import Document
    from headrace.report.made import Report
    from headrace.serve.batch import Scored
    from headrace.stores.audit import AuditReport

STORE_DIR = ".headrace"


class Project:
    """A headrace project: a folder with a `headrace.yaml`, and its store under `.headrace/`.

    Args:
        path: the project's folder.
        store: where events and artifacts are kept (default: the embedded store in the folder).
        clock: the present moment, as a function (default: the machine's clock).
        actor: the name that events carry (default: `HEADRACE_USER`, git's user.email, or the login).
    """

    def __init__(
        self,
        path: str | Path = ".",
        *,
        store: Store | None = None,
        clock: Clock = system_clock,
        actor: str | None = None,
    ) -> None:
        self.root = Path(path).resolve()
        self._store = store
        self._clock = clock
        self._actor = actor

    @staticmethod
    def init(
        folder: str | Path,
        *,
        example: str | None = None,
        data: str | Path | None = None,
        from_file: str | Path | None = None,
        target: str | None = None,
    ) -> Project:
        """Write a new project: an example (`flights`; `housing` with its `data`), or one drafted from a
        file of the user's and the column to predict.

        Raises:
            UserError: the folder holds a spec already, or what was asked for can't be drafted.
        """
        from headrace.draft import start

        start(
            Path(folder),
            example=example,
            data=Path(data) if data else None,
            from_file=Path(from_file) if from_file else None,
            target=target,
        )
        return Project(folder)

    @property
    def store(self) -> Store:
        """The project's store; opened on first use.

        Raises:
            SpecError: the folder is no project: it has neither spec nor store.
        """
        if self._store is None:
            from headrace.stores import EmbeddedStore

            folder = self.root / STORE_DIR
            if not folder.is_dir() and not (self.root / FILE_NAME).exists():
                raise self._no_spec()
            self._store = EmbeddedStore(folder)
        return self._store

    def _no_spec(self) -> SpecError:
        return SpecError(
            f"there is no {FILE_NAME} in {self.root}",
            fix="go to the project's folder, name it with -C DIR, or start one with `headrace init DIR`",
        )

    @property
    def actor(self) -> str:
        """The name that events carry. A claim, not a proof."""
        from headrace.engine.author import actor

        return actor(self.root, self._actor)

    def spec(self) -> ParsedSpec:
        """The spec as it stands in the file.

        Raises:
            SpecError: there is no spec, or it has mistakes (all of them are named).
        """
        file = self.root / FILE_NAME
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise self._no_spec() from None
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"{file} can't be read: {error}", fix="make it a readable UTF-8 file") from None
        return parse_spec(text, name=FILE_NAME)

    def check(self) -> Compiled:
        """Check the spec against the tables' columns, before any work.

        Raises:
            SpecError: with one problem for every mistake.
        """
        from headrace.engine.needs import require_training

        require_training()
        from headrace.engine.check import check

        return check(self.spec(), self.root)

    def warnings(self) -> list[Problem]:
        """What `check` lets pass, and should be known: models whose library is not installed."""
        from dataclasses import replace

        from headrace.learn.registry import missing_libraries

        parsed = self.spec()
        found = missing_libraries(parsed.spec.models)
        return [replace(p, where=parsed.where("models", i)) for i, p in found]

    def run(
        self,
        *,
        waive: Sequence[Mapping[str, str]] = (),
        to: str = "",
        snapshots: str = "",
        model: str = "",
        spec: ParsedSpec | None = None,
        tracking: str | None = None,
        progress: Progress = silent,
        raises: bool = True,
    ) -> RunResult:
        """Check the spec, then run the spine from frame to promotion. Stages whose key is known are not run.

        Args:
            waive: waivers to write down first; each maps gate, reason, by and until (an ISO date).
            to: the last stage to run. Up to `evaluate` the seal stays closed.
            snapshots: a run whose snapshots are used instead of reading the tables again.
            model: a script's run whose given model takes the place of the spec's candidates.
            spec: another spec than the one in the file.
            tracking: a mirror of the run, such as `mlflow:http://localhost:5000` (default: the variable
                `HEADRACE_TRACKING`).
            progress: told of every stage.
            raises: False gives a run that failed as a result too, with its `problems`, stages and exit code.

        Raises:
            UserError: a mistake in spec, data or waivers. A gate that blocks is no error: see
                `RunResult.status`.
        """
        from headrace.engine.needs import require_training

        require_training()
        from headrace.engine.check import check
        from headrace.engine.gates import waive_all
        from headrace.engine.result import not_begun
        from headrace.engine.run import execute
        from headrace.engine.tracking.mirror import show_safely

        try:
            mirror = self._mirror(tracking)
            parsed = spec or self.spec()
            pinned = self._snapshots(snapshots) if snapshots else {}
            compiled = check(parsed, self.root, pinned)
            given = self._given(model) if model else None
            context = Context(
                self.root, self.store, parsed, self._clock, self.actor, "", progress, pinned, given
            )
            waive_all(context, waive, compiled.expectations)
        except HeadraceError as error:
            if raises:
                raise
            return not_begun(error)
        result = execute(context, until=to)
        if mirror is not None:
            show_safely(mirror, self.store, parsed.spec.project, self.show(result.run))
        if raises and result.error is not None:
            raise result.error
        return result

    def track(
        self,
        name: str,
        *,
        group: str = "",
        tags: Mapping[str, str] | None = None,
        tracking: str | None = None,
    ) -> TrackedRun:
        """Track a script of your own: `with project.track("my model") as run:`. It logs into the same
        ledger, is compared as any run is, and a model that it gives goes through the same gates.

        Args:
            name: what it is called.
            group, tags: to find it by.
            tracking: a mirror of the run, such as `mlflow:http://localhost:5000` (default: the variable
                `HEADRACE_TRACKING`).

        Raises:
            UserError: a mistake in the spec.
        """
        from headrace.engine.tracking.start import track

        context = Context(self.root, self.store, self.spec(), self._clock, self.actor, run="")
        return track(context, name, group=group, tags=tags, mirror=self._mirror(tracking))

    def _mirror(self, tracking: str | None) -> Mirror | None:
        from headrace.engine.tracking.mirror import find_mirror

        return find_mirror(tracking)

    def note(
        self, run: str, text: str = "", *, tags: Mapping[str, str] | None = None, group: str = ""
    ) -> RunView:
        """Add a note, tags (an empty text takes one away) or a group to a run.

        Raises:
            NotFound: there is no such run.
            UserError: nothing is said.
        """
        from headrace.engine.tracking.notes import add_note

        return add_note(
            self.store, self.show(run), text, tags=tags, group=group, actor=self.actor, clock=self._clock
        )

    def find(self, where: str) -> tuple[RunView, ...]:
        """The runs for which an expression is true: `metrics.f1 > 0.4 and tags.team = 'a'`.

        Raises:
            UserError: the expression has a mistake.
        """
        from headrace.engine.tracking.search import find_runs

        return tuple(find_runs(self.runs(), where))

    def _given(self, run: str) -> Given:
        from headrace.engine.stages.adopt import given_by

        return given_by(self.store, self.show(run))

    def _snapshots(self, run: str) -> dict[str, Snapshot]:
        from headrace.engine.pins import snapshots_of_run

        return snapshots_of_run(self.store, self.show(run))

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

    def runs(self) -> tuple[RunView, ...]:
        """Every run, oldest first."""
        return tuple(runs(self.store.read(kinds=RUN_KINDS)).values())

    def show(self, run: str | None = None) -> RunView:
        """One run (default: the newest).

        Raises:
            NotFound: there is no such run.
        """
        seen = runs(self.store.read(kinds=RUN_KINDS))
        if not seen:
            raise NotFound("there are no runs yet", fix="start one with `headrace run`")
        name = run or next(reversed(seen))
        if name not in seen:
            raise NotFound(f"there is no run {name!r}", fix=did_you_mean(name, seen))
        return seen[name]

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

    def ablate(self, run: str | None = None, *, progress: Progress = silent) -> Ablation:
        """Run every change of a run (default: the newest) against the champion alone, and say which did what.

        Raises:
            NotFound: there is no champion, or no such run.
            UserError: nothing changed, or the two answer different questions.
        """
        from headrace.engine.ablate import LAST, ablate

        def arm(spec: ParsedSpec, snapshots: str) -> str:
            result = self.run(spec=spec, snapshots=snapshots, to=LAST, progress=progress, raises=False)
            if result.error is not None or not result.run:
                raise result.error or NotFound("the arm did not begin")
            return result.run

        context = Context(
            self.root, self.store, self.spec(), self._clock, self.actor, run="", progress=progress
        )
        return ablate(context, run, arm)

    def data(self) -> tuple[Version, ...]:
        """Every snapshot of every table: rows, age, and the runs that used it."""
        from headrace.engine.data import versions

        return versions(self.store, self._clock)

    def data_diff(self, first: str, second: str) -> tuple[TableDiff, ...]:
        """What differs between two snapshots of a table (beginnings of digests), or the tables of two runs.

        Raises:
            NotFound: no run or snapshot goes by that name.
        """
        from headrace.engine.data import compare

        return compare(self.store, self.spec().spec, first, second)

    def personal(self, *, progress: Progress = silent) -> tuple[PersonalColumn, ...]:
        """The sources' columns that look personal or have a treatment. Reads every row, keeps nothing.

        Raises:
            DataError: a source can't be read.
        """
        from headrace.engine.data import personal

        return personal(self.spec().spec, self.root, progress=progress)

    def trials(self, run: str | None = None) -> tuple[SearchRecord, dict[str, list[float]]]:
        """What a run's search tried (default: the newest run), and the seconds of every trial by model.

        Raises:
            NotFound: there is no such run, or it searched no parameters.
        """
        from headrace.engine.searches import search_of

        return search_of(self.store, self.show(run))

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

    def told(self, run: str | None = None) -> RunTold:
        """All that is kept of a run (default: the newest): what its report is made of.

        Raises:
            NotFound: there is no such run.
        """
        from headrace.engine.telling import told_of

        return told_of(self.store, self.show(run))

    def releases(self) -> Releases:
        """Every release with its state, and who was champion when."""
        from headrace.engine.releases import view

        return view(self.store)

    def release(self, name: str | None = None) -> tuple[ReleaseView, Manifest]:
        """A release (default: the champion) and its manifest.

        Raises:
            NotFound: there is no such release.
        """
        from headrace.engine.releases import find, load_manifest

        found = find(self.releases(), name)
        return found, load_manifest(self.store, found)

    def reproduce(
        self, run: str | None = None, *, new_environment: bool = True, progress: Progress = silent
    ) -> Reproduction:
        """Do a run (default: the newest) again from what was recorded, to the end of `evaluate`, and say
        which digests and metrics agree.

        Raises:
            NotFound: there is no such run, or it did not come that far.
            UserError: the recorded environment can't be made.
        """
        from headrace.engine.reproduce import reproduce

        return reproduce(
            self.store,
            self.show(run).run,
            root=self.root,
            clock=self._clock,
            actor=self.actor,
            new_environment=new_environment,
            progress=progress,
        )

    def health(self) -> Health:
        """How well the project is kept: lineage, reproducibility, gates, waivers, times, cadence."""
        from headrace.engine.health import health

        return health(self.store, now=self._clock())

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

    def approve(self, release: str, *, by: str | None = None) -> ReleaseView:
        """Approve a challenger in the name of `by` (default: the actor).

        Raises:
            UserError: it has not passed its gates, or its author may not approve it.
        """
        from headrace.engine.releases import approve

        return approve(self.store, release, by=by or self.actor, clock=self._clock)

    def promote(self, release: str) -> ReleaseView:
        """Make an approved challenger, or a former champion, the champion.

        Raises:
            GateBlocked: its go or one of its assumptions no longer holds, or it was compared with another
                champion.
            AwaitingApproval: nobody who may has approved it yet.
        """
        from headrace.engine.recheck import require_sound
        from headrace.engine.releases import find, promote

        found = find(self.releases(), release)
        require_sound(self.store, found, root=self.root, actor=self.actor, clock=self._clock)
        return promote(self.store, release, actor=self.actor, clock=self._clock)

    def rollback(self, *, reason: str = "") -> ReleaseView:
        """Bring the previous champion back at once."""
        from headrace.engine.releases import rollback

        return rollback(self.store, actor=self.actor, reason=reason, clock=self._clock)

    def history(self) -> tuple[Reign, ...]:
        """Who was champion when, oldest first."""
        return self.releases().reigns

    def predict(
        self,
        source: str | Path,
        output: str | Path,
        *,
        release: str | None = None,
        rejects: str | Path | None = None,
        explain: int = 0,
        progress: Progress = silent,
    ) -> Scored:
        """Score a CSV, Parquet or JSON-lines file of any size with a release (default: the champion).

        Rows that can't be scored go to `rejects` (default: beside the output) with their reasons. With
        `explain`, so many columns' contributions stand beside each answer.

        Raises:
            DataError: the file can't be read, a column that the release needs is missing, or the release
                can't explain its answers.
        """
        from headrace.serve.batch import score_file

        found, manifest = self.release(release)
        return score_file(
            self.store,
            manifest,
            found.release,
            Path(source),
            Path(output),
            rejects=Path(rejects) if rejects else None,
            explain=explain,
            progress=lambda text, done, total: progress("predict", text, done, total),
        )

    def app(self, release: str | None = None) -> Starlette:
        """The HTTP application that answers for a release (default: the champion)."""
        from headrace.serve.app import make_app

        found, manifest = self.release(release)
        return make_app(self.store, manifest, found.release)

    def audit(self) -> AuditReport:
        """Verify the ledger's chain and every artifact's bytes."""
        from headrace.stores.audit import audit

        return audit(self.store)

    def _repr_html_(self) -> str:
        rows = [[r.run, r.started, r.status, r.release or None, r.name] for r in self.runs()]
        return table(["run", "started", "status", "release", "name"], rows, title=str(self.root))
