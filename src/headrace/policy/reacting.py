"""What the policy says is to be done: pure. Alerts, labels, the champion and the clock in, actions out.

The first reaction that fits an alert counts, whether or not it may act just now. A decision has a key made of
what it is about, so that it is carried out once, whoever asks and however often. What a gate blocked, or what
failed, is decided on again while its alert stays open: after the cool-down, then twice as long, and so on,
`MOST` times in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from headrace.core.clock import format_duration, iso, parse_duration
from headrace.core.digest import digest
from headrace.core.jobs import ALL, Action, Do, Job
from headrace.core.schedules import newest_due
from headrace.core.spec.watching import Policy, Reaction
from headrace.core.watching import AlertState, AlertView, Family

MOST = 4
"""How often one decision is tried in all, where gates block it or it fails."""

_DRIFT = (Family.DRIFT, Family.MULTIVARIATE, Family.PREDICTION, Family.CONCEPT)
_PERFORMANCE = (
    Family.PERFORMANCE,
    Family.ESTIMATED,
    Family.CALIBRATION,
    Family.SLICES,
    Family.FAIRNESS,
    Family.VALUE,
)
FAMILIES: Mapping[str, tuple[Family, ...]] = {
    "drift": _DRIFT,
    "performance": _PERFORMANCE,
    "quality": (Family.QUALITY,),
    "health": (Family.HEALTH, Family.COST),
    "any": tuple(Family),
}
"""Which alerts a reaction's `on` means."""
_ALTERS = frozenset({Do.RETRAIN, Do.THRESHOLD})


@dataclass(frozen=True)
class Unseen:
    """Labels of answers that became known after the champion was trained. oldest: when the first of them
    became known (None: there is none)."""

    count: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True)
class View:
    """What is known at a moment. champion: its release (empty: none is). promoted: since when it is. before:
    the release that a rollback brings back (empty: there is none). trial: the release that goes up a ramp
    (empty: none does). zone: of cron expressions."""

    now: datetime
    champion: str = ""
    promoted: datetime | None = None
    before: str = ""
    trial: str = ""
    alerts: Sequence[AlertView] = ()
    jobs: Mapping[str, Job] = field(default_factory=dict)
    unseen: Unseen = Unseen()
    zone: str = "UTC"


@dataclass(frozen=True)
class Considered:
    """An action that the policy has come to. number: of its reaction, from 0. hold: why it is not decided on
    now; empty: it is."""

    action: Action
    number: int
    hold: str = ""


def decide(policy: Policy, view: View) -> tuple[Action, ...]:
    """The actions to be queued now, in the order of the reactions."""
    return tuple(c.action for c in consider(policy, view) if not c.hold)


def consider(policy: Policy, view: View) -> tuple[Considered, ...]:
    """Every action that a reaction asks for, with what holds it back, in the order of the reactions."""
    if not view.champion:
        return ()
    found: list[Considered] = []
    taken: set[Do] = set()
    for number, cause, reason in _causes(policy, view):
        action = _action(policy, number, cause, reason, view)
        if action.do is Do.ALERT:
            continue
        tried = _attempt(policy, action, view)
        hold = tried if isinstance(tried, str) else _held(policy, tried, view)
        if not isinstance(tried, str):
            action = tried
        if not hold and action.do in taken:
            hold = f"{action.do.value} is decided on already, for another cause"
        if not hold:
            taken.add(action.do)
        found.append(Considered(action, number, hold))
    return tuple(sorted(found, key=lambda c: c.number))


def fits(reaction: Reaction, alert: AlertView) -> bool:
    """Whether a reaction is for an alert as it stands. Once there were so many windows in a row it is, for as
    long as the alert is open."""
    families = FAMILIES.get(reaction.on, ())
    return any(f in families for f in alert.families) and alert.longest >= reaction.least


def _causes(policy: Policy, view: View) -> Iterator[tuple[int, str, str]]:
    """What calls for a reaction now: its number, the cause's name, and the reason in words."""
    for alert in view.alerts:
        # Somebody who acknowledged an alert sees to it; those of other releases are no longer to be mended.
        if alert.state is not AlertState.OPEN or alert.release != view.champion or alert.arm != "champion":
            continue
        number = _first(policy, alert, view)
        if number is not None:
            yield number, alert.alert, alert.title
    for number, reaction in enumerate(policy.reactions):
        if reaction.on == "schedule":
            due = newest_due(reaction.cron, view.zone, view.promoted or view.now, view.now)
            if due is not None:
                yield number, f"schedule {iso(due)}", f"schedule {reaction.cron}"
        elif reaction.on == "labels":
            yield from _labels(number, reaction, view)
        elif reaction.on == "continuous" and view.unseen.count:
            yield number, f"continuous {view.unseen.count}", f"{view.unseen.count:,} labels to go on with"


def _first(policy: Policy, alert: AlertView, view: View) -> int | None:
    """The first reaction that fits. A rollback that can't be, or comes too late, gives way to a later one; a
    person is asked where there is none."""
    fitting = [i for i, reaction in enumerate(policy.reactions) if fits(reaction, alert)]
    able = [
        i
        for i in fitting
        if policy.reactions[i].do != "roll back" or not _no_way_back(policy.reactions[i], view)
    ]
    return next(iter(able or fitting), None)


def _no_way_back(reaction: Reaction, view: View) -> str:
    """Why there is no rolling back without a person; empty where there is nothing against it."""
    if not view.before:
        return "no release was champion before this one: say what is to be done"
    if reaction.within is None or view.promoted is None:
        return ""
    since = view.now - view.promoted
    if since <= parse_duration(reaction.within):
        return ""
    told = format_duration(timedelta(seconds=round(since.total_seconds())))
    return (
        f"{view.champion} is champion for {told}, longer than {reaction.within}: roll back to {view.before}?"
    )


def _labels(number: int, reaction: Reaction, view: View) -> Iterator[tuple[int, str, str]]:
    """Labels that wait: once for every `count` of them, and once for every `age`."""
    unseen = view.unseen
    if reaction.count and unseen.count >= reaction.count:
        times = unseen.count // reaction.count
        yield number, f"labels {times} × {reaction.count:,}", f"{unseen.count:,} new labels"
    elif reaction.age is not None and unseen.oldest is not None:
        age = parse_duration(reaction.age)
        times = (view.now - unseen.oldest) // age if age > timedelta(0) else 0
        if times >= 1:
            told = format_duration(age * times)
            yield number, f"labels {times} × {reaction.age}", f"labels that wait for {told}"


def _action(policy: Policy, number: int, cause: str, reason: str, view: View) -> Action:
    reaction = policy.reactions[number]
    history = reaction.history
    if history is None and reaction.on == "continuous" and not policy.windows:
        history = ALL  # what is gone on from has learned from the first row on
    params = {"history": history} if history is not None else {}
    do = Do(reaction.do)
    action = Action(do, view.champion, cause, reason, _key(do, view.champion, cause, 1), params)
    return replace(action, ask=_no_way_back(reaction, view)) if do is Do.ROLL_BACK else action


def _key(do: Do, release: str, cause: str, attempt: int) -> str:
    return f"{do.value.replace(' ', '-')}-{digest([do.value, release, cause, attempt])[:12]}"


def _attempt(policy: Policy, action: Action, view: View) -> Action | str:
    """The action under the key of its next attempt; as text, why there is none now."""
    wait = parse_duration(policy.cool_down)
    for attempt in range(1, MOST + 1):
        key = _key(action.do, action.release, action.cause, attempt)
        job = view.jobs.get(key)
        if job is None:
            return replace(action, key=key)
        if not job.over:
            return f"{job.job} is {job.status}"
        if job.status not in ("blocked", "failed"):
            return f"{job.job} is {job.status}: it is done once"
        due = datetime.fromisoformat(job.finished) + wait * 2 ** (attempt - 1)
        if view.now < due and attempt < MOST:
            return f"{job.job} {_was(job)}; again after {iso(due)}"
    return f"tried {MOST} times: not again for this"


def _was(job: Job) -> str:
    return "was blocked" if job.status == "blocked" else "failed"


def _held(policy: Policy, action: Action, view: View) -> str:
    """Why an action that is new may not be taken now; empty where it may."""
    same = [j for j in view.jobs.values() if j.do is action.do]
    open_ = next((j for j in same if not j.over), None)
    if open_ is not None:
        return f"{open_.job} is {open_.status}"
    if action.do in _ALTERS and view.trial:
        return f"{view.trial} goes up its ramp"
    last = max((datetime.fromisoformat(j.queued) for j in same), default=None)
    wait = parse_duration(policy.cool_down)
    if last is not None and view.now - last < wait:
        return f"cool-down until {iso(last + wait)}"
    return ""
