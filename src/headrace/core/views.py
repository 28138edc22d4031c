"""Views: folds of events. There is no second truth. Pure functions over events in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from headrace.core.event import Event
from headrace.core.evidence import Waiver
from headrace.core.html import table

RUN_KINDS = ("run.started", "run.saved", "run.finished", "run.noted")
RELEASE_KINDS = (
    "release.made",
    "release.challenged",
    "release.approved",
    "release.refused",
    "release.promoted",
    "release.rolled_back",
    "release.retired",
)


@dataclass(frozen=True)
class RunView:
    """A run as the ledger tells it: of the spine, or of a `script` of the user's, whose record of params and
    metrics is the artifact `logged`. `origin` is what it was made from beside its spec. `status` is released,
    blocked, no-go, awaiting approval, failed, stopped (it was asked to go no further), or unfinished (under
    way, or its process died)."""

    run: str
    name: str
    started: str
    author: str
    spec: str
    parent: str = ""
    commit: str = ""
    dirty: bool = False
    environment: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict)
    script: bool = False
    group: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    logged: str = ""
    status: str = "unfinished"
    finished: str = ""
    release: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        rows = [["status", self.status], ["started", self.started], ["author", self.author]]
        rows += [["commit", self.commit or "outside git"], ["release", self.release or "–"]]
        return table(["", ""], rows, title=f"{self.run}: {self.name}")


def runs(events: Iterable[Event]) -> dict[str, RunView]:
    """Every run by its id, oldest first."""
    seen: dict[str, RunView] = {}
    for e in events:
        after = run_after(seen.get(e.subject), e)
        if after is not None:
            seen[e.subject] = after
    return seen


def run_after(run: RunView | None, e: Event) -> RunView | None:
    """A run as it is after an event about it; None while it has not begun, or where the event is no run's."""
    p = e.payload
    if e.kind == "run.started":
        return RunView(
            run=e.subject,
            name=p["name"],
            started=e.time,
            author=e.actor,
            spec=p["spec"],
            parent=p.get("parent", ""),
            commit=p.get("commit", ""),
            dirty=p.get("dirty", False),
            environment=p.get("environment", ""),
            origin=p.get("origin", {}),
            script=p.get("script", False),
            group=p.get("group", ""),
            tags=p.get("tags", {}),
        )
    if run is None:
        return None
    if e.kind == "run.saved":
        return replace(run, logged=p["record"])
    if e.kind == "run.noted":
        return _noted(run, p)
    if e.kind == "run.finished":
        return replace(
            run,
            # Known in full at the end alone: what the tables hold is read on the way.
            name=p.get("name") or run.name,
            status=p["status"],
            finished=e.time,
            release=p.get("release") or "",
            summary=p,
        )
    return None


def _noted(run: RunView, said: Mapping[str, Any]) -> RunView:
    tags = {**run.tags, **said.get("tags", {})}
    return replace(
        run,
        group=said.get("group") or run.group,
        tags={n: v for n, v in tags.items() if v},
        notes=(*run.notes, said["note"]) if said.get("note") else run.notes,
    )


class State(StrEnum):
    """What a release can be."""

    CANDIDATE = "candidate"
    CHALLENGER = "challenger"
    CHAMPION = "champion"
    RETIRED = "retired"


@dataclass(frozen=True)
class ReleaseView:
    """A release as the ledger tells it. `manifest` is its manifest's digest, `refused` why it was
    refused last."""

    release: str
    manifest: str
    run: str
    made: str
    author: str
    state: State = State.CANDIDATE
    approved_by: tuple[str, ...] = ()
    self_approved: bool = False
    promoted: str = ""
    refused_by: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Reign:
    """A span of time in which a release was champion. `until` is empty while it lasts."""

    release: str
    since: str
    until: str
    by: str
    how: str


@dataclass(frozen=True)
class Releases:
    """All releases, and who was champion when (oldest first)."""

    releases: Mapping[str, ReleaseView]
    reigns: tuple[Reign, ...]

    @property
    def champion(self) -> ReleaseView | None:
        """The release that is live, if any."""
        if self.reigns and not self.reigns[-1].until:
            return self.releases[self.reigns[-1].release]
        return None

    def _repr_html_(self) -> str:
        rows = [[r.release, r.state.value, r.run, r.made, r.author] for r in self.releases.values()]
        return table(["release", "state", "run", "made", "author"], rows, title="releases")

    def before_champion(self) -> str:
        """The release that a rollback brings back: the champion before the present one, skipping those
        that were themselves rolled back. Empty where there is none."""
        stack: list[str] = []
        for reign in self.reigns:
            if reign.how == "rollback":
                while stack and stack[-1] != reign.release:
                    stack.pop()
            elif not stack or stack[-1] != reign.release:
                stack.append(reign.release)
        return stack[-2] if len(stack) > 1 else ""

    def live_at(self, moment: str) -> str:
        """The champion at an ISO moment (as `core.clock.iso` writes it), or empty."""
        for reign in self.reigns:
            if reign.since <= moment and (not reign.until or moment < reign.until):
                return reign.release
        return ""


def releases(events: Iterable[Event]) -> Releases:
    """Fold the events of releases into their states and the history of champions."""
    seen: dict[str, ReleaseView] = {}
    reigns: list[Reign] = []
    for e in events:
        p = e.payload
        if e.kind == "release.made":
            # Made again from the same bytes: the release keeps its state.
            seen.setdefault(
                e.subject, ReleaseView(e.subject, p["manifest"], p["run"], made=e.time, author=e.actor)
            )
            continue
        view = seen.get(e.subject)
        if view is None:
            continue
        if e.kind == "release.challenged" and view.state == State.CANDIDATE:
            seen[e.subject] = replace(view, state=State.CHALLENGER)
        elif e.kind == "release.approved":
            seen[e.subject] = replace(
                view,
                approved_by=(*view.approved_by, e.actor),
                self_approved=view.self_approved or bool(p.get("self")),
            )
        elif e.kind == "release.refused" and view.state != State.CHAMPION:
            # Approvals that were given before count no more.
            seen[e.subject] = replace(
                view, state=State.RETIRED, approved_by=(), self_approved=False, refused_by=e.actor,
                refused=p["reason"],
            )  # fmt: skip
        elif e.kind in ("release.promoted", "release.rolled_back"):
            how = "promotion" if e.kind == "release.promoted" else "rollback"
            _crown(seen, reigns, e, how)
        elif e.kind == "release.retired":
            seen[e.subject] = replace(view, state=State.RETIRED)
            if reigns and reigns[-1].release == e.subject and not reigns[-1].until:
                reigns[-1] = replace(reigns[-1], until=e.time)
    return Releases(seen, tuple(reigns))


def _crown(seen: dict[str, ReleaseView], reigns: list[Reign], e: Event, how: str) -> None:
    if reigns and not reigns[-1].until:
        if reigns[-1].release == e.subject:
            return
        old = reigns[-1].release
        reigns[-1] = replace(reigns[-1], until=e.time)
        seen[old] = replace(seen[old], state=State.RETIRED)
    reigns.append(Reign(e.subject, since=e.time, until="", by=e.actor, how=how))
    seen[e.subject] = replace(seen[e.subject], state=State.CHAMPION, promoted=e.time)


def waivers(events: Iterable[Event], today: str) -> dict[str, Waiver]:
    """The waivers that hold on the day `today` (ISO date), by gate; the newest wins."""
    held: dict[str, Waiver] = {}
    for e in events:
        if e.kind == "gate.waived" and e.payload["until"] >= today:
            p = e.payload
            held[e.subject] = Waiver(e.subject, p["reason"], p["by"], p["until"], e.digest)
    return held
