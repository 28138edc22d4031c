"""The ledger's lines: versioned kinds, each chained to the line before by its digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.digest import digest

GENESIS = "0" * 64
"""The digest that the first event of a ledger names as its predecessor."""

KINDS: Mapping[str, tuple[int, str]] = {
    "run.started": (1, "a run began: spec digest, name, parent, author, seed, git commit"),
    "run.finished": (1, "a run ended: released, blocked, awaiting approval or failed"),
    "run.saved": (1, "a script's run kept what it has logged so far"),
    "run.noted": (1, "a note, tags or a group were added to a run"),
    "run.reproduced": (1, "a run was done again: which digests and metrics agree"),
    "stage.finished": (1, "a stage made its outputs; the subject is the stage's key"),
    "stage.failed": (1, "a stage raised an error: what, why, fix"),
    "features.proposed": (1, "proposals were put to the training rows, and a lock was written"),
    "gate.judged": (1, "a check's evidence was judged against its rule"),
    "gate.waived": (1, "somebody waived a gate: reason, name, last day"),
    "table.snapshot": (1, "a source was snapshotted: digests, schema, rows"),
    "seal.made": (1, "test rows went behind a seal; the payload names the rows' digests"),
    "seal.opened": (1, "a frozen candidate is about to be measured on sealed rows; spends from the budget"),
    "seal.judged": (1, "the outcome of an opening"),
    "release.made": (1, "a manifest was written: the release is a candidate"),
    "release.challenged": (1, "the candidate passed every gate up to the test: it is a challenger"),
    "release.approved": (1, "a named person approved the release"),
    "release.refused": (1, "a named person refused the release, and why: approvals before count no more"),
    "release.promoted": (1, "the release became champion"),
    "release.rolled_back": (1, "the champion before was brought back"),
    "release.retired": (1, "the release left service"),
    "release.ablated": (1, "each change of a run against the champion was measured alone"),
    "route.set": (1, "which releases answer which share of a route's traffic; the subject is the route"),
    "route.moved": (1, "a canary's share was raised by its ramp, or a person paused or resumed the ramp"),
    "route.judged": (1, "a guardrail of a canary was measured: what, bound, value, rows"),
    "route.rolled_back": (1, "a canary was taken off its route: by a guardrail, or by a person"),
    "experiment.started": (1, "units were divided between releases: plan, arms, share"),
    "experiment.looked": (1, "an experiment was judged on what was known by then"),
    "experiment.stopped": (1, "an experiment ended: the decision and its reason"),
    "log.segment": (1, "a closed part of the prediction log: digest, rows, first and last moment"),
    "log.expired": (1, "answers older than the prediction log keeps were dropped: rows, digests"),
    "log.erased": (1, "rows about a subject were erased from the prediction log; the subject is not named"),
    "review.settled": (1, "a reviewer's decisions, or those of a day, were kept: counts and digest"),
    "token.made": (1, "a token was made: its name, role, scope and last day; never the token itself"),
    "token.revoked": (1, "a token was revoked, from now on"),
    "batch.finished": (1, "a batch was scored: release, rows, digest of the output"),
    "schedule.set": (1, "a batch was put on a schedule: cron, source, output; the subject is its name"),
    "schedule.removed": (1, "a schedule was taken away"),
    "schedule.ran": (1, "a schedule's batch was done: the moment that it was due, the batch, rows"),
    "window.judged": (
        1,
        "a window of live traffic was judged: span, rows, digest of its counts, what exceeded",
    ),
    "alert.opened": (
        1,
        "something changed beyond the alert budget: readings, and why; the subject is the alert",
    ),
    "alert.seen": (1, "an open alert's readings exceeded again in a later window"),
    "alert.acknowledged": (1, "somebody has seen an alert and sees to it"),
    "alert.resolved": (1, "an alert is over: its readings went back, or somebody said so, with a reason"),
    "job.queued": (1, "policy decided on an action, or asks a person to; the subject is the job"),
    "job.taken": (1, "a worker took a job, or renewed its lease: who, until when"),
    "job.finished": (
        1,
        "a job ended: done, blocked, failed, or asks a person; the run and release that came of it",
    ),
    "job.approved": (1, "a person said yes to an action, or chose another"),
    "job.refused": (1, "a person said no to an action"),
}
"""Every kind of event, with the version that is written now and what it records."""


@dataclass(frozen=True)
class Draft:
    """An event before it has a place in the chain.

    `subject` is what the event is about (a run, a stage key, a release, a seal): indexed, so that
    folds over one subject don't replay the ledger.
    """

    kind: str
    subject: str
    time: str
    actor: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """One line of the ledger. `digest` covers every other field, `prev` is the digest of the line before."""

    seq: int
    kind: str
    version: int
    subject: str
    time: str
    actor: str
    payload: Mapping[str, Any]
    prev: str
    digest: str


def seal_event(draft: Draft, seq: int, prev: str) -> Event:
    """Give a draft its place in the chain: number `seq`, after the event whose digest is `prev`.

    Raises:
        ValueError: the kind is not one of `KINDS`.
    """
    known = KINDS.get(draft.kind)
    if known is None:
        raise ValueError(f"unknown event kind {draft.kind!r}")
    version = known[0]
    name = digest([seq, draft.kind, version, draft.subject, draft.time, draft.actor, draft.payload, prev])
    return Event(seq, draft.kind, version, draft.subject, draft.time, draft.actor, draft.payload, prev, name)
