"""What is done about what is seen: the policy, its jobs, and the worker that carries them out."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from os import getpid
from typing import TYPE_CHECKING, Any

from headrace.core.errors import HeadraceError, UserError
from headrace.core.jobs import ALL, Do, Job
from headrace.core.spec import ParsedSpec, parse_spec
from headrace.core.spec.watching import Policy
from headrace.engine.context import Progress, silent
from headrace.project.logging import Logging
from headrace.project.work import Working

if TYPE_CHECKING:
    from headrace.core.ports import Store
    from headrace.engine.retrain import Retrained
    from headrace.policy.reacting import Considered, View
    from headrace.policy.simulate import Simulated

WORKER = "worker"
"""The name that events carry which nobody but the policy has caused."""


def worker_name() -> str:
    """A name that no other worker has."""
    return f"{WORKER}-{socket.gethostname()}-{getpid()}-{secrets.token_hex(3)}"


class Acting(Working, Logging):
    """The policy of a `Project`, and its jobs."""

    def policy(self, text: str | None = None) -> Policy:
        """The policy of the spec; of another spec's `text`, where it is given.

        Raises:
            SpecError: there is no spec, or it has mistakes.
        """
        if text is None:
            return self.spec(locked=False).spec.policy
        return parse_spec(text, name="--policy").spec.policy

    def considered(self, policy: Policy | None = None) -> tuple[Considered, ...]:
        """What the policy would do now, and what holds it back. Changes nothing.

        Raises:
            SpecError: there is no spec, or it has mistakes.
        """
        from headrace.policy.reacting import consider

        return consider(policy or self.policy(), self._view())

    def _view(self) -> View:
        from headrace.engine.deciding import view

        return view(self.store, self._book(), zone=self._policy_zone(), now=self._clock())

    def _policy_zone(self) -> str:
        return self.spec(locked=False).spec.data.zone or "UTC"

    def react(self) -> tuple[Job, ...]:
        """Queue what the policy has come to; the jobs that are new. Safe to be called by any number of
        processes at once: a decision is queued once, and none beside a job of its kind that is not over.

        Raises:
            SpecError: there is no spec, or it has mistakes.
        """
        from headrace.engine.jobs import queue

        actions = tuple(c.action for c in self.considered() if not c.hold)
        return queue(self.store, actions, actor=WORKER, clock=self._clock) if actions else ()

    def simulate(
        self, start: datetime, end: datetime | None = None, *, policy: Policy | None = None
    ) -> Simulated:
        """What the policy (default: the spec's) would have done between two moments (default: to now), by the
        alerts, labels and champions of the ledger, and what was done.

        Raises:
            SpecError: there is no spec, or it has mistakes.
            UserError: the end comes before the start.
        """
        from headrace.engine.deciding import simulate

        until = end or self._clock()
        if until <= start:
            raise UserError(
                f"{until:%Y-%m-%d} does not come after {start:%Y-%m-%d}", fix="change --from or --to"
            )
        wanted = policy or self.policy()
        return simulate(self.store, self._book(), wanted, start, until, zone=self._policy_zone())

    def jobs(self) -> dict[str, Job]:
        """Every job by its id, oldest first."""
        from headrace.engine.jobs import every

        return every(self.store)

    def job(self, name: str) -> Job:
        """A job by its id, or the beginning of it.

        Raises:
            NotFound: there is no such job.
        """
        from headrace.engine.jobs import find

        return find(self.jobs(), name)

    def approve_job(
        self, name: str, *, by: str | None = None, reason: str = "", do: str | None = None
    ) -> Job:
        """Say yes to what a job asks, in the name of `by` (default: the actor); where it asks whether a
        release may answer, that approves the release. `do` is what is to be done where that was the question:
        a yes to training is none to the release that comes of it.

        Raises:
            NotFound: there is no such job.
            UserError: it asks nothing, `do` is no answer to it, or `by` may not approve the release. Nothing
                is approved then.
        """
        from headrace.engine import jobs, releases

        who = self.actor if by is None else by
        # Looked at first: a yes that the job does not take approves no release.
        job = jobs.approvable(self.jobs(), name, by=who, do=do)
        release = str(job.result.get("release", ""))
        if release:
            releases.approve(self.store, release, by=who, clock=self._clock)
        return jobs.approve(self.store, name, by=who, reason=reason, do=do, clock=self._clock)

    def refuse_job(self, name: str, *, reason: str, by: str | None = None) -> Job:
        """Say no to what a job asks, or take back one that is not begun.

        Raises:
            NotFound: there is no such job.
            UserError: it is begun or done, or no reason is given.
        """
        from headrace.engine.jobs import refuse

        who = self.actor if by is None else by
        return refuse(self.store, name, by=who, reason=reason, clock=self._clock)

    def work(
        self, worker: str = "", *, lease: timedelta | None = None, progress: Progress = silent
    ) -> Job | None:
        """Take one job and carry it out; the job as it is then. None where there is none to take.

        Its lease is renewed while it is worked on. Stopped in the middle, it is given back; killed, it is
        another worker's when its lease has run out.

        Raises:
            SpecError: there is no spec, or it has mistakes. No job is taken.
            StoreError: the store refused. The job is tried again when its lease has run out.
        """
        from headrace.engine import jobs
        from headrace.engine.act import Means, carry_out

        parsed = self.spec()
        name, span = worker or worker_name(), lease or jobs.LEASE
        job = jobs.take(self.store, name, clock=self._clock, lease=span)
        if job is None:
            return None
        mine: Acting = type(self)(self.root, store=self.store, clock=self._clock, actor=WORKER)
        means = Means(
            self.store,
            parsed.spec,
            WORKER,
            self._clock,
            partial(mine._retrain, parsed, progress=progress),
            partial(jobs.holds, self.store, job.job, name),
        )
        try:
            with _renewed(
                self.store, partial(jobs.renew, clock=self._clock, lease=span), job.job, name, span
            ):
                ended = carry_out(job, means)
        except (KeyboardInterrupt, SystemExit):
            with suppress(HeadraceError):
                jobs.give_back(self.store, job.job, name, clock=self._clock)
            raise
        jobs.finish(self.store, job.job, name, ended.status, ended.result, ask=ended.ask, clock=self._clock)
        return self.job(job.job)

    def _retrain(self, parsed: ParsedSpec, job: Job, *, progress: Progress = silent) -> Retrained:
        """Make a challenger for a job, with the spine."""
        from headrace.engine.adjust import adjust
        from headrace.engine.context import Caused, Context
        from headrace.engine.retrain import retrain

        view, champion = self.release()
        policy = parsed.spec.policy
        title = f"{job.do.value}: {job.reason}"
        caused = Caused(title, job.job, job.cause, holds=True)
        ctx = Context(self.root, self.store, parsed, self._clock, self.actor, "", progress, caused=caused)

        def run(spec: ParsedSpec, *, to: str = "", snapshots: str = "", caused: Caused) -> Any:
            return self.run(
                spec=spec, to=to, snapshots=snapshots, caused=caused, progress=progress, raises=False
            )

        if job.do is Do.THRESHOLD:
            return adjust(ctx, view.release, champion, caused, run, holdout=policy.holdout)
        history = job.params.get("history")
        windows = (str(history),) if history else policy.windows
        asked = None if history == ALL else windows
        return retrain(ctx, champion, caused, run, windows=asked, holdout=policy.holdout)


@contextmanager
def _renewed(store: Store, renew: Any, job: str, worker: str, span: timedelta) -> Iterator[None]:
    """Renew a lease now and then, in a thread of its own."""
    stop = threading.Event()

    def keep() -> None:
        while not stop.wait(span.total_seconds() / 4):
            with suppress(HeadraceError):  # a disk that is full for a moment: tried again
                renew(store, job, worker)

    thread = threading.Thread(target=keep, name="headrace lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
