"""What pages say: models made from ledger, log, queue and watch file, and what their forms do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from spine import AUTHOR, Clock, edit_spec
from visitor import Browser, pages_of

from headrace.core.answered import Answered
from headrace.core.clock import iso, micros
from headrace.core.event import Draft
from headrace.core.evidence import Outcome
from headrace.core.review import Item
from headrace.core.watching import Family, Reading
from headrace.logs.writer import LogWriter
from headrace.project import Project
from headrace.stores.watch_file import WatchFile
from headrace.testing.log_exam import Callers
from headrace.watch.readings import write
from headrace.web import channel
from headrace.web.channel import Reach
from headrace.web.pages.ledger import _below

DEPTH_2 = ("[tree]", "[{use: tree, params: {max_depth: 2}}]")
LENIENT = ("cv: {folds: 3}", "cv: {folds: 3}\npromote: {margin: 0.9}")


@pytest.fixture
def colleague(finished: Project) -> Iterator[Browser]:
    """Somebody else than the author, at this machine."""
    with pages_of(finished.acting("colleague@example.com")) as shell:
        yield Browser(shell)


def test_now_tells_how_far_the_newest_run_came(finished: Project, browser: Browser) -> None:
    now = browser.plain("/ui/now.json")
    states = {r["name"]: r["state"] for r in now["reaches"]}
    assert list(states)[-3:] == ["serve", "watch", "act"]
    assert {states[n] for n in ("frame", "learn", "test", "promote", "serve")} == {"open"}
    champion = finished.releases().champion
    assert champion is not None and now["live"]["release"] == champion.release
    assert now["live"]["metric"] == "f1"
    assert not now["blocked"] and not now["needs"]


def test_now_names_the_gate_in_the_way_and_its_owner(finished: Project, browser: Browser) -> None:
    edit_spec(
        finished,
        ("ship_at: 0.3", "ship_at: 0.3\n  go: {decided_by: me, on: 2025-01-01, expires: 2025-06-01}"),
    )
    assert finished.run(raises=False).status == "blocked"
    now = browser.plain("/ui/now.json")
    states = {r["name"]: r["state"] for r in now["reaches"]}
    assert states["frame"] == "shut"
    assert {states[n] for n in ("ingest", "learn", "promote")} == {"none"}
    assert states["serve"] == "open", "what was released before goes on"
    assert [(b["gate"], b["owner"]) for b in now["blocked"]] == [("go", "owner@example.com")]
    assert [n["kind"] for n in now["needs"]] == ["go"]


def test_what_needs_a_person_is_all_there(finished: Project, browser: Browser) -> None:
    now = finished._clock()
    day = now.date()
    told = {"release": "r", "arm": "champion", "title": "t", "family": "drift", "families": ["performance"],
            "readings": [], "since": 1, "seen": 2}  # fmt: skip
    wait = {"reason": "until then", "by": "me"}
    finished.store.append(
        [
            Draft("gate.waived", "speed", iso(now), "me", {**wait, "until": str(day + timedelta(days=2))}),
            Draft("gate.waived", "go", iso(now), "me", {**wait, "until": str(day + timedelta(days=90))}),
            Draft("alert.opened", "a1", iso(now), "watch", told),
            Draft("job.queued", "j1", iso(now), "policy",
                  {"do": "retrain", "release": "", "cause": "a1", "reason": "drift", "ask": True}),
        ]
    )  # fmt: skip
    finished.reviews().put([item("i1", now)])
    needs = {n["kind"]: n for n in browser.plain("/ui/now.json")["needs"]}
    assert set(needs) == {"alert", "job", "review", "waiver"}
    assert needs["alert"]["urgent"], "somebody is harmed"
    assert "ends in 2 days" in needs["waiver"]["what"]


def item(name: str, asked: datetime, **changes: Any) -> Item:
    choices = ("early", "late")
    return Item(
        name, "r", {"x": 1}, {"prediction": "late"}, "unsure", micros(asked), choices=choices, **changes
    )


def test_nobody_approves_their_own_and_others_decide(finished: Project, colleague: Browser) -> None:
    edit_spec(finished, ("approval: self", "approval: other"), DEPTH_2, LENIENT)
    made = finished.run(raises=False)
    assert made.status == "awaiting approval"
    path = f"/ui/releases/{made.release}"
    with pages_of(finished) as shell:
        author = Browser(shell)
        allowed = author.plain(path)["allowed"]
        assert "somebody else has to approve it" in allowed["approve"]
        refused = author.post(path, {"do": "approve"})
        assert refused.status == 409
        assert "can&#39;t approve it" in refused.text
        assert author.post(path, {"do": "promote"}).status == 409
    assert not finished.releases().releases[made.release].approved_by

    assert colleague.plain(path)["allowed"]["approve"] == ""
    assert colleague.post(path, {"do": "approve"}).status == 303
    assert colleague.plain(path)["view"]["approved_by"] == ["colleague@example.com"]
    assert colleague.post(path, {"do": "refuse", "reason": " "}).status == 409, "a reason is needed"
    assert colleague.post(path, {"do": "refuse", "reason": "worse by night"}).status == 303
    view = finished.releases().releases[made.release]
    assert (view.state.value, view.refused, view.approved_by) == ("retired", "worse by night", ())
    assert colleague.post(path, {"do": "promote"}).status == 409, "its approval counts no more"
    again = finished.run(raises=False)
    assert again.status == "blocked"
    assert "was refused by colleague@example.com" in again.problems[0].what
    champion = finished.releases().champion
    assert champion is not None
    told = colleague.post(f"/ui/releases/{champion.release}", {"do": "refuse", "reason": "x"})
    assert told.status == 409 and "is champion" in told.text


def test_what_was_live_when_can_be_asked(finished: Project, browser: Browser) -> None:
    reign = finished.history()[0]
    after = (datetime.fromisoformat(reign.since) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M")
    assert browser.plain(f"/ui/releases.json?at={after}")["live_at"] == reign.release
    assert browser.plain("/ui/releases.json?at=2020-01-01T00:00")["live_at"] == ""
    before = (datetime.fromisoformat(reign.since) - timedelta(minutes=30)).astimezone(
        timezone(timedelta(hours=2))
    )
    assert browser.plain(f"/ui/releases.json?at={quote(before.isoformat())}")["live_at"] == ""
    assert browser.plain("/ui/releases.json?at=nonsense")["live_at"] == ""


def test_items_are_decided_skipped_and_left_to_others(finished: Project, browser: Browser) -> None:
    now = finished._clock()
    due = [micros(now + timedelta(hours=h)) for h in (3, 1, 2)]
    finished.reviews().put([item(f"i{k}", now, deadline=d) for k, d in enumerate(due)])
    seen = browser.plain("/ui/review.json")
    assert (seen["item"]["id"], seen["after"], seen["before"]) == ("i1", "i2", "")
    assert [(c["label"], c["key"], c["predicted"]) for c in seen["choices"]] == [
        ("early", "1", False), ("late", "2", True),
    ]  # fmt: skip
    done = browser.post("/ui/review", {"do": "decide", "id": "i1", "choice": "0", "comment": "clear"})
    assert done.header("location") == "/ui/review?item=i2"
    made = finished.reviews().get("i1")
    assert made is not None
    assert (made.decision, made.said[0].reviewer) == ("early", AUTHOR)
    assert browser.post("/ui/review", {"do": "skip", "id": "i2"}).header("location") == "/ui/review?item=i0"
    assert browser.post("/ui/review", {"do": "decide", "id": "i2", "choice": "7"}).status == 409
    assert browser.post("/ui/review", {"do": "decide", "id": "i1", "choice": "1"}).status == 422, (
        "it is settled"
    )
    assert browser.post("/ui/review", {"do": "decide", "id": "gone", "choice": "1"}).status == 422


def test_numbers_are_reviewed_too(finished: Project, browser: Browser) -> None:
    now = finished._clock()
    finished.reviews().put([Item("n1", "r", {}, {"prediction": 4.0}, "unsure", micros(now))])
    assert browser.plain("/ui/review.json")["choices"] == []
    assert browser.post("/ui/review", {"do": "decide", "id": "n1", "value": "many"}).status == 409
    assert browser.post("/ui/review", {"do": "decide", "id": "n1", "value": "1,042.5"}).status == 303
    made = finished.reviews().get("n1")
    assert made is not None and made.decision == 1042.5


def test_traffic_is_counted_as_it_was(finished: Project, browser: Browser, clock: Clock) -> None:
    now = clock()
    entries = [
        Answered(
            f"{i:032x}", micros(now - timedelta(minutes=i)), "default", "r1",
            "canary" if i % 10 == 0 else "champion", "",
            "fallback: rule (timeout: 50 ms)" if i % 4 == 0 else "model", {}, {"prediction": True},
            took_us=1000 * (i + 1),
        )
        for i in range(100)
    ]  # fmt: skip
    log, told = LogWriter(finished.log_folder, worker="w", mode="buffered"), Callers()
    log.append(entries, told)
    assert told.wait(1) == [None]
    log.close()
    seen = browser.plain("/ui/traffic.json?span=6 h")
    arms = {a["arm"]: a for a in seen["arms"]}
    assert {n: a["rows"] for n, a in arms.items()} == {"champion": 90, "canary": 10}
    both = sum(a["instead"] * a["rows"] for a in arms.values())
    assert both == pytest.approx(25)
    assert sum(a["failed"] * a["rows"] for a in arms.values()) == pytest.approx(25), "a timeout is a failure"
    assert arms["canary"]["p50"] == pytest.approx(0.046)
    assert sum(p["rows"] for p in seen["points"]) == 100
    assert browser.plain("/ui/traffic.json?span=1 h")["rows"] < 100
    assert browser.plain("/ui/traffic.json?span=never")["span"] == "7 days"


def test_readings_are_shown_over_time_with_their_thresholds(finished: Project, browser: Browser) -> None:
    champion = finished.releases().champion
    assert champion is not None
    hour, first = 3_600_000_000, 1_700_000_000_000_000
    with WatchFile(finished.watch_file) as file, file.changing():
        stream = file.stream(champion.release, "champion")
        for i in range(12):
            number = file.put_window(stream, first + i * hour, first + (i + 1) * hour, 100, f"d{i}")
            file.run("UPDATE window SET arrived = 1 WHERE id = ?", (number,))
            moved = i > 9
            write(
                file,
                number,
                [
                    Reading(
                        Family.DRIFT, "psi", "distance", 3.0 if moved else 0.5, 1.0, moved, n=100, where="up"
                    ),
                    Reading(Family.DRIFT, "psi", "depot", 0.2, 1.0, n=100),
                    Reading(Family.PERFORMANCE, "f1", "", 0.4, 0.3, low=0.3, high=0.5, n=100),
                    Reading(Family.VALUE, "worth", "", why_none="no labels yet"),
                ],
            )
    seen = browser.plain("/ui/drift.json")
    assert seen["chosen"] == ["drift", "psi", "distance"], "what is an alarm is drawn first"
    assert [a["reading"]["value"] for a in seen["over_time"]] == [0.5] * 10 + [3.0] * 2
    lines = {(x["family"], x["of"]): x for x in seen["lines"]}
    assert lines["drift", "distance"]["exceeded"] == 2
    assert lines["drift", "depot"]["thresholds"] == [1.0] * 12
    assert lines["performance", ""]["newest"]["low"] == 0.3
    assert browser.plain("/ui/drift.json?alarms=1")["total"] == 1
    metric = browser.plain("/ui/drift.json?family=performance&check=f1&of=")
    assert metric["chosen"] == ["performance", "f1", ""]
    assert browser.open("/ui/drift?family=drift&check=psi&of=distance").text.count("application/json") == 1


def test_jobs_and_alerts_are_answered_in_ones_own_name(finished: Project, colleague: Browser) -> None:
    now = iso(finished._clock())
    alert = {"release": "r", "arm": "champion", "title": "t", "family": "drift", "families": ["drift"],
             "readings": [], "since": 1, "seen": 2}  # fmt: skip
    job = {"release": "", "cause": "a1", "reason": "drift", "ask": True}
    finished.store.append(
        [
            Draft("alert.opened", "a1", now, "watch", alert),
            Draft("job.queued", "j1", now, "policy", {**job, "do": "retrain"}),
            Draft("job.queued", "j2", now, "policy", {**job, "do": "ask"}),
        ]
    )
    assert colleague.post("/ui/alerts", {"do": "resolve", "alert": "a1"}).status == 409, "a reason is needed"
    assert colleague.post("/ui/alerts", {"do": "acknowledge", "alert": "a1"}).status == 303
    assert finished.alert("a1").by == "colleague@example.com"
    assert colleague.post("/ui/alerts", {"do": "resolve", "alert": "a1", "reason": "a holiday"}).status == 303
    assert colleague.plain("/ui/alerts.json")["alerts"] == []
    assert colleague.post("/ui/jobs", {"do": "refuse", "job": "j1", "reason": "not now"}).status == 303
    assert colleague.post("/ui/jobs", {"do": "approve", "job": "j2"}).status == 409, "what is to be done?"
    assert colleague.post("/ui/jobs", {"do": "approve", "job": "j2", "what": "retrain"}).status == 303
    found = finished.jobs()
    assert (found["j1"].status, found["j2"].status, found["j2"].do.value) == ("refused", "queued", "retrain")


def test_the_ledger_is_searched_and_paged(finished: Project, browser: Browser) -> None:
    every: list[int] = []
    at = "/ui/ledger.json"
    while True:
        page = browser.plain(at)
        every += [line["said"]["seq"] for line in page["lines"]]
        if not page["older"]:
            break
        at = f"/ui/ledger.json?before={page['older']}"
    assert every == list(range(finished.store.head()[0], 0, -1))
    judged = browser.plain("/ui/ledger.json?kind=gate.judged&words=parity")["lines"]
    assert judged and all("parity" in line["said"]["text"] for line in judged)
    assert browser.plain("/ui/ledger.json?actor=nobody")["lines"] == []
    assert browser.plain("/ui/ledger.json?subject=run-1")["lines"]


def test_older_events_are_read_without_those_above_them(finished: Project) -> None:
    store, now = finished.store, iso(finished._clock())
    kinds = ("run.noted", "token.revoked", "run.noted")
    store.append([Draft(kinds[i % 3], f"x-{i % 7}", now, "me", {"note": ""}) for i in range(1500)])
    for before, kind, subject in ((1400, None, None), (1200, ("token.revoked",), None), (900, None, "x-3")):
        every = [e.seq for e in store.read(kinds=kind, subject=subject) if e.seq < before]
        assert [e.seq for e in _below(store, before, kind, subject)] == every[::-1]


def test_snapshots_are_compared(finished: Project, browser: Browser) -> None:
    found = browser.plain("/ui/data.json")
    assert found["tables"][0] == "parcels"
    assert found["profile"]["tables"][0]["columns"]
    first = found["versions"][0]["artifact"]
    same = browser.plain(f"/ui/data.json?first={first}&second={first}")
    assert same["diffs"][0]["identity"]["added"] == 0
    assert browser.plain("/ui/data.json?first=nothing&second=none")["wrong"]


def test_releases_come_page_by_page_the_live_one_first(finished: Project, browser: Browser) -> None:
    made = next(iter(finished.store.read(kinds=("release.made",))))
    finished.store.append(
        [Draft("release.made", f"more-{i}", made.time, AUTHOR, made.payload) for i in range(60)]
    )
    pages = [browser.plain(f"/ui/releases.json?page={n}") for n in (1, 2)]
    assert [(p["total"], p["pages"], len(p["lines"])) for p in pages] == [(61, 2, 50), (61, 2, 11)]
    assert pages[0]["lines"][0]["view"]["state"] == "champion"
    assert len({line["view"]["release"] for p in pages for line in p["lines"]}) == 61
    assert "older" in browser.open("/ui/releases").text


def test_snapshots_come_page_by_page_the_newest_first(finished: Project, browser: Browser) -> None:
    table = browser.plain("/ui/data.json")["table"]
    first = next(e for e in finished.store.read(kinds=("table.snapshot",)) if e.subject == table)
    taken = first.payload["snapshot"]
    finished.store.append(
        [
            Draft("table.snapshot", table, first.time, AUTHOR,
                  {"snapshot": {**taken, "artifact": f"{i:064d}", "taken": f"2030-01-01T00:{i % 60:02}:00Z"}})
            for i in range(120)
        ]
    )  # fmt: skip
    pages = [browser.plain(f"/ui/data.json?table={table}&page={n}") for n in (1, 2, 3)]
    assert [(p["total"], p["pages"], p["page"]) for p in pages] == [(121, 3, n) for n in (1, 2, 3)]
    seen = [v["artifact"] for p in pages for v in p["versions"]]
    assert len(set(seen)) == 121 and seen[-1] == taken["artifact"]
    assert "older" in browser.open(f"/ui/data?table={table}").text


def test_the_audit_is_made_when_somebody_asks(finished: Project, browser: Browser) -> None:
    browser.post("/ui/health", {"do": "audit"})
    assert "The audit found nothing wrong" in browser.open("/ui/health").text


def test_water_stands_where_the_first_gate_is_shut() -> None:
    states = ["open", "waived", "shut", "none", "open"]
    drawn = channel.broad([Reach(f"s{i}", s, href="/ui/x?a=1&b=2") for i, s in enumerate(states)])
    assert drawn.count('class="gate shut"') == 1
    assert drawn.count('class="water"') == 2, "up to the gate, and what flows on behind it"
    assert "a=1&amp;b=2" in drawn
    assert 'aria-label="s2: blocked"' in drawn
    assert channel.tall([]) and channel.broad([])
    nasty = channel.broad([Reach("<b>", "open", "<i>", '"x')])
    assert "<b>" not in nasty and "<i>" not in nasty


def test_every_outcome_of_a_gate_has_a_look() -> None:
    from headrace.web.render import chip

    for outcome in Outcome:
        assert outcome.value in chip(outcome.value)
    assert "&lt;x&gt;" in chip("<x>")
