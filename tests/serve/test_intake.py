"""POST /events: what is kept, what is refused and why, and what answers tell of it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgi_client import Client, answered
from online_world import Tables, released, tables
from spine import AUTHOR, Clock, command

from headrace.core.errors import UserError
from headrace.data.privacy.redact import hash_text
from headrace.engine.materialize import materialize
from headrace.project import Project
from headrace.serve.answer import Answerer
from headrace.serve.intakes import Intakes
from headrace.serve.live import Live, load
from headrace.serve.online import Online

NOW = datetime.fromisoformat("2024-02-20T00:00:00+00:00")
PII = (
    '  expect: ["unique(parcel)", "distance > 0"]',
    '  expect: ["unique(parcel)", "distance > 0"]\n  pii: {courier: hash, parcels.note: drop}',
)
AGE = ("known_at: told, ttl: 3 h", "known_at: told, ttl: 3 h, max_age: 2 days")
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def found() -> Tables:
    made = tables(700, 10, 50)
    for row in made.parcels:
        row["note"] = "call Ada Lovelace at the door"
    return made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, found: Tables) -> Project:
    patch = pytest.MonkeyPatch()
    patch.setenv("HEADRACE_PII_KEY", SECRET)
    folder = tmp_path_factory.mktemp("intake") / "project"
    project = released(folder, Tables(found.parcels[:700], found.weather), PII, AGE, clock=Clock(NOW))
    project.materialize()
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's
    patch.undo()
    return project


@pytest.fixture
def project(template: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("HEADRACE_PII_KEY", SECRET)
    shutil.copytree(template.root, tmp_path / "intake")
    return Project(tmp_path / "intake", clock=Clock(NOW), actor=AUTHOR)


@pytest.fixture
def client(project: Project) -> Client:
    return Client(project.app())


def parcel(number: int, **changes: Any) -> dict[str, Any]:
    at = NOW - timedelta(hours=5)
    row: dict[str, Any] = {"parcel": number, "at": at.isoformat(), "depot": "north", "courier": "c1"}
    row |= {"distance": 12.5, "late": 40, "done": (at + timedelta(minutes=40)).isoformat()}
    return row | changes


def ask(client: Client, at: datetime, **changes: Any) -> Any:
    row = {"at": at.isoformat(), "distance": 5, "depot": "north", "courier": "c1"} | changes
    return answered(client.post("/predict", json=row))


def send(client: Client, table: str, *rows: Any) -> Any:
    return client.post("/events", json={"table": table, "rows": list(rows)}).json()


def test_a_fact_is_new_once(client: Client) -> None:
    assert send(client, "parcels", parcel(90_000)) == {"new": 1, "known": 0, "refused": 0}
    assert send(client, "parcels", parcel(90_000), parcel(90_001)) == {"new": 1, "known": 1, "refused": 0}
    respelt = parcel(90_000, late=40.0, at=(NOW - timedelta(hours=5)).isoformat().replace("+00:00", "Z"))
    assert send(client, "parcels", respelt) == {"new": 0, "known": 1, "refused": 0}
    answer = send(client, "parcels", parcel(90_000, late=41))
    assert (answer["new"], answer["refused"]) == (0, 1)
    (error,) = answer["errors"]
    assert error["where"] == "rows[0]"
    assert "named by parcel" in error["why"]


def test_facts_of_tables_without_an_id_are_named_by_key_and_times(client: Client) -> None:
    row = {"depot": "north", "seen": "2024-02-19T22:00:00Z", "told": "2024-02-19T22:01:00Z", "wind": 30}
    assert send(client, "weather", row)["new"] == 1
    assert send(client, "weather", row)["known"] == 1
    assert send(client, "weather", {**row, "wind": 31})["refused"] == 1
    assert send(client, "weather", {**row, "wind": 31, "told": "2024-02-19T22:30:00Z"})["new"] == 1
    assert send(client, "weather", {**row, "wind": 32, "event_id": "a"})["new"] == 1
    assert send(client, "weather", {**row, "wind": 32, "event_id": "a"})["known"] == 1
    answer = send(client, "weather", {**row, "event_id": ""}, {**row, "event_id": True})
    assert [e["where"] for e in answer["errors"]] == ["rows[0].event_id", "rows[1].event_id"]


def test_every_mistake_is_named_and_the_rest_is_kept(client: Client, project: Project) -> None:
    rows = [
        parcel(91_000, late="soon", distanse=3),
        parcel(91_001),
        {k: v for k, v in parcel(91_002).items() if k not in ("depot", "done")},
        7,
        parcel(91_003, at="yesterday"),
    ]
    answer = client.post("/events", json=[{"table": "parcels", "rows": rows}])
    assert answer.status_code == 200
    told = answer.json()
    assert (told["new"], told["known"], told["refused"]) == (1, 0, 4)
    assert {e["where"] for e in told["errors"]} == {
        "[0].rows[0].late",
        "[0].rows[0].distanse",
        "[0].rows[2].depot",
        "[0].rows[2].done",
        "[0].rows[3]",
        "[0].rows[4].at",
    }
    assert client.post("/events", json={"table": "parcels", "rows": rows[:1]}).status_code == 422
    assert project.online().freshness("parcels").arrived == 1


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"table": "parcel", "rows": []}, ""),
        ({"rows": []}, ""),
        ({"table": "parcels"}, ""),
        ({"table": "parcels", "rows": {}}, ""),
        ([{"table": "parcels", "rows": []}, 3], "[1]"),
        ({"table": "parcels", "rows": [], "more": 1}, ""),
        ({"table": ["parcels"], "rows": []}, ""),
        ("parcels", ""),
        ({"table": "parcels", "rows": [{}] * 10_001}, ""),
    ],
)
def test_bodies_of_another_form_are_refused_whole(client: Client, body: Any, where: str) -> None:
    answer = client.post("/events", json=body)
    assert answer.status_code == 422
    assert [e["where"] for e in answer.json()["errors"]] == [where]


def test_nothing_and_no_json(client: Client) -> None:
    assert client.post("/events", json=[]).json() == {"new": 0, "known": 0, "refused": 0}
    assert send(client, "parcels") == {"new": 0, "known": 0, "refused": 0}
    assert client.post("/events", content=b"{").status_code == 400
    assert client.get("/events").status_code == 405


def test_a_fact_without_a_moment_is_not_kept_and_may_come_later(client: Client) -> None:
    answer = send(client, "parcels", parcel(92_000, done=None, late=None))
    assert answer == {"new": 0, "known": 0, "refused": 0, "unused": 1}
    assert send(client, "parcels", parcel(92_000))["new"] == 1


def test_a_fact_changes_answers_from_the_moment_it_was_known(client: Client) -> None:
    """A release that looks at the wind: the new row is used at its moment, and not a microsecond before."""
    told = NOW - timedelta(minutes=7)
    seen = (told - timedelta(minutes=1)).isoformat()
    moments = [told + timedelta(hours=1, microseconds=n) for n in (-1, 0)]  # the lead is an hour
    before = [ask(client, at) for at in moments]
    row = {"depot": "north", "seen": seen, "told": told.isoformat(), "wind": 60}
    assert send(client, "weather", row)["new"] == 1
    after = [ask(client, at) for at in moments]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_what_is_missing_or_stale_is_told(client: Client) -> None:
    assert "features" not in ask(client, NOW)
    nobody = ask(client, NOW, depot="nowhere", courier="c9999")["features"]
    assert "weather.wind" in nobody["missing"]
    assert "history.late_3h" in nobody["missing"]
    assert "stale" not in nobody
    later = ask(client, NOW + timedelta(hours=6))["features"]  # the newest wind is past its ttl
    assert later["stale"] == ["weather.wind"]


def test_a_feed_that_stopped_makes_its_features_stale(project: Project) -> None:
    """`max_age` of a table: past it all that it feeds is told as stale, though histories have rows."""
    project._clock.moment = NOW + timedelta(days=3)  # type: ignore[attr-defined]  # the tests' clock
    client = Client(project.app())
    told = ask(client, NOW + timedelta(days=3))["features"]["stale"]
    assert "history.gust" in told
    assert not [n for n in told if n.startswith("history.late")]
    about = client.get("/online").json()["tables"]["weather"]
    assert about["age_seconds"] > 2 * 86_400


def test_personal_data_is_treated_before_it_is_kept(client: Client, project: Project) -> None:
    """No file of the online store holds a courier's name or a note; the hash finds the history."""
    marked = "courier-zebra-7"
    row = parcel(93_000, courier=marked, note="ring twice", distance=30)
    assert send(client, "parcels", row)["new"] == 1
    raw = b"".join(f.read_bytes() for f in (project.root / ".headrace").glob("online.db*"))
    assert marked.encode() not in raw
    assert b"ring twice" not in raw
    with sqlite3.connect(project.root / ".headrace" / "online.db") as db:
        bodies = [json.loads(b) for (b,) in db.execute("SELECT body FROM kept")]
    db.close()
    assert [b["courier"] for b in bodies] == [hash_text(marked, SECRET.encode())]
    missing = ask(client, NOW, courier=marked).get("features", {}).get("missing", [])
    assert "history.idle" not in missing
    assert "history.idle" in ask(client, NOW, courier="another")["features"]["missing"]


def test_no_refusal_shows_what_personal_data_were_sent(client: Client) -> None:
    marked = ["courier-zebra-7"]
    row = parcel(93_001, courier=marked)
    refused = [
        client.post("/events", json={"table": "parcels", "rows": [row, marked, row | {"event_id": marked}]}),
        client.post("/events", json={"tabel": "parcels", "rows": [row]}),
        client.post("/events", json=[{"table": [row], "rows": [row]}]),
        client.post("/predict", json={"at": row["at"], "distance": 5, "depot": "north", "courier": marked}),
        client.post("/predict", json=[marked]),
    ]
    for answer in refused:
        assert answer.status_code == 422 and marked[0] not in answer.text
    assert "expected text, found a list" in refused[0].text and "found a list" in refused[3].text


def test_without_an_online_store_no_facts_are_taken(project: Project) -> None:
    client = Client(project.app(online=False))
    answer = client.post("/events", json={"table": "parcels", "rows": []})
    assert answer.status_code == 409
    assert "headrace materialize" in answer.json()["errors"][0]["fix"]
    assert client.get("/online").json() is None
    assert "features" not in ask(client, NOW, depot="nowhere")


def test_an_online_store_that_was_not_filled(project: Project) -> None:
    for file in (project.root / ".headrace").glob("online.db*"):
        file.unlink()
    assert Client(project.app()).get("/online").json() is None
    assert not (project.root / ".headrace" / "online.db").exists()
    with pytest.raises(UserError, match="headrace materialize --release"):
        project.app(online=True)


def test_a_half_filled_store_is_filled_again(project: Project) -> None:
    """Killed midway, a stream has no source: it is emptied and filled anew, and nothing counts twice."""
    store = project.online()
    name, filled = next((n, f) for n, f in store.streams().items() if f.stream.about == "wind by depot")
    key = b'["north"]'
    rows = store.newest(name, [(key, 2**62)])
    before = store.freshness("weather")
    store.begin(name)
    assert store.newest(name, [(key, 2**62)]) == [None]
    assert filled.source
    done = {m.table: m for m in project.materialize()}
    assert (done["weather"].filled, done["weather"].new) == (1, 0)
    assert store.newest(name, [(key, 2**62)]) == rows
    assert store.freshness("weather") == before


def test_snapshots_are_not_loaded_where_the_store_has_all(project: Project) -> None:
    _, manifest = project.release()
    of = manifest.serving
    live = Answerer(project.store, of, "r", online=Online(project.online(), of, Clock(NOW)))
    live.warm()
    assert not {"tables", "pasts"} & set(vars(live._filled))


def test_the_command(project: Project) -> None:
    done = command(project, "materialize", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert [(m["table"], m["filled"], m["rows"]) for m in told] == [("parcels", 0, 0), ("weather", 0, 0)]
    shown = command(project, "materialize")
    assert shown.output.splitlines()[0].split()[:2] == ["table", "streams"]


def test_releases_that_can_t_be_kept_online(project: Project, finished: Project) -> None:
    _, manifest = finished.release()
    assert [m.table for m in finished.materialize()] == ["weather"]  # a lookup alone
    of = manifest.serving
    filled = {"weather": replace(of.sources["weather"], filled=("wind",))}
    for other, why in (
        (replace(of, lookups=(), sources={}), "looks nothing up"),
        (replace(of, sources={}), "run it again"),
        (replace(of, sources=filled), "fills wind forward"),
    ):
        with pytest.raises(UserError, match=why):
            materialize(finished.store, finished.online(), replace(manifest, serving=other))
    online = Online(project.online(), replace(of, sources=filled), Clock(NOW))
    assert online.feeds == {}
    assert list(online.elsewhere()) == ["weather"]


def test_facts_are_taken_as_the_present_champion_has_them(project: Project) -> None:
    found, manifest = project.release()
    online = project.online()
    first = load(project.store, found.release, manifest, project._clock, online)
    live = Live.pinned(first)
    intakes = Intakes(project.store, live)
    before = intakes.now()
    assert before is not None and intakes.now() is before
    other = load(project.store, "another", manifest, project._clock, online)
    live.scene = replace(live.scene, champion="another", served={"another": other})
    after = intakes.now()
    assert after is not None and after is not before and intakes.online is other.online
    snapshots = load(project.store, "third", manifest, project._clock)
    live.scene = replace(live.scene, champion="third", served={"third": snapshots})
    assert intakes.now() is None and intakes.online is None
