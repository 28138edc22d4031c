"""What moves a release: approve, promote, roll back. Each is one append behind an unmoved head."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headrace.core.clock import Clock, iso
from headrace.core.codec import from_json
from headrace.core.errors import AwaitingApproval, Conflict, GateBlocked, NotFound, UserError, did_you_mean
from headrace.core.event import Draft
from headrace.core.ports import Store
from headrace.core.routes import LIVE_KINDS, routes
from headrace.core.spec import Spec
from headrace.core.views import RELEASE_KINDS, Releases, ReleaseView, State, releases
from headrace.release.manifest import Manifest

T = TypeVar("T")


def view(store: Store) -> Releases:
    """The releases as the ledger tells them now."""
    return releases(store.read(kinds=RELEASE_KINDS))


def load_manifest(store: Store, release: ReleaseView) -> Manifest:
    """The manifest behind a release."""
    return from_json(store.get(release.manifest).read_bytes(), Manifest)


def spec_of(store: Store, release: ReleaseView) -> Spec:
    """The spec that a release was made from: its own rules hold for it, whatever the file says today."""
    kept = store.get(load_manifest(store, release).spec).read_bytes()
    return Spec.model_validate_json(kept)


def find(state: Releases, name: str | None) -> ReleaseView:
    """A release by its name, the beginning of it, or `champion` (the default).

    Raises:
        NotFound: no release, or several, go by that name.
    """
    if name in (None, "champion"):
        if state.champion is None:
            raise NotFound(
                "no release is champion", fix="run `headrace run`, or promote one of `headrace release list`"
            )
        return state.champion
    found = [r for n, r in state.releases.items() if n.startswith(str(name))]
    if len(found) != 1:
        what = f"no release is called {name!r}" if not found else f"{len(found)} releases begin with {name!r}"
        raise NotFound(what, fix=did_you_mean(str(name), state.releases))
    return found[0]


def _decide(store: Store, decide: Callable[[Releases], tuple[list[Draft], T]]) -> T:
    """Fold, decide, append; where the head moved meanwhile, again."""
    while True:
        _, head = store.head()
        drafts, answer = decide(view(store))
        try:
            if drafts:
                store.append(drafts, expect=head)
        except Conflict:
            continue
        return answer


def _moved(store: Store, decide: Callable[[Releases], tuple[list[Draft], str]]) -> ReleaseView:
    """The release that was decided on, as it is afterwards."""
    name = _decide(store, decide)
    return view(store).releases[name]


def make(store: Store, release: str, manifest: str, *, run: str, actor: str, clock: Clock) -> ReleaseView:
    """Write `release.made`, unless the release is there already."""

    def decide(state: Releases) -> tuple[list[Draft], None]:
        if release in state.releases:
            return [], None
        payload = {"manifest": manifest, "run": run, "artifacts": {"manifest": manifest}}
        return [Draft("release.made", release, iso(clock()), actor, payload)], None

    _decide(store, decide)
    return view(store).releases[release]


def challenge(store: Store, release: str, *, against: str, actor: str, clock: Clock) -> None:
    """The release passed every gate, the comparison with the champion `against` (empty: there was none)
    among them: candidate becomes challenger. Written again where it is compared with another champion."""

    def decide(state: Releases) -> tuple[list[Draft], None]:
        known = state.releases[release].state
        if known == State.CHALLENGER and _compared_with(store, release) == against:
            return [], None
        if known not in (State.CANDIDATE, State.CHALLENGER):
            return [], None
        return [Draft("release.challenged", release, iso(clock()), actor, {"against": against})], None

    _decide(store, decide)


def approve(store: Store, name: str, *, by: str, clock: Clock) -> ReleaseView:
    """Write down that `by` approves a challenger. Names on one machine are claims.

    Whether its author may is said by the spec that the release was made from (`problem.approval`).

    Raises:
        NotFound: there is no such release.
        UserError: the release has not passed its gates, or its author approves it and may not.
    """

    def decide(state: Releases) -> tuple[list[Draft], str]:
        release = find(state, name)
        own = by.strip() == release.author
        if not by.strip():
            raise UserError("an approval needs a name", fix="--by you@example.com")
        if release.state == State.CANDIDATE:
            raise UserError(
                f"release {release.release} has not passed its gates; there is nothing to approve yet",
                fix="run `headrace run` until it is a challenger",
            )
        if own and not _self_allowed(store, release):
            raise UserError(
                f"{by!r} made release {release.release} and can't approve it",
                why="the spec asks for somebody else's approval (problem.approval: other)",
                fix="ask a colleague to run `headrace release approve … --by NAME`",
            )
        if by in release.approved_by:
            return [], release.release
        return [Draft("release.approved", release.release, iso(clock()), by, {"self": own})], release.release

    return _moved(store, decide)


def refuse(store: Store, name: str, *, by: str, reason: str, clock: Clock) -> ReleaseView:
    """Write down that `by` refuses a release, and why: it retires, and approvals given before count no more.
    Its author may: that takes nothing from anybody else's say.

    Raises:
        NotFound: there is no such release.
        UserError: no reason is given, it is champion, or on a route.
    """

    def decide(state: Releases) -> tuple[list[Draft], str]:
        release = find(state, name)
        if not reason.strip() or not by.strip():
            raise UserError("a refusal needs a name and a reason", fix="--reason 'what is wrong with it'")
        if release.state == State.CHAMPION:
            raise UserError(
                f"release {release.release} is champion", fix="roll back instead: headrace release rollback"
            )
        on = [n for n, r in routes(store.read(kinds=LIVE_KINDS)).items() if release.release in r.releases]
        if on:
            raise UserError(
                f"release {release.release} is on the route {on[0]}",
                fix=f"take it off first: headrace route rollback --route {on[0]} --release {release.release}",
            )
        told = {"reason": reason.strip()}
        return [Draft("release.refused", release.release, iso(clock()), by, told)], release.release

    return _moved(store, decide)


def promote(store: Store, name: str, *, actor: str, clock: Clock) -> ReleaseView:
    """Make an approved challenger (or a former champion) the champion; the champion before it retires.

    Raises:
        NotFound: there is no such release.
        UserError: it has not passed its gates.
        GateBlocked: another release has become champion since it was compared with the champion.
        AwaitingApproval: nobody who may has approved it yet.
    """

    def decide(state: Releases) -> tuple[list[Draft], str]:
        release = find(state, name)
        if release.state == State.CANDIDATE:
            raise UserError(
                f"release {release.release} has not passed its gates and can't be promoted",
                fix="run `headrace run`; its gates say what is missing",
            )
        if not approved(release, allow_self=_self_allowed(store, release)):
            raise AwaitingApproval(
                f"release {release.release} awaits an approval",
                why=f"it was made by {release.author!r}, and somebody else has to approve it",
                fix=f"headrace release approve {release.release} --by NAME; "
                f"then headrace release promote {release.release}",
            )
        if release.state == State.CHAMPION:
            return [], release.release
        if not release.promoted:
            _require_compared(store, release, state.champion)
        return [Draft("release.promoted", release.release, iso(clock()), actor, {})], release.release

    return _moved(store, decide)


def _compared_with(store: Store, release: str) -> str:
    """The champion that a challenger was last compared with; empty for none."""
    for event in store.read(kinds=("release.challenged",), subject=release, newest_first=True):
        return str(event.payload.get("against", ""))
    return ""


def _require_compared(store: Store, release: ReleaseView, champion: ReleaseView | None) -> None:
    before, now = _compared_with(store, release.release), champion.release if champion else ""
    if now and before != now:
        raise GateBlocked(
            f"release {release.release} has not been compared with the champion {now}",
            why=f"it was compared with {before}, which is champion no longer"
            if before
            else "there was no champion when it passed its gates",
            fix="run `headrace run` on its spec again: it compares them on the same rows",
        )


def _self_allowed(store: Store, release: ReleaseView) -> bool:
    return spec_of(store, release).problem.approval == "self"


def approved(release: ReleaseView, *, allow_self: bool) -> bool:
    """Whether somebody who may has approved the release."""
    return any(allow_self or name != release.author for name in release.approved_by)


def rollback(
    store: Store, *, actor: str, reason: str, clock: Clock, only_from: str | None = None
) -> ReleaseView:
    """Bring the champion before the present one back, at once. only_from: not unless this release is
    champion; who decides on an older look goes no further back than was meant.

    Raises:
        UserError: there is no champion before this one, or another than `only_from` is champion.
    """

    def decide(state: Releases) -> tuple[list[Draft], str]:
        now = state.champion.release if state.champion else ""
        if only_from is not None and now != only_from:
            raise UserError(f"{only_from} is not the champion", fix="`headrace release list` shows who is")
        previous = state.before_champion()
        if not previous:
            raise UserError(
                "there is no champion to roll back to",
                why="fewer than two releases have been champion",
                fix="`headrace release history` shows who was champion when",
            )
        payload = {"reason": reason, "from": now}
        return [Draft("release.rolled_back", previous, iso(clock()), actor, payload)], previous

    return _moved(store, decide)


def retire(store: Store, release: str, *, actor: str, reason: str, clock: Clock) -> ReleaseView:
    """Take the champion out of service: what the spec names as fallback answers alone.

    Raises:
        UserError: the release is not the champion.
    """

    def decide(state: Releases) -> tuple[list[Draft], str]:
        if state.champion is None or state.champion.release != release:
            raise UserError(f"{release} is not the champion", fix="`headrace release list` shows who is")
        return [Draft("release.retired", release, iso(clock()), actor, {"reason": reason})], release

    return _moved(store, decide)
