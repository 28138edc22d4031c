"""Now: how far the newest run came, what is live, what is in the way, and what needs a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

from headrace.core.clock import micros
from headrace.core.codec import from_json, from_plain
from headrace.core.errors import NotFound
from headrace.core.event import Event
from headrace.core.evidence import Outcome, Verdict
from headrace.core.gates import GATES, STAGES
from headrace.core.jobs import JOB_KINDS, Job, jobs
from headrace.core.routes import Route
from headrace.core.views import Releases, State, waivers
from headrace.core.watching import AlertState, AlertView
from headrace.web import channel
from headrace.web.channel import Reach
from headrace.web.entrance import BASE
from headrace.web.page import Asked, Page
from headrace.web.said import NEWS, Said, release_path, run_path, said

_SOON = 14
_NEWS = 12


@dataclass(frozen=True)
class Blocked:
    """A gate in the way. fix: what to do about it."""

    gate: str
    stage: str
    outcome: str
    owner: str
    why: str
    fix: str


@dataclass(frozen=True)
class Need:
    """Something that waits for a person. kind: approval, promotion, job, alert, review, waiver or go. role:
    who can do it."""

    kind: str
    what: str
    why: str
    to: str
    role: str
    urgent: bool = False


@dataclass(frozen=True)
class Live:
    """What answers. metric, value, low, high: the honest estimate of its test; None where none is shown."""

    release: str
    since: str
    by: str
    model: str
    metric: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Now:
    """The page."""

    run: str
    run_name: str
    run_status: str
    run_started: str
    reaches: tuple[Reach, ...]
    blocked: tuple[Blocked, ...]
    needs: tuple[Need, ...]
    live: Live | None
    arms: tuple[tuple[str, str, str, float], ...]
    news: tuple[Said, ...]


def model(asked: Asked) -> Now:
    """The page as things stand."""
    project, store = asked.project, asked.project.store
    found = project.search_runs("kind = 'spine'", most=1).lines
    run = project.show(found[0].run) if found else None
    spec = _spec(asked, run.spec) if run else {}
    owners = spec.get("problem", {}).get("owners", {})
    verdicts = _verdicts(asked, run.run) if run else ()
    reaches = _stages(asked, run, verdicts, owners) if run else _no_run()
    state = project.releases()
    routes = project.routes()
    found_alerts = project.alerts()
    found_jobs = tuple(jobs(store.read(kinds=JOB_KINDS)).values())
    return Now(
        run=run.run if run else "",
        run_name=run.name if run else "",
        run_status=run.status if run else "",
        run_started=run.started if run else "",
        reaches=(*reaches, *_beyond(asked, state, found_alerts, found_jobs)),
        blocked=tuple(_blocked(v, owners) for v in verdicts if not v.allows),
        needs=(
            *_of_alerts(found_alerts),
            *_of_releases(state),
            *_of_jobs(found_jobs),
            *_of_reviews(asked),
            *_of_waivers(asked),
            *_of_go(asked, spec),
        ),
        live=_live(asked, state),
        arms=tuple(_arms(routes)),
        news=tuple(said(e) for e in islice(store.read(kinds=NEWS, newest_first=True), _NEWS)),
    )


def _spec(asked: Asked, digest: str) -> Mapping[str, Any]:
    store = asked.project.store
    return from_json(store.get(digest).read_bytes(), dict[str, Any]) if store.has(digest) else {}


def _verdicts(asked: Asked, run: str) -> tuple[Verdict, ...]:
    """The verdicts of a run, the last of each gate."""
    found = asked.project.store.read(kinds=("gate.judged",), subject=run)
    newest = {v.gate: v for e in found for v in [from_plain(e.payload["verdict"], Verdict)]}
    return tuple(newest.values())


def _no_run() -> list[Reach]:
    return [Reach(name, "none") for name in STAGES]


def _stages(asked: Asked, run: Any, verdicts: Sequence[Verdict], owners: Mapping[str, str]) -> list[Reach]:
    went = {s["name"]: s["status"] for s in run.summary.get("stages", ())}
    if not run.finished:
        went = _so_far(asked, run.run)
    made, under_way, over = [], False, False
    for name in STAGES:
        mine = [v for v in verdicts if v.stage == name]
        shut = [v for v in mine if not v.allows]
        waived = any(v.waiver is not None for v in mine)
        if went.get(name) == "failed":
            state = "failed"
        elif shut and not over:
            state = "shut"
        elif over:
            state, mine = "none", []  # judged beforehand, and not come to
        elif name in went or mine:
            state = "waived" if waived else "open"
        elif not run.finished and not under_way:
            state, under_way = "now", True
        else:
            state = "none"
        over = over or state in ("failed", "shut")
        what = f"{len(shut)} shut" if shut else _gates(mine) if mine else went.get(name, "")
        owner = owners.get(name) or owners.get("default", "")
        made.append(
            Reach(name, state, what, f"{BASE}/{run_path(run.run)}#{_SECTION.get(name, 'gates')}", owner)
        )
    return made


_SECTION = {
    "frame": "frame", "ingest": "data", "split": "data", "inspect": "findings", "learn": "leaderboard",
    "evaluate": "performance", "test": "performance", "promote": "promotion",
}  # fmt: skip


def _gates(verdicts: Sequence[Verdict]) -> str:
    judged = [v for v in verdicts if v.outcome is not Outcome.NOT_APPLICABLE]
    return f"{sum(v.allows for v in judged)}/{len(judged)} gates" if judged else ""


def _so_far(asked: Asked, run: str) -> dict[str, str]:
    """What is done of a run that goes on, or whose process died."""
    store = asked.project.store
    began = next((e.seq for e in store.read(kinds=("run.started",), subject=run)), 0)
    done: dict[str, str] = {}
    for e in store.read(after=began, kinds=("stage.finished", "stage.failed")):
        if e.payload.get("run") == run:
            done[e.payload["stage"]] = "ran" if e.kind == "stage.finished" else "failed"
    for v in _verdicts(asked, run):
        done.setdefault(v.stage, "cached")
    return done


def _beyond(asked: Asked, state: Releases, found: Sequence[AlertView], work: Sequence[Job]) -> list[Reach]:
    store = asked.project.store
    window: Event | None = next(iter(store.read(kinds=("window.judged",), newest_first=True)), None)
    open_alerts = [a for a in found if a.state is not AlertState.RESOLVED]
    at_work = [j for j in work if j.status in ("queued", "taken", "asked")]
    watch = "shut" if open_alerts else "open" if window else "none"
    alarmed = f"{len(open_alerts)} alert{'s' if len(open_alerts) != 1 else ''}"
    return [
        Reach(
            "serve", "open" if state.champion else "none", "live" if state.champion else "", f"{BASE}/traffic"
        ),
        Reach("watch", watch, alarmed if open_alerts else "quiet" if window else "", f"{BASE}/drift"),
        Reach("act", "now" if at_work else "none", f"{len(at_work)} jobs" if at_work else "", f"{BASE}/jobs"),
    ]


def _blocked(v: Verdict, owners: Mapping[str, str]) -> Blocked:
    gate = GATES.get(v.gate.partition(":")[0].strip())
    why = f"{v.reason} {v.evidence.where}".strip()
    owner = owners.get(v.stage) or owners.get("default", "")
    return Blocked(v.gate, v.stage, v.outcome.value, owner, why, gate.fix if gate else "")


def _of_alerts(found: Sequence[AlertView]) -> list[Need]:
    return [
        Need(
            "alert",
            a.title,
            f"{a.windows} windows, release {a.release}",
            f"alerts?alert={a.alert}",
            "operator",
            a.harms,
        )
        for a in found
        if a.state is AlertState.OPEN
    ]


def _of_releases(state: Releases) -> list[Need]:
    made = []
    for r in state.releases.values():
        if r.state is not State.CHALLENGER:
            continue
        to = release_path(r.release)
        others = [n for n in r.approved_by if n != r.author]
        if others or r.self_approved:
            made.append(
                Need(
                    "promotion",
                    f"release {r.release} is approved",
                    f"by {', '.join(r.approved_by)}",
                    to,
                    "operator",
                )
            )
        else:
            made.append(
                Need(
                    "approval",
                    f"release {r.release} waits for an approval",
                    f"made by {r.author} in {r.run}",
                    to,
                    "approver",
                )
            )
    return made


def _of_jobs(found: Sequence[Job]) -> list[Need]:
    return [
        Need(
            "job",
            f"{j.do.value} of {j.release[:12] or 'the champion'} is proposed",
            j.reason,
            "jobs",
            "approver",
        )
        for j in found
        if j.status == "asked"
    ]


def _of_reviews(asked: Asked) -> list[Need]:
    counts = asked.project.reviews().counts(now=micros(asked.now), source=None)
    if not counts.open:
        return []
    noun = "answer" if counts.open == 1 else "answers"
    return [
        Need("review", f"{counts.open:,} {noun} to review", "due first comes first", "review", "reviewer")
    ]


def _of_waivers(asked: Asked) -> list[Need]:
    today = asked.now.date()
    made = []
    for w in waivers(asked.project.store.read(kinds=("gate.waived",)), today.isoformat()).values():
        left = (date.fromisoformat(w.until) - today).days
        if left <= _SOON:
            made.append(
                Need(
                    "waiver",
                    f"the waiver of {w.gate} ends in {left} days",
                    w.reason,
                    "health",
                    "operator",
                    left <= 2,
                )
            )
    return made


def _of_go(asked: Asked, spec: Mapping[str, Any]) -> list[Need]:
    go = spec.get("problem", {}).get("go") or {}
    try:
        left = (date.fromisoformat(str(go.get("expires", ""))[:10]) - asked.now.date()).days
    except ValueError:
        return []
    if left > _SOON:
        return []
    ends = f"the go decision ends in {left} days" if left >= 0 else "the go decision has expired"
    return [Need("go", ends, f"decided by {go.get('decided_by', '?')}", "", "operator", left < 0)]


def _live(asked: Asked, state: Releases) -> Live | None:
    if state.champion is None:
        return None
    name, reign = state.champion.release, state.reigns[-1]
    try:
        line = asked.project.run_index.line(state.champion.run)
    except NotFound:
        line = None
    return Live(
        name,
        reign.since,
        reign.by,
        line.model if line else "",
        line.metric if line else "",
        line.value if line else None,
        line.low if line else None,
        line.high if line else None,
    )


def _arms(routes: Mapping[str, Route]) -> list[tuple[str, str, str, float]]:
    return [(name, a.role.value, a.release, a.share) for name, r in routes.items() for a in r.arms]


def dress(now: Now) -> Mapping[str, Any]:
    """The channel, drawn."""
    from markupsafe import Markup

    return {"broad": Markup(channel.broad(now.reaches)), "tall": Markup(channel.tall(now.reaches))}


PAGE = Page(
    "now",
    "",
    "Now",
    "what is live, what is blocked and who owns it, and what needs a person",
    model,
    "now.html",
    dress=dress,
)
