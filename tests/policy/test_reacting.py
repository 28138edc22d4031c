"""What the policy decides: tables of cases, and laws that hold of any history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.clock import iso, micros
from headrace.core.jobs import Action, Do, Job
from headrace.core.schedules import Schedule, newest_due
from headrace.core.spec.watching import Policy, Reaction
from headrace.core.watching import AlertState, AlertView, Family
from headrace.policy.reacting import MOST, Unseen, View, consider, decide
from headrace.policy.simulate import replay

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)


def policy(*reactions: dict[str, Any], **more: Any) -> Policy:
    return Policy(reactions=tuple(Reaction(**r) for r in reactions), **more)


def alert(
    name: str = "a1",
    *families: Family,
    longest: int = 1,
    release: str = "new",
    arm: str = "champion",
    state: AlertState = AlertState.OPEN,
) -> AlertView:
    found = families or (Family.DRIFT,)
    when = micros(NOW)
    return AlertView(
        name,
        release,
        arm,
        f"{found[0].value} of x",
        found[0],
        found,
        (),
        when,
        when,
        iso(NOW),
        9,  # in all, however far apart
        {},
        state,
        longest=longest,
    )


def view(*alerts: AlertView, now: datetime = NOW, **more: Any) -> View:
    base = View(now, "new", LONG_AGO, "old", "", alerts)
    return replace(base, **more)


def does(wanted: Policy, seen: View) -> list[tuple[str, str]]:
    return [(a.do.value, a.cause) for a in decide(wanted, seen)]


RETRAIN = {"on": "drift", "do": "retrain"}


@pytest.mark.parametrize(
    ("reactions", "seen", "done"),
    [
        ([RETRAIN], view(), []),
        ([RETRAIN], view(alert()), [("retrain", "a1")]),
        ([RETRAIN], view(alert("a1", Family.QUALITY)), []),
        ([RETRAIN], view(alert("a1", Family.QUALITY, Family.CONCEPT)), [("retrain", "a1")]),
        ([{"on": "drift", "do": "alert"}, {"on": "any", "do": "retrain"}], view(alert()), []),
        ([{"on": "any", "do": "ask"}], view(alert("a1", Family.COST)), [("ask", "a1")]),
        ([RETRAIN | {"least": 3}], view(alert(longest=2)), []),
        ([RETRAIN | {"least": 3}], view(alert(longest=3)), [("retrain", "a1")]),
        ([RETRAIN | {"least": 3}, {"on": "any", "do": "ask"}], view(alert(longest=2)), [("ask", "a1")]),
        # Nobody's business: acknowledged, over, of another release, of a canary (its guardrails see to it).
        ([RETRAIN], view(alert(state=AlertState.ACKNOWLEDGED)), []),
        ([RETRAIN], view(alert(state=AlertState.RESOLVED)), []),
        ([RETRAIN], view(alert(release="old")), []),
        ([RETRAIN], view(alert(arm="canary")), []),
        ([RETRAIN], view(alert(), champion=""), []),
        # One action of a kind at a time, and none while a challenger goes up its ramp.
        ([RETRAIN], view(alert("a1"), alert("a2")), [("retrain", "a1")]),
        ([RETRAIN], view(alert(), trial="next"), []),
        ([{"on": "drift", "do": "roll back"}], view(alert(), trial="next"), [("roll back", "a1")]),
        # The order of reactions, not that of alerts.
        (
            [{"on": "health", "do": "roll back"}, RETRAIN],
            view(alert("a1"), alert("a2", Family.HEALTH)),
            [("roll back", "a2"), ("retrain", "a1")],
        ),
        # Labels.
        ([{"on": "labels", "do": "retrain", "count": 100}], view(unseen=Unseen(99, LONG_AGO)), []),
        (
            [{"on": "labels", "do": "retrain", "count": 100}],
            view(unseen=Unseen(250, LONG_AGO)),
            [("retrain", "labels 2 × 100")],
        ),
        ([{"on": "labels", "do": "retrain", "age": "31 days"}], view(unseen=Unseen(1, LONG_AGO)), []),
        (
            [{"on": "labels", "do": "retrain", "count": 100, "age": "14 days"}],
            view(unseen=Unseen(1, LONG_AGO)),
            [("retrain", "labels 2 × 14 days")],
        ),
        ([{"on": "labels", "do": "retrain", "age": "14 days"}], view(), []),
        ([{"on": "continuous", "do": "retrain"}], view(), []),
        (
            [{"on": "continuous", "do": "retrain"}],
            view(unseen=Unseen(3, NOW)),
            [("retrain", "continuous 3")],
        ),
        ([{"on": "continuous", "do": "retrain"}], view(unseen=Unseen(3, NOW), trial="next"), []),
        # The newest moment of a schedule, if the champion is older.
        (
            [{"on": "schedule", "do": "retrain", "cron": "0 3 * * *"}],
            view(),
            [("retrain", "schedule 2026-05-04T03:00:00.000000Z")],
        ),
        ([{"on": "schedule", "do": "retrain", "cron": "0 3 1 1 *"}], view(), []),
        (
            [{"on": "schedule", "do": "retrain", "cron": "0 12 * * *"}],
            view(),
            [("retrain", "schedule 2026-05-04T12:00:00.000000Z")],
        ),
    ],
)
def test_what_is_done(reactions: list[dict[str, Any]], seen: View, done: list[tuple[str, str]]) -> None:
    assert does(policy(*reactions), seen) == done


def test_a_rollback_that_comes_too_late_gives_way_and_asks_where_nothing_else_fits() -> None:
    back = {"on": "performance", "do": "roll back", "within": "7 days"}
    harm = alert("a1", Family.PERFORMANCE)
    soon = view(harm, promoted=NOW - timedelta(days=6))
    (action,) = decide(policy(back), soon)
    assert (action.do, action.ask) == (Do.ROLL_BACK, "")
    (action,) = decide(policy(back), view(harm))
    assert "has been champion" in action.ask or "is champion for 30 days" in action.ask
    assert does(policy(back, {"on": "performance", "do": "retrain"}), view(harm)) == [("retrain", "a1")]
    (action,) = decide(policy(back), replace(soon, before=""))
    assert "no release was champion before" in action.ask
    assert does(policy(back, {"on": "any", "do": "retrain"}), replace(soon, before="")) == [("retrain", "a1")]


def as_job(action: Action, at: datetime, status: str = "done", ended: datetime | None = None) -> Job:
    done = iso(ended or at) if status in ("done", "blocked", "failed", "refused") else ""
    return Job(
        action.key, action.do, action.release, action.cause, action.reason, iso(at), {}, status, finished=done
    )


def test_a_decision_is_carried_out_once() -> None:
    wanted, seen = policy(RETRAIN), view(alert())
    (first,) = decide(wanted, seen)
    assert decide(wanted, seen) == (first,)
    for status in ("queued", "taken", "asked", "done", "refused"):
        for days in (0, 2, 400):
            later = replace(
                seen, now=NOW + timedelta(days=days), jobs={first.key: as_job(first, NOW, status)}
            )
            assert decide(wanted, later) == (), (status, days)


def test_what_was_blocked_is_tried_again_ever_later_and_not_for_ever() -> None:
    wanted = policy(RETRAIN, cool_down="2 days")
    jobs: dict[str, Job] = {}
    tried = []
    for hour in range(0, 24 * 400, 6):
        now = NOW + timedelta(hours=hour)
        for action in decide(wanted, view(alert(), now=now, jobs=jobs)):
            tried.append(hour / 24)
            jobs = {**jobs, action.key: as_job(action, now, "blocked")}
    assert tried == [0, 2, 6, 14]
    assert len(tried) == MOST
    (left,) = consider(wanted, view(alert(), now=NOW + timedelta(days=400), jobs=jobs))
    assert "not again for this" in left.hold


def test_another_cause_waits_for_the_cool_down() -> None:
    wanted = policy(RETRAIN, {"on": "health", "do": "roll back"}, cool_down="3 days")
    (first,) = decide(wanted, view(alert("a1")))
    jobs = {first.key: as_job(first, NOW)}
    both = (alert("a1"), alert("a2"))
    (held,) = [c for c in consider(wanted, view(*both, jobs=jobs)) if c.action.cause == "a2"]
    assert held.hold.startswith("cool-down until 2026-05-07")
    later = view(*both, jobs=jobs, now=NOW + timedelta(days=3))
    assert does(wanted, later) == [("retrain", "a2")]
    # Another kind of action does not wait.
    assert does(wanted, view(alert("a3", Family.HEALTH), jobs=jobs)) == [("roll back", "a3")]


def test_labels_call_once_for_every_so_many() -> None:
    wanted = policy({"on": "labels", "do": "retrain", "count": 100}, cool_down="0 s")
    jobs: dict[str, Job] = {}
    called = []
    for count in range(0, 350, 10):
        for action in decide(wanted, view(unseen=Unseen(count, LONG_AGO), jobs=jobs)):
            called.append(count)
            jobs = {**jobs, action.key: as_job(action, NOW)}
    assert called == [100, 200, 300]


def test_continuous_learns_as_often_as_the_cool_down_lets_and_from_all_there_is() -> None:
    wanted = policy({"on": "continuous", "do": "retrain"}, cool_down="6 h")
    jobs: dict[str, Job] = {}
    called = []
    for hour in range(48):
        now, count = NOW + timedelta(hours=hour), min(hour, 20)  # a label an hour, then none
        for action in decide(wanted, view(unseen=Unseen(count, NOW), now=now, jobs=jobs)):
            assert (action.params, action.reason) == ({"history": "all"}, f"{count} labels to go on with")
            called.append((hour, action.cause))
            jobs = {**jobs, action.key: as_job(action, now)}
    assert called == [(h, f"continuous {min(h, 20)}") for h in (1, 7, 13, 19, 25)]
    # Where lengths are declared they are meant, and one that is asked has to be answered first.
    longer = wanted.model_copy(update={"windows": ("30 days", "90 days")})
    (action,) = decide(longer, view(unseen=Unseen(3, NOW)))
    assert action.params == {}
    (action,) = decide(wanted, view(unseen=Unseen(3, NOW)))
    waits = view(unseen=Unseen(4, NOW), jobs={action.key: as_job(action, LONG_AGO, "asked")})
    assert does(wanted, waits) == []


def test_history_is_given_along() -> None:
    (action,) = decide(policy(RETRAIN | {"history": "90 days"}), view(alert()))
    assert action.params == {"history": "90 days"}


# --- laws ------------------------------------------------------------------------------------------

FAMILIES = st.sampled_from(list(Family))
ALERTS = st.builds(
    alert,
    st.sampled_from(["a1", "a2", "a3"]),
    FAMILIES,
    longest=st.integers(1, 4),
    release=st.sampled_from(["new", "old"]),
    state=st.sampled_from(list(AlertState)),
)
REACTIONS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        dict,
        on=st.sampled_from(["drift", "performance", "quality", "health", "any"]),
        do=st.sampled_from(["alert", "retrain", "threshold", "roll back", "retire", "ask"]),
        least=st.integers(1, 3),
    ),
    st.builds(
        dict,
        on=st.just("schedule"),
        do=st.just("retrain"),
        cron=st.sampled_from(["0 3 * * *", "*/7 * * * *"]),
    ),
    st.builds(dict, on=st.just("labels"), do=st.sampled_from(["retrain", "ask"]), count=st.integers(1, 50)),
    st.just({"on": "continuous", "do": "retrain"}),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(REACTIONS, max_size=4), st.lists(ALERTS, max_size=4, unique_by=lambda a: a.alert), st.data())
def test_laws_of_any_history(
    reactions: list[dict[str, Any]], alerts: list[AlertView], data: st.DataObject
) -> None:
    wanted = policy(*reactions, cool_down="6 h")
    jobs: dict[str, Job] = {}
    now, last = NOW, dict[Do, datetime]()
    for _ in range(8):
        now += timedelta(hours=data.draw(st.integers(0, 12)))
        seen = view(*alerts, now=now, jobs=jobs, unseen=Unseen(data.draw(st.integers(0, 200)), LONG_AGO))
        actions = decide(wanted, seen)
        assert actions == decide(wanted, seen)  # pure
        kinds = [a.do for a in actions]
        assert len(set(kinds)) == len(kinds)  # one of a kind
        for action in actions:
            assert action.key not in jobs  # once
            assert action.do is not Do.ALERT
            assert action.release == "new"
            if action.do in last:
                assert now - last[action.do] >= timedelta(hours=6)  # cool-down
            assert not any(j.do is action.do and not j.over for j in jobs.values())  # none beside one open
            last[action.do] = now
            status = data.draw(st.sampled_from(["done", "blocked", "failed", "queued", "asked", "refused"]))
            jobs = {**jobs, action.key: as_job(action, now, status)}


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["0 3 * * *", "30 2 * * *", "*/17 * * * *", "0 0 1 * *", "15 */6 * * 1", "0 12 29 2 *"]),
    st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2023, 1, 1), datetime(2026, 12, 31)),
    st.integers(0, 60 * 24 * 40),
)
def test_the_newest_moment_is_that_of_a_schedule(cron: str, zone: str, start: datetime, minutes: int) -> None:
    since = start.replace(tzinfo=UTC)
    now = since + timedelta(minutes=minutes)
    listed = Schedule("s", cron, zone, "", "", iso(since)).due(now)
    assert newest_due(cron, zone, since, now) == (listed[-1] if listed else None)


def test_replayed_a_policy_acts_as_it_would_have_and_tells_each_action_once() -> None:
    wanted = policy(RETRAIN, cool_down="1 day")

    def seen(now: datetime) -> View:
        open_ = [alert("a1")] if now >= NOW + timedelta(hours=5) else []
        open_ += [alert("a2")] if now >= NOW + timedelta(hours=8) else []
        return view(*open_, now=now)

    moments = [NOW + timedelta(hours=h) for h in range(60)]
    would = replay(wanted, moments, seen)
    assert [(w.at, w.action.cause) for w in would] == [
        (iso(NOW + timedelta(hours=5)), "a1"),
        (iso(NOW + timedelta(hours=29)), "a2"),
    ]
