"""Readings become alerts, and alerts end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from headrace.core.event import GENESIS, Draft, Event, seal_event
from headrace.core.watching import AlertState, AlertView, Family, Reading, Window, alerts
from headrace.watch.alerting import drafts, left, ranked, title
from headrace.watch.arms import Arms

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 1_763_740_800_000_000


def window(number: int, **changes: Any) -> Window:
    at = START + number * HOUR
    return replace(Window("r1", "champion", at, at + HOUR, 500), **changes)


def reading(of: str = "delay", **changes: Any) -> Reading:
    told = Reading(Family.DRIFT, "ks", of, value=0.3, threshold=0.1, exceeds=True, p=1e-6, n=500)
    return replace(told, **changes)


QUIET = reading(value=0.05, exceeds=False, p=0.4)


class Told:
    """A ledger of alerts."""

    def __init__(self, cool_down: int = DAY) -> None:
        self.events: list[Event] = []
        self.cool_down = cool_down

    @property
    def alerts(self) -> dict[str, AlertView]:
        return alerts(self.events)

    def take(self, seen: Window, *readings: Reading, after: int | None = None) -> tuple[Draft, ...]:
        made = drafts(
            seen,
            readings,
            self.alerts.values(),
            cool_down_us=self.cool_down,
            now=f"at {seen.end}",
            actor="watch",
            why=lambda over: {"of": [r.of for r in over]},
            after=after,
        )
        self.add(made)
        return made

    def add(self, made: Sequence[Draft]) -> None:
        for draft in made:
            self.events.append(seal_event(draft, len(self.events) + 1, GENESIS))

    @property
    def only(self) -> AlertView:
        (alert,) = self.alerts.values()
        return alert


def test_what_does_not_exceed_is_no_alert() -> None:
    told = Told()
    assert told.take(window(0), QUIET) == ()


def test_all_that_exceeds_in_a_window_is_one_alert_led_by_what_names_the_fault() -> None:
    told = Told()
    worse = reading("gust", family=Family.QUALITY, check="missing", p=None, value=1.0)
    (made,) = told.take(window(0), reading(), worse, reading("", family=Family.PERFORMANCE, check="f1"))
    assert made.kind == "alert.opened"
    assert told.only.title == "data quality: gust and 2 more"
    assert told.only.families == ("quality", "performance", "drift")
    assert told.only.harms
    assert (told.only.since, told.only.seen) == (window(0).start, window(0).end)


def test_the_same_thing_later_adds_to_its_alert() -> None:
    told = Told()
    told.take(window(0), reading())
    told.take(window(1), QUIET)
    (made,) = told.take(window(2), reading(value=0.4))
    assert made.kind == "alert.seen"
    assert told.only.windows == 2 and told.only.seen == window(2).end
    assert [r["value"] for r in told.only.readings] == [0.4], "each is as it was last"


def test_something_else_later_is_another_alert() -> None:
    told = Told()
    told.take(window(0), reading())
    told.take(window(5), reading("gust"))
    assert len(told.alerts) == 2


def test_labels_of_the_same_traffic_add_to_its_alert() -> None:
    told = Told()
    told.take(window(0), reading())
    told.take(window(0), reading("", family=Family.PERFORMANCE, check="f1", p=None))
    assert told.only.families == ("drift", "performance")


def test_what_follows_from_a_fault_keeps_the_fault_and_its_reason() -> None:
    told = Told()
    fault = reading("gust", family=Family.QUALITY, check="missing", p=None)
    (opened,) = told.take(window(0), fault)
    told.events.clear()
    told.add([replace(opened, payload={**opened.payload, "why": {"lines": ["the feed is empty"]}})])
    (seen,) = told.take(window(0), reading("", family=Family.PERFORMANCE, check="f1", p=None))
    told.events.pop()
    told.add([replace(seen, payload={**seen.payload, "why": {"lines": ["f1 fell"]}})])
    assert [r["of"] for r in told.only.readings] == ["gust", ""], "the fault leads"
    assert told.only.why == {"lines": ["the feed is empty"]} and told.only.windows == 1


def test_other_arms_and_releases_have_alerts_of_their_own() -> None:
    told = Told()
    told.take(window(0), reading())
    told.take(window(0, arm="canary"), reading())
    told.take(window(0, release="r2"), reading())
    assert len(told.alerts) == 3


def test_what_went_back_is_resolved_after_the_cool_down() -> None:
    told = Told(cool_down=3 * HOUR)
    told.take(window(0), reading())
    assert told.take(window(1), QUIET) == () and told.take(window(2), QUIET) == ()
    assert told.take(window(3), reading("other", exceeds=False)) == ()  # says nothing of the delay
    (made,) = told.take(window(4), QUIET)
    assert made.kind == "alert.resolved" and told.only.state is AlertState.RESOLVED
    assert told.take(window(5), QUIET) == ()


@pytest.mark.parametrize("check", ["unknown", "vanished", "stale"])
def test_what_is_told_only_while_it_is_wrong_is_over_when_nothing_is_told_of_it(check: str) -> None:
    told = Told(cool_down=2 * HOUR)
    told.take(window(0), reading("foo", family=Family.QUALITY, check=check, p=None))
    assert told.take(window(1), QUIET) == (), "not for long enough"
    assert told.take(window(3, rows=0)) == (), "nothing came"
    told.take(window(4), QUIET)
    assert told.only.state is AlertState.RESOLVED


def test_what_could_not_be_measured_resolves_nothing() -> None:
    told = Told(cool_down=HOUR)
    told.take(window(0), reading())
    assert told.take(window(9), reading(value=None, exceeds=False, why_none="too few rows")) == ()
    assert told.only.state is AlertState.OPEN


def test_what_comes_back_within_the_cool_down_is_open_again() -> None:
    told = Told()
    told.take(window(0), reading())
    told.add([Draft("alert.resolved", told.only.alert, "t", "ann", {"reason": "mended"})])
    told.take(window(2), reading())
    assert told.only.state is AlertState.OPEN and told.only.reopened == f"at {window(2).end}"
    told.add([Draft("alert.resolved", told.only.alert, "t", "ann", {"reason": "mended"})])
    told.take(window(40), reading())
    assert len(told.alerts) == 2, "long after, it is a new one"


def test_an_acknowledged_alert_stays_so_when_it_is_seen_again() -> None:
    told = Told()
    told.take(window(0), reading())
    told.add([Draft("alert.acknowledged", told.only.alert, "t", "ann", {})])
    told.take(window(1), reading())
    assert told.only.state is AlertState.ACKNOWLEDGED and told.only.by == "ann"


def test_windows_in_a_row_are_counted_apart_from_those_with_quiet_ones_between() -> None:
    told = Told()
    rows = []
    for hour in range(24):
        told.take(window(hour), reading() if hour in (0, 10, 20, 21) else QUIET)
        rows.append((told.only.windows, told.only.run, told.only.longest))
    assert (rows[20], rows[23]) == ((3, 1, 1), (4, 2, 2))
    told.take(window(40), reading(), after=window(23).end)
    assert (told.only.run, told.only.longest) == (1, 2)
    told.take(window(40), reading("", family=Family.PERFORMANCE, check="f1"))  # labels of the same one
    assert told.only.run == 1
    told.take(window(48), reading(), after=window(40).end)  # no traffic between them
    assert (told.only.run, told.only.longest) == (2, 2)


def test_alerts_of_before_are_still_read() -> None:
    told = Told()
    told.take(window(0), reading())
    told.take(window(1), reading())
    old = [replace(e, payload={k: v for k, v in e.payload.items() if k != "after"}) for e in told.events]
    (alert,) = alerts(old).values()
    assert (alert.windows, alert.run, alert.longest) == (2, 1, 1), "what nobody saw is no run"


def test_who_sees_to_one_fault_hears_of_another() -> None:
    told = Told()
    known, new = reading("foo", family=Family.QUALITY), reading("", family=Family.HEALTH, check="errors")
    told.take(window(0), known)
    told.add([Draft("alert.acknowledged", told.only.alert, "t", "ann", {})])
    made = told.take(window(1), new, known)
    assert [(d.kind, d.payload["why"]["of"]) for d in made] == [
        ("alert.seen", ["foo"]),
        ("alert.opened", [""]),
    ]
    told.take(window(2), known, new)
    told.take(window(3), new)
    first, second = told.alerts.values()
    assert (first.state, first.families, first.windows) == (AlertState.ACKNOWLEDGED, ("quality",), 3)
    assert (second.state, second.families, second.windows) == (AlertState.OPEN, ("health",), 3)
    told.add([Draft("alert.acknowledged", second.alert, "t", "ann", {})])
    assert [d.kind for d in told.take(window(4), new, known)] == ["alert.seen", "alert.seen"]
    assert {a.state for a in told.alerts.values()} == {AlertState.ACKNOWLEDGED}


def test_the_same_window_gives_the_same_alert() -> None:
    """A tick that died before it could write is done again."""
    one = drafts(window(0), [reading()], [], cool_down_us=DAY, now="a", actor="watch")
    two = drafts(window(0), [reading()], [], cool_down_us=DAY, now="b", actor="watch")
    assert one[0].subject == two[0].subject
    other = drafts(window(1), [reading()], [], cool_down_us=DAY, now="a", actor="watch")
    assert one[0].subject != other[0].subject


def test_alerts_of_a_release_that_answers_no_more_are_over() -> None:
    told = Told()
    told.take(window(0), reading())
    assert left(told.alerts.values(), {("r1", "champion")}, "t", "watch") == ()
    told.add(left(told.alerts.values(), {("r2", "champion")}, "t", "watch"))
    assert told.only.state is AlertState.RESOLVED


def test_a_release_scores_batches_until_it_is_retired() -> None:
    told = [
        seal_event(Draft(kind, release, f"2026-03-02T0{i}:00:00Z", "me", {}), i + 1, GENESIS)
        for i, (kind, release) in enumerate(
            [
                ("release.made", "r1"),
                ("release.promoted", "r1"),
                ("release.made", "r2"),
                ("release.promoted", "r2"),
                ("release.retired", "r1"),
                ("release.rolled_back", "r1"),
                ("release.retired", "r2"),
            ]
        )
    ]

    def batch(upto: int) -> set[str]:
        return {release for release, arm in Arms(told[:upto]).live if arm == "batch"}

    assert [batch(n) for n in range(8)] == [
        *(set(), {"r1"}, {"r1"}, {"r1", "r2"}, {"r1", "r2"}, {"r2"}, {"r1", "r2"}, {"r1"})
    ]
    assert {a for a in Arms(told[:4]).live if a[1] != "batch"} == {("r2", "champion")}


def test_the_less_likely_leads_then_what_is_further_beyond() -> None:
    far = reading("far", p=None, value=0.9)
    near = reading("near", p=None, value=0.2)
    sure = reading("sure", p=1e-9, value=0.11)
    assert [r.of for r in ranked([near, far, sure])] == ["sure", "far", "near"]
    assert title([sure]) == "data drift: sure"
