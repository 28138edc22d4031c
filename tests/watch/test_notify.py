"""Who hears of what, and that nothing is lost while a receiver is down."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.core.clock import iso, micros
from headrace.core.errors import StoreError, Undelivered, UserError
from headrace.core.jobs import Do, Job
from headrace.core.ports import Sink
from headrace.core.watching import AlertState, AlertView, Family, Message
from headrace.stores.outbox import Outbox
from headrace.stores.own_file import OwnFile
from headrace.watch.notify import Receiver, deliver, described, queue

DAY_US = 86_400_000_000
BEGAN = datetime(2025, 11, 21, 12, tzinfo=UTC)


class Heard:
    """A receiver that is down at times."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.down = False
        self.tried = 0

    def send(self, message: Message) -> None:
        self.tried += 1
        if self.down:
            raise Undelivered("down", why="no route")
        self.messages.append(message)

    @property
    def told(self) -> list[str]:
        about = [(m, m.about) for m in self.messages]
        return [f"{a.job if isinstance(a, Job) else a.alert} {m.told.value}" for m, a in about]


class Desk:
    """An outbox, a clock and receivers."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox(folder / "outbox.db")
        self.now = BEGAN
        self.heard = Heard()

    def receiver(self, name: str = "hook", **changes: Any) -> Receiver:
        return Receiver(name, lambda: self.heard, **changes)

    def round(
        self,
        alerts: Sequence[AlertView],
        *receivers: Receiver,
        after: timedelta = timedelta(),
        jobs: Sequence[Job] = (),
    ) -> Any:
        self.now += after
        to = receivers or (self.receiver(),)
        queue(self.outbox, alerts, to, jobs=jobs, project="flights", cool_down_us=DAY_US, now=self.now)
        return deliver(self.outbox, to, lambda: self.now)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def alert(name: str = "a1", **changes: Any) -> AlertView:
    at = micros(BEGAN)
    opened = AlertView(
        name, "r1", "champion", "data drift: delay", Family.DRIFT, ("drift",), ({"family": "drift"},),
        at - DAY_US, at, iso(BEGAN), changed=iso(BEGAN),
    )  # fmt: skip
    return replace(opened, **changes)


READABLE = {"readings": ({"family": "drift", "check": "ks", "of": "delay", "value": 0.3},)}


def test_an_alert_is_told_once(desk: Desk) -> None:
    for _ in range(3):
        desk.round([alert()], after=timedelta(minutes=1))
    assert desk.heard.told == ["a1 opened"]


def test_nothing_is_made_before_something_is_told(desk: Desk) -> None:
    desk.round([])
    assert not desk.outbox.path.exists() and described(desk.outbox) == []


def test_none_is_lost_while_the_receiver_is_down(desk: Desk) -> None:
    desk.heard.down = True
    many = [alert(f"a{i}") for i in range(20)]
    told = desk.round(many)
    assert told.sent == 0 and told.trouble == {"hook": "down: no route"}
    assert desk.heard.tried == 1, "one that is down is not asked twenty times"
    for _ in range(10):
        desk.round(many, after=timedelta(minutes=7))
    assert desk.heard.tried < 12, "it is tried again at growing distances"
    desk.heard.down = False
    for _ in range(4):
        desk.round(many, after=timedelta(hours=1))
    assert sorted(desk.heard.told) == sorted(f"a{i} opened" for i in range(20))


def test_the_others_hear_while_one_is_down(desk: Desk) -> None:
    broken = Heard()
    broken.down = True
    down = Receiver("down", lambda: broken)
    told = desk.round([alert()], down, desk.receiver())
    assert told.sent == 1 and desk.heard.told == ["a1 opened"]


def test_whatever_a_sink_raises_the_others_hear_and_it_is_tried_again(desk: Desk) -> None:
    class Broken:
        def send(self, message: Message) -> None:
            raise UnicodeError("label empty: https://secret.example.com")

    broken = Receiver("broken", Broken)
    for _ in range(3):
        told = desk.round([alert("a1"), alert("a2")], broken, desk.receiver(), after=timedelta(minutes=1))
        assert told.trouble == {"broken": "UnicodeError"}, "what it says may be a secret"
    assert desk.heard.told == ["a1 opened", "a2 opened"]
    waits = [m for m in described(desk.outbox) if m["receiver"] == "broken"]
    assert [(m["sent"], m["tries"]) for m in waits] == [("", 3), ("", 3)]


def test_a_setting_that_is_missing_is_told_and_the_message_kept(desk: Desk) -> None:
    def unset() -> Sink:
        raise UserError("ALERTS_URL is not set")

    told = desk.round([alert()], Receiver("hook", unset))
    assert told.trouble == {"hook": "ALERTS_URL is not set"}
    desk.round([alert()], after=timedelta(minutes=1))
    assert desk.heard.told == ["a1 opened"]


def test_a_receiver_that_the_spec_names_no_more_hears_nothing(desk: Desk) -> None:
    desk.heard.down = True
    desk.round([alert()])
    desk.heard.down = False
    told = desk.round([], desk.receiver("another"), after=timedelta(hours=1))
    assert told.sent == 0 and "no more" in told.trouble["hook"]


def test_only_harm_is_told_where_that_is_wanted(desk: Desk) -> None:
    high = desk.receiver(high=True)
    desk.round([alert()], high)
    assert desk.heard.told == []
    desk.round([alert(families=("drift", "performance"))], high)
    assert desk.heard.told == ["a1 opened"]


def test_what_nobody_acknowledges_is_escalated(desk: Desk) -> None:
    late = desk.receiver("boss", after_us=4 * 3_600_000_000)
    desk.round([alert()], late, after=timedelta(hours=3))
    assert desk.heard.told == []
    desk.round([alert()], late, after=timedelta(hours=2))
    desk.round([alert()], late, after=timedelta(hours=2))
    assert desk.heard.told == ["a1 escalated"]
    acknowledged = alert("a2", state=AlertState.ACKNOWLEDGED)
    desk.round([acknowledged], late, after=timedelta(hours=9))
    assert desk.heard.told == ["a1 escalated"]


def test_what_goes_on_is_told_again_after_the_cool_down_unless_somebody_sees_to_it(desk: Desk) -> None:
    desk.round([alert()])
    soon = alert(changed=iso(BEGAN + timedelta(hours=5)), windows=6)
    desk.round([soon], after=timedelta(hours=5))
    assert desk.heard.told == ["a1 opened"]
    later = alert(changed=iso(BEGAN + timedelta(hours=30)), windows=31)
    for _ in range(2):
        desk.round([later], after=timedelta(hours=13))
    desk.round([replace(later, state=AlertState.ACKNOWLEDGED)], after=timedelta(hours=40))
    assert desk.heard.told == ["a1 opened", "a1 goes on"]


def test_what_is_over_is_told_to_those_who_heard_of_it(desk: Desk) -> None:
    late = desk.receiver("boss", after_us=3_600_000_000)
    desk.round([alert()], desk.receiver(), late)
    over = alert(state=AlertState.RESOLVED, changed=iso(BEGAN + timedelta(minutes=5)))
    desk.round([over], desk.receiver(), late, after=timedelta(hours=2))
    assert desk.heard.told == ["a1 opened", "a1 resolved"], "nothing was escalated"


def test_what_goes_on_after_it_was_over_is_told_and_its_end_again(desk: Desk) -> None:
    late = desk.receiver("boss", after_us=3_600_000_000)
    hour = timedelta(hours=1)
    desk.round([alert()])
    over = alert(state=AlertState.RESOLVED, changed=iso(BEGAN + hour))
    desk.round([over], after=hour)
    goes_on = alert(reopened=iso(BEGAN + 2 * hour), changed=iso(BEGAN + 2 * hour))
    for _ in range(3):
        desk.round([goes_on], after=hour)  # also to one who never heard of it
    assert desk.heard.told == ["a1 opened", "a1 resolved", "a1 goes on"]
    desk.round([replace(goes_on, changed=iso(BEGAN + 25 * hour))], after=21 * hour)
    assert len(desk.heard.told) == 3, "the cool-down begins anew"
    desk.round([replace(goes_on, changed=iso(BEGAN + 27 * hour))], after=2 * hour)
    for _ in range(2):  # labels of the same window: as many windows as the first time it was over
        desk.round([replace(goes_on, state=AlertState.RESOLVED)], after=hour)
    assert desk.heard.told[3:] == ["a1 goes on", "a1 resolved"]
    again = alert(reopened=iso(desk.now), changed=iso(desk.now), windows=2)
    for _ in range(2):
        desk.round([again], after=hour)
    assert desk.heard.told[5:] == ["a1 goes on"]

    desk.heard.messages.clear()
    desk.round([again], late)
    desk.round([replace(again, state=AlertState.RESOLVED)], late, after=hour)
    assert desk.heard.told == ["a1 escalated", "a1 resolved"], "who was not told that it was over"


def test_an_escalation_that_was_over_waits_anew(desk: Desk) -> None:
    late, hour = desk.receiver("boss", after_us=4 * 3_600_000_000), timedelta(hours=1)
    desk.round([alert()], late, after=5 * hour)
    desk.round([alert(state=AlertState.RESOLVED)], late, after=hour)
    goes_on = alert(reopened=iso(BEGAN + 7 * hour), changed=iso(BEGAN + 7 * hour))
    desk.round([goes_on], late, after=3 * hour)
    assert desk.heard.told == ["a1 escalated", "a1 resolved"]
    desk.round([replace(goes_on, state=AlertState.ACKNOWLEDGED)], late, after=5 * hour)
    desk.round([replace(goes_on, state=AlertState.RESOLVED)], late, after=hour)
    assert desk.heard.told == ["a1 escalated", "a1 resolved"], "somebody saw to it in time"
    desk.round([replace(goes_on, reopened=iso(desk.now))], late, after=5 * hour)
    assert desk.heard.told[2:] == ["a1 goes on"]


def test_what_came_and_went_between_two_looks_is_told(desk: Desk) -> None:
    desk.round([alert(state=AlertState.RESOLVED)])
    assert desk.heard.told == ["a1 opened", "a1 resolved"]


def test_what_was_over_long_ago_is_not_told_to_a_new_receiver(desk: Desk) -> None:
    desk.round([alert(state=AlertState.RESOLVED)], after=timedelta(days=3))
    assert desk.heard.told == []


def test_a_message_arrives_as_it_was(desk: Desk) -> None:
    sent = alert(**READABLE, why={"lines": ["since noon"]})
    desk.round([sent])
    assert desk.heard.messages[0].alert == sent


def test_a_round_opens_the_outbox_as_often_for_many_alerts_as_for_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.round([alert()])
    opened: list[Path] = []
    connect = OwnFile.connect

    def counted(file: OwnFile, path: Path, patience: float) -> sqlite3.Connection:
        opened.append(path)
        return connect(file, path, patience)

    monkeypatch.setattr(OwnFile, "connect", counted)
    many = [alert(f"a{i}", state=AlertState.ACKNOWLEDGED) for i in range(50)]
    to = [desk.receiver(), desk.receiver("another")]
    for expected, connections in ((49 + 50, 2), (0, 1)):  # the first receiver has heard of a1
        opened.clear()
        due = queue(desk.outbox, many, to, project="flights", cool_down_us=DAY_US, now=desk.now)
        assert (due, len(opened)) == (expected, connections), "what is known is read once, and written once"


def test_a_file_of_somebody_elses_is_told(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="outbox"):
        Outbox(tmp_path / "outbox.db").due(1)


def job(status: str, **changes: Any) -> Job:
    made = Job("retrain-1", Do.RETRAIN, "r1", "a1", "data drift: delay", iso(BEGAN), status=status)
    return replace(made, **changes)


def test_a_job_that_needs_somebody_is_told_once_for_each_time_that_it_does(desk: Desk) -> None:
    hour = timedelta(hours=1)
    for _ in range(2):
        desk.round([], jobs=[job("queued"), job("taken"), job("done", finished=iso(BEGAN))])
    assert desk.heard.told == []
    asks = job("asked", ask="may it answer?")
    for _ in range(2):
        desk.round([], jobs=[asks], after=hour)
    again = replace(asks, finished=iso(BEGAN + 3 * hour), ask="and now?")
    for _ in range(2):
        desk.round([], jobs=[again], after=hour)
    blocked = job("blocked", finished=iso(BEGAN + 5 * hour), result={"reason": "no worse than champion"})
    for _ in range(2):
        desk.round([], jobs=[blocked], after=hour)
    assert desk.heard.told == ["retrain-1 asked", "retrain-1 asked", "retrain-1 blocked"]
    last = desk.heard.messages[-1]
    assert last.subject == "[flights] retrain (data drift: delay) was blocked: no worse than champion"


def test_what_has_ended_long_ago_is_history_and_what_asks_is_not(desk: Desk) -> None:
    old = iso(BEGAN - timedelta(days=3))
    ended = [job(s, finished=old, job=f"retrain-{s}") for s in ("blocked", "failed")]
    desk.round([], jobs=[*ended, job("asked", queued=old, ask="?")])
    assert desk.heard.told == ["retrain-1 asked"]


def test_a_question_that_nobody_answers_is_escalated_and_an_end_is_not(desk: Desk) -> None:
    later = desk.receiver(after_us=4 * 3_600_000_000)
    told = [job("asked", ask="?"), job("failed", job="retrain-2", finished=iso(BEGAN))]
    desk.round([], later, jobs=told, after=timedelta(hours=1))
    assert desk.heard.told == []
    for _ in range(2):
        desk.round([], later, jobs=told, after=timedelta(hours=4))
    assert desk.heard.told == ["retrain-1 escalated"]


def test_one_who_hears_only_of_what_harms_hears_of_jobs(desk: Desk) -> None:
    desk.round([alert()], desk.receiver(high=True), jobs=[job("asked", ask="?")])
    assert desk.heard.told == ["retrain-1 asked"]


def test_a_subject_is_one_line_whatever_is_in_it(desk: Desk) -> None:
    hard = "data drift: a\r\nBcc: x@example.com"
    desk.round([alert(title=hard)], jobs=[job("asked", reason=hard, ask="?")])
    assert [m.subject for m in desk.heard.messages] == [
        "[flights] opened: data drift: a Bcc: x@example.com",
        "[flights] retrain (data drift: a Bcc: x@example.com) asks: ?",
    ]
