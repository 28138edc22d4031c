"""Release: its evidence, and what may be done with it: approve, refuse, promote, roll back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.errors import UserError
from headrace.core.event import Event
from headrace.core.evidence import Verdict
from headrace.core.tokens import Role
from headrace.core.views import RELEASE_KINDS, Reign, ReleaseView, State
from headrace.engine.releases import approved, spec_of
from headrace.release.manifest import Manifest
from headrace.web.page import Asked, Done, Page, Verb, named
from headrace.web.pages.releases import compare_link
from headrace.web.said import Said, release_path, said


@dataclass(frozen=True)
class Allowed:
    """What whoever asks may do now, and why not where not (empty: they may). Approving needs a name that is
    not the author's, unless the spec says `approval: self`."""

    approve: str
    refuse: str
    promote: str
    rollback: str


@dataclass(frozen=True)
class ReleasePage:
    """The page. champion: the one that is live now (empty: none). who: in whose name a form would be sent.
    compared: of the gate that compared it with the champion of its time."""

    view: ReleaseView
    manifest: Manifest
    verdicts: tuple[Verdict, ...]
    compared: Verdict | None
    history: tuple[Said, ...]
    reigns: tuple[Reign, ...]
    champion: str
    who: str
    allowed: Allowed
    compare: str


def model(asked: Asked) -> ReleasePage:
    """A release."""
    project = asked.project
    view, manifest = project.release(asked.path["release"])
    state = project.releases()
    champion = state.champion.release if state.champion else ""
    events: list[Event] = list(project.store.read(kinds=RELEASE_KINDS, subject=view.release))
    who = asked.who.name or project.actor
    versus = champion if champion and champion != view.release else state.before_champion()
    return ReleasePage(
        view=view,
        manifest=manifest,
        verdicts=manifest.verdicts,
        compared=next((v for v in manifest.verdicts if v.gate == "champion"), None),
        history=tuple(said(e) for e in events)[::-1],
        reigns=tuple(r for r in state.reigns if r.release == view.release),
        champion=champion,
        who=who,
        allowed=_allowed(asked, view, who, champion, state.before_champion()),
        compare=compare_link([versus, view.release]) if versus and versus != view.release else "",
    )


def _allowed(asked: Asked, view: ReleaseView, who: str, champion: str, before: str) -> Allowed:
    own = spec_of(asked.project.store, view).problem.approval == "self"
    approve = refuse = promote = rollback = ""
    if not asked.may("approver"):
        approve = refuse = "this is for the role approver"
    elif view.state is State.CANDIDATE:
        approve = "it has not passed its gates"
    elif who == view.author and not own:
        approve = f"{who} made it: somebody else has to approve it"
    elif who in view.approved_by:
        approve = f"{who} approved it already"
    if not refuse and view.state is State.CHAMPION:
        refuse = "it is champion: roll back instead"
    elif not refuse and view.refused:
        refuse = "it was refused already"
    if not asked.may("operator"):
        promote = rollback = "this is for the role operator"
    elif view.state is State.CANDIDATE:
        promote = "it has not passed its gates"
    elif view.state is State.CHAMPION:
        promote = "it is champion"
    elif not approved(view, allow_self=own):
        promote = "nobody who may has approved it"
    if not rollback and (view.release != champion or not before):
        rollback = "it is not champion" if view.release != champion else "no release was champion before it"
    return Allowed(approve, refuse, promote, rollback)


def approve(asked: Asked, form: Mapping[str, str]) -> Done:
    """Approve it in the name of whoever asks."""
    del form
    view = asked.project.approve(asked.path["release"], by=asked.who.name or None)
    return Done(f"You approved {view.release}. It can be promoted now.", release_path(view.release))


def refuse(asked: Asked, form: Mapping[str, str]) -> Done:
    """Refuse it, with a reason."""
    reason = named(form, "reason", "the reason")
    view = asked.project.refuse(asked.path["release"], reason=reason, by=asked.who.name or None)
    return Done(f"You refused {view.release}.", release_path(view.release))


def promote(asked: Asked, form: Mapping[str, str]) -> Done:
    """Make it champion."""
    del form
    view = asked.project.promote(asked.path["release"])
    return Done(f"{view.release} is champion. Servers follow within a second.", release_path(view.release))


def roll_back(asked: Asked, form: Mapping[str, str]) -> Done:
    """Take it down: the champion before comes back."""
    view, _ = asked.project.release(asked.path["release"])
    state = asked.project.releases()
    if state.champion is None or state.champion.release != view.release:
        raise UserError(f"{view.release} is not champion any more", fix="load the page again")
    back = asked.project.rollback(reason=named(form, "reason", "the reason"))
    return Done(f"Rolled back: {back.release} is champion again.", release_path(back.release))


def dress(page: ReleasePage) -> Mapping[str, Any]:
    """The verdicts, what does not pass on top."""
    order = sorted(page.verdicts, key=lambda v: (v.allows, v.waiver is None))
    return {"ordered": order}


PAGE = Page(
    "release",
    "releases/{release}",
    "",
    "a release: evidence and verdicts, approve or refuse with a reason, promote, roll back",
    model,
    "release.html",
    verbs={
        "approve": Verb(Role.APPROVER, approve),
        "refuse": Verb(Role.APPROVER, refuse),
        "promote": Verb(Role.OPERATOR, promote),
        "rollback": Verb(Role.OPERATOR, roll_back),
    },
    dress=dress,
)
