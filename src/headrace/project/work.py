"""What does work: checking, running, tracking scripts, doing a run again."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.core.errors import GateBlocked, HeadraceError, NotFound, Problem, UserError
from headrace.core.spec import LOCK_NAME, ParsedLock, ParsedSpec, parse_lock
from headrace.core.views import RunView
from headrace.engine.context import Caused, Context, Progress, silent
from headrace.engine.result import RunResult
from headrace.project.asking import timer_of, ways_of
from headrace.project.base import ProjectBase

if TYPE_CHECKING:
    from headrace.core.schema import Snapshot
    from headrace.engine.compile import Compiled
    from headrace.engine.reproduce import Reproduction
    from headrace.engine.tracking.live import TrackedRun
    from headrace.engine.tracking.mirror import Mirror
    from headrace.engine.tracking.record import Given
    from headrace.policy.changes import Ablation


BEFORE_FEATURES = ("frame", "ingest", "split")
"""The stages that need no features."""


class Working(ProjectBase):
    """The working half of a `Project`."""

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
        """What `check` lets pass, and should be known: models whose library is not installed, environment
        variables of alerts' receivers that are not set here, continuous learning that can't go on."""
        from headrace.engine.checking.policy import learned_anew, variables
        from headrace.learn.registry import missing_libraries

        parsed = self.spec()
        found = missing_libraries(parsed.spec.models)
        told = [replace(p, where=parsed.where("models", i)) for i, p in found]
        for name, (i, key) in variables(parsed.spec.alerts.to).items():
            if not os.environ.get(name):
                place = parsed.where("alerts", "to", i, key)
                why = "alerts are kept, and reach this receiver once it is"
                told.append(Problem(f"the environment variable {name} is not set here", place, why))
        for i, why in learned_anew(parsed.spec):
            place, fix = parsed.where("policy", "reactions", i), "or write on: labels, with a count"
            what = "on continuous, every job will learn all rows from the start"
            told.append(Problem(what, where=place, why=why, fix=fix))
        return told

    def run(
        self,
        *,
        waive: Sequence[Mapping[str, str]] = (),
        to: str = "",
        snapshots: str = "",
        model: str = "",
        spec: ParsedSpec | None = None,
        tracking: str | None = None,
        caused: Caused | None = None,
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
            caused: what started it, where no person did.
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
            if parsed.spec.awaits_proposals and to not in BEFORE_FEATURES:
                proposed = self._propose(parsed, None, snapshots, waive, progress)
                if isinstance(proposed, RunResult):
                    return proposed  # it did not come to its split
                parsed = parsed.locked(proposed)
            pinned = self._pinned(snapshots)
            compiled = check(parsed, self.root, pinned)
            given = self._given(model) if model else None
            context = Context(
                self.root, self.store, parsed, self._clock, self.actor, "", progress, pinned, given, caused
            )
            waive_all(context, waive, compiled.expectations)
        except HeadraceError as error:
            if raises:
                raise
            return not_begun(error)
        ways = ways_of(self.store, self.online, self._clock)
        result = execute(context, until=to, ways=ways, timed=timer_of(self.store, self._clock))
        if mirror is not None:
            show_safely(mirror, self.store, parsed.spec.project, self.show(result.run))
        if raises and result.error is not None:
            raise result.error
        self._tell_stale(context, result.run)
        return result

    def propose(
        self, *, again: bool = False, budget: str | None = None, progress: Progress = silent
    ) -> ParsedLock:
        """Propose features, choose among them on the training rows, and write `features.lock.yaml`.

        Args:
            again: make it anew where there is one; its pinned features stay.
            budget: the time that choosing may take, such as `60 s` (default: the spec's).
            progress: told of every stage.

        Raises:
            UserError: the spec asks for no proposals, there is a lock already, or a stage met a mistake.
            GateBlocked: a gate before the features blocks.
        """
        parsed = self.spec(locked=False)
        if parsed.spec.auto is None:
            raise UserError(
                "the spec asks for no proposals",
                where=parsed.where("features"),
                fix="write `features: auto`, or `auto: {}` beside named features",
            )
        if not again and self.lock() is not None:
            raise UserError(
                f"there is a {LOCK_NAME} already",
                where=str(self.root / LOCK_NAME),
                why="it may hold your own changes",
                fix="add --again to make it anew (what `pin:` names stays), or edit it",
            )
        found = self._propose(parsed, budget, "", (), progress)
        if isinstance(found, RunResult):
            raise GateBlocked.of(found.problems)
        return found

    def _propose(
        self,
        parsed: ParsedSpec,
        budget: str | None,
        snapshots: str,
        waive: Sequence[Mapping[str, str]],
        progress: Progress,
    ) -> ParsedLock | RunResult:
        """Run to the split, then choose; the run itself where it did not come that far."""
        from headrace.project.proposing import make_lock, write_lock

        before = self.lock()
        open_ = replace(parsed, spec=parsed.spec.without_lock(), lock=None)
        first = self.run(
            spec=open_, to=BEFORE_FEATURES[-1], snapshots=snapshots, waive=waive, progress=progress
        )
        if first.exit_code:
            return first
        progress("propose", "starts", 0, 0)
        ctx = Context(
            self.root,
            self.store,
            open_,
            self._clock,
            self.actor,
            first.run,
            progress,
            self._pinned(snapshots),
        )
        lock = make_lock(ctx, self.show(first.run), before, budget)
        text = write_lock(self.root, lock)
        kept = ctx.store.put(text.encode()).digest
        told = {"lock": kept, "kept": list(lock.features), "dropped": list(lock.dropped), "run": first.run}
        ctx.store.append([ctx.draft("features.proposed", kept, **told)])
        progress("propose", "ran", 1, 1)
        return parse_lock(text)

    def _pinned(self, snapshots: str) -> dict[str, Snapshot]:
        return self._snapshots(snapshots) if snapshots else {}

    def _tell_stale(self, ctx: Context, run: str) -> None:
        """Warn where the lock was made of other data, or for another question; it is not made anew."""
        if ctx.parsed.lock is None:
            return
        from headrace.engine.choosing import stale

        why = stale(ctx, self.show(run))
        if why:
            warnings.warn(
                f"{LOCK_NAME} {why}: its features are used as they stand; "
                "`headrace features propose --again` makes it anew",
                UserWarning,
                stacklevel=3,
            )

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

    def _given(self, run: str) -> Given:
        from headrace.engine.stages.adopt import given_by

        return given_by(self.store, self.show(run))

    def _snapshots(self, run: str) -> dict[str, Snapshot]:
        from headrace.engine.pins import snapshots_of_run

        return snapshots_of_run(self.store, self.show(run))

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
