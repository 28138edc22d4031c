"""The queue of jobs: events in the ledger, and leases by appending behind an unmoved head.

A job is taken for `LEASE`; who works on it renews its lease. When a lease runs out, its worker is taken for
dead, and another takes the job, `TRIES` times at most. Nothing here needs more than the ledger: any number of
workers on any machines that share it may ask at once, and one of them gets the job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from headrace.core.clock import Clock, iso
from headrace.core.errors import Conflict, NotFound, UserError, did_you_mean
from headrace.core.event import Draft
from headrace.core.jobs import JOB_KINDS, Action, Do, Job, jobs
from headrace.core.ports import Store

LEASE = timedelta(minutes=2)
"""How long a worker has a job without renewing its lease."""
TRIES = 3
"""How often a job is taken, where workers die of it."""

_Jobs = Mapping[str, Job]


def every(store: Store) -> dict[str, Job]:
    """Every job by its id, oldest first."""
    return jobs(store.read(kinds=JOB_KINDS))


def find(known: _Jobs, name: str) -> Job:
    """A job by its id, or the beginning of it.

    Raises:
        NotFound: no job, or several, go by that name.
    """
    found = [known[name]] if name in known else [j for n, j in known.items() if n.startswith(name)]
    if len(found) != 1:
        what = f"there is no job {name!r}" if not found else f"{len(found)} jobs begin with {name!r}"
        raise NotFound(what, fix=did_you_mean(name, list(known)))
    return found[0]


def _decide(store: Store, decide: Callable[[_Jobs], Sequence[Draft]]) -> dict[str, Job]:
    """Fold, decide, append; where the head moved meanwhile, again."""
    while True:
        _, head = store.head()
        known = every(store)
        drafts = decide(known)
        if not drafts:
            return known
        try:
            store.append(drafts, expect=head)
        except Conflict:
            continue
        return every(store)


def queue(store: Store, actions: Sequence[Action], *, actor: str, clock: Clock) -> tuple[Job, ...]:
    """Queue actions that are not queued yet, and whose kind has no job that is not over; those that are new.

    Who asks has looked some time ago, and another may have queued the same for a cause of another name.
    """
    made: list[str] = []

    def decide(known: _Jobs) -> Sequence[Draft]:
        going = {j.do for j in known.values() if not j.over}
        made[:] = [a.key for a in actions if a.key not in known and a.do not in going]
        when = iso(clock()) if made else ""
        return [Draft("job.queued", a.key, when, actor, _queued(a)) for a in actions if a.key in made]

    after = _decide(store, decide)
    return tuple(after[key] for key in made)


def _queued(action: Action) -> dict[str, Any]:
    return {
        "do": action.do.value,
        "release": action.release,
        "cause": action.cause,
        "reason": action.reason,
        "params": dict(action.params),
        **({"ask": action.ask} if action.ask else {}),
    }


def free(job: Job, now: datetime) -> bool:
    """Whether a worker may take a job."""
    return job.status == "queued" or (job.status == "taken" and datetime.fromisoformat(job.until) <= now)


def take(store: Store, worker: str, *, clock: Clock, lease: timedelta = LEASE) -> Job | None:
    """The oldest job that is free, with a lease; None where there is none. One that was taken `TRIES` times
    and never came to an end has failed, and is passed over."""
    mine = ""

    def decide(known: _Jobs) -> Sequence[Draft]:
        nonlocal mine
        mine, now = "", clock()
        drafts: list[Draft] = []
        for job in known.values():
            if not free(job, now):
                continue
            if job.tries >= TRIES:
                reason = f"{job.tries} workers began it and none came to its end; the last was {job.worker}"
                result = {"status": "failed", "result": {"reason": reason}}
                drafts.append(Draft("job.finished", job.job, iso(now), worker, result))
            elif not mine:
                mine = job.job
                drafts.append(_taken(job.job, worker, now, lease))
        return drafts

    after = _decide(store, decide)
    return after[mine] if mine else None


def _taken(job: str, worker: str, now: datetime, lease: timedelta) -> Draft:
    return Draft("job.taken", job, iso(now), worker, {"worker": worker, "until": iso(now + lease)})


def renew(store: Store, job: str, worker: str, *, clock: Clock, lease: timedelta = LEASE) -> bool:
    """Hold a job for longer; False where it is no longer this worker's."""
    held = False

    def decide(known: _Jobs) -> Sequence[Draft]:
        nonlocal held
        held = _is_held(known, job, worker)
        return [_taken(job, worker, clock(), lease)] if held else []

    _decide(store, decide)
    return held


def holds(store: Store, job: str, worker: str) -> bool:
    """Whether a job is this worker's."""
    return _is_held(every(store), job, worker)


def _is_held(known: _Jobs, job: str, worker: str) -> bool:
    found = known.get(job)
    return found is not None and found.status == "taken" and found.worker == worker


def finish(
    store: Store,
    job: str,
    worker: str,
    status: str,
    result: Mapping[str, Any],
    *,
    ask: str = "",
    clock: Clock,
) -> bool:
    """Write down how a job ended: done, blocked, failed, or asked (with what a person is asked). False, and
    nothing is written, where another worker has it by now."""
    held = False

    def decide(known: _Jobs) -> Sequence[Draft]:
        nonlocal held
        held = _is_held(known, job, worker)
        payload = {"status": status, "result": dict(result), **({"ask": ask} if ask else {})}
        return [Draft("job.finished", job, iso(clock()), worker, payload)] if held else []

    _decide(store, decide)
    return held


def give_back(store: Store, job: str, worker: str, *, clock: Clock) -> None:
    """Let a job go at once, as one that is stopped in good order does: another may take it now."""

    def decide(known: _Jobs) -> Sequence[Draft]:
        held = _is_held(known, job, worker)
        return [_taken(job, worker, clock(), timedelta(0))] if held else []

    _decide(store, decide)


def approve(
    store: Store, name: str, *, by: str, reason: str = "", do: str | None = None, clock: Clock
) -> Job:
    """Say yes to what a job asks. `do` is what is to be done where that was the question, or another thing
    than the one proposed.

    Raises:
        NotFound: there is no such job.
        UserError: it asks nothing, nobody is named, it is not said what is to be done, or `do` is no answer.
    """
    found = ""

    def decide(known: _Jobs) -> Sequence[Draft]:
        nonlocal found
        job = approvable(known, name, by=by, do=do)
        found = job.job
        payload = {**({"do": do} if do else {}), **({"reason": reason} if reason else {})}
        return [Draft("job.approved", job.job, iso(clock()), by, payload)]

    return _decide(store, decide)[found]


def approvable(known: _Jobs, name: str, *, by: str, do: str | None = None) -> Job:
    """The job that `by` may say yes to, with `do`. Changes nothing.

    Raises:
        NotFound, UserError: as `approve` does.
    """
    job = _asked(known, name, by)
    able = [d.value for d in Do if d not in (Do.ASK, Do.ALERT)]
    if do is not None and do not in able:
        raise UserError(f"{do!r} can't be done", fix=did_you_mean(do, able))
    if do is None and job.do is Do.ASK:
        raise UserError(
            f"{job.job} asks what is to be done", fix=f"say it: --do {'|'.join(able)}; or refuse it"
        )
    if do is not None and job.result.get("release") and do != job.do.value:
        raise UserError(
            f"{job.job} asks whether {job.result['release']} may answer",
            fix="approve it as it is, or refuse it",
        )
    return job


def refuse(store: Store, name: str, *, by: str, reason: str, clock: Clock) -> Job:
    """Say no to a job that asks, or take one back that no worker has begun.

    Raises:
        NotFound: there is no such job.
        UserError: it is done or begun, nobody is named, or no reason is given.
    """
    found = ""

    def decide(known: _Jobs) -> Sequence[Draft]:
        nonlocal found
        if not reason.strip():
            raise UserError("a refusal needs a reason", fix="--reason 'why not'")
        job = find(known, name)
        if job.status != "queued":
            job = _asked(known, name, by)
        found = job.job
        return [Draft("job.refused", job.job, iso(clock()), by, {"reason": reason})]

    return _decide(store, decide)[found]


def _asked(known: _Jobs, name: str, by: str) -> Job:
    job = find(known, name)
    if not by.strip():
        raise UserError("it has to be said who decides", fix="--by you@example.com")
    if job.status != "asked":
        raise UserError(f"{job.job} is {job.status}: it asks nothing", fix="see `headrace jobs list`")
    return job
