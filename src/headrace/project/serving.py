"""What moves and uses releases: approval, promotion, rollback, predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.views import Reign, ReleaseView
from headrace.engine.context import Progress, silent
from headrace.project.base import ONLINE, STORE_DIR, ProjectBase

if TYPE_CHECKING:
    from headrace.core.evidence import Verdict
    from headrace.engine.materialize import Materialized
    from headrace.serve.batch.file import Scored
    from headrace.serve.http.shell import Shell


class Serving(ProjectBase):
    """The releases of a `Project`, moved and used."""

    def approve(self, release: str, *, by: str | None = None) -> ReleaseView:
        """Approve a challenger in the name of `by` (default: the actor).

        Raises:
            UserError: it has not passed its gates, or its author may not approve it.
        """
        from headrace.engine.releases import approve

        return approve(self.store, release, by=by or self.actor, clock=self._clock)

    def refuse(self, release: str, *, reason: str, by: str | None = None) -> ReleaseView:
        """Refuse a release in the name of `by` (default: the actor), and say why. It retires.

        Raises:
            UserError: no reason is given, or it is champion.
        """
        from headrace.engine.releases import refuse

        return refuse(self.store, release, by=by or self.actor, reason=reason, clock=self._clock)

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

    def skew(self, release: str | None = None, *, progress: Progress = silent) -> tuple[Verdict, ...]:
        """Whether requests to a release (default: the champion) get what its training computed, now: with
        the online store as it stands. Nothing is written down.

        Raises:
            NotFound: there is no such release, or what its run made is no longer kept.
        """
        from headrace.engine.needs import require_training

        require_training()
        from headrace.core.spec import ParsedSpec
        from headrace.engine.context import Context
        from headrace.engine.releases import spec_of
        from headrace.engine.skew import skew_of_release
        from headrace.project.asking import ways_of

        found, _ = self.release(release)
        spec = ParsedSpec(spec_of(self.store, found))
        ctx = Context(self.root, self.store, spec, self._clock, self.actor, found.run, progress)
        return skew_of_release(ctx, self.show(found.run), ways_of(self.store, self.online, self._clock))

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
        from headrace.serve.batch.file import score_file

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

    def app(self, release: str | None = None, *, online: bool | None = None) -> Shell:
        """The HTTP application that answers for a release (default: the champion).

        It looks up, and takes facts, in the online store, where there is one that holds a table of the
        release; `online` False: never; True: there has to be one.

        Raises:
            UserError: `online` is wanted, and no table of the release was materialised.
        """
        from headrace.core.errors import UserError
        from headrace.release.feeds import ready
        from headrace.serve.http.app import make_app

        found, manifest = self.release(release)
        store = self.online()
        there = online is not False and bool(ready(store, manifest.serving))
        if online and not there:
            raise UserError(
                f"the online store holds no table of the release {found.release}",
                where=str(self.root / STORE_DIR / ONLINE),
                fix=f"fill it: headrace materialize --release {found.release}",
            )
        return make_app(
            self.store, manifest, found.release, online=store if there else None, clock=self._clock
        )

    def materialize(
        self, release: str | None = None, *, progress: Progress = silent
    ) -> tuple[Materialized, ...]:
        """Fill the online store with what a release (default: the champion) looks up: the rows of its
        snapshots, and the facts that arrived since. Done again it does nothing.

        Raises:
            UserError: the release looks nothing up that could be kept online.
        """
        from headrace.engine.materialize import materialize

        _, manifest = self.release(release)
        return materialize(
            self.store,
            self.online(),
            manifest,
            progress=lambda text, done, total: progress("materialize", text, done, total),
        )
