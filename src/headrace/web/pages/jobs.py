"""Jobs: what policy decided, what waits for a yes, and what came of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.jobs import Do, Job
from headrace.core.tokens import Role
from headrace.web.page import Asked, Done, Page, Verb, named

_MOST = 200


@dataclass(frozen=True)
class Jobs:
    """The page. asked: jobs that wait for a person; going: queued or taken; over: the newest first. able:
    what can be done where a job asks what to do."""

    asked: tuple[Job, ...]
    going: tuple[Job, ...]
    over: tuple[Job, ...]
    able: tuple[str, ...] = tuple(d.value for d in Do if d not in (Do.ASK, Do.ALERT))


def model(asked: Asked) -> Jobs:
    """Every job."""
    found = list(asked.project.jobs().values())[::-1]
    return Jobs(
        tuple(j for j in found if j.status == "asked"),
        tuple(j for j in found if j.status in ("queued", "taken")),
        tuple(j for j in found if j.status not in ("asked", "queued", "taken"))[:_MOST],
    )


def approve(asked: Asked, form: Mapping[str, str]) -> Done:
    """Say yes to a job."""
    name, by = named(form, "job", "the job"), asked.who.name or None
    job = asked.project.approve_job(name, by=by, do=form.get("what") or None)
    return Done(f"Approved: {job.do.value}. A worker takes it.", "jobs")


def refuse(asked: Asked, form: Mapping[str, str]) -> Done:
    """Say no to a job."""
    name, reason = named(form, "job", "the job"), named(form, "reason", "the reason")
    job = asked.project.refuse_job(name, reason=reason, by=asked.who.name or None)
    return Done(f"Refused: {job.do.value}.", "jobs")


PAGE = Page(
    "jobs",
    "jobs",
    "Jobs",
    "what policy decided: what waits for a yes, what is under way, what came of it",
    model,
    "jobs.html",
    verbs={"approve": Verb(Role.APPROVER, approve), "refuse": Verb(Role.APPROVER, refuse)},
)
