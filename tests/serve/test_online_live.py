"""Facts reach every release that is loaded: the champion, a canary, and who comes next."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgi_client import Client, answered
from online_world import released, tables
from served import wait_until
from spine import AUTHOR, Clock, edit_spec

from headrace.core.online import Fact
from headrace.project import Project
from headrace.serve.http.app import assemble
from headrace.serve.intakes import Intakes
from headrace.serve.live import Following, Served, loader

NOW = datetime.fromisoformat("2024-02-20T00:00:00+00:00")


@pytest.fixture(scope="module")
def two_releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A project with two releases that are materialised. The first is champion; a history of the second reads
    values that none of the first does."""
    project = released(tmp_path_factory.mktemp("online_live") / "p", tables(400, 10, 50), clock=Clock(NOW))
    first, _ = project.release()
    project.materialize()
    other = ("{aggregate: avg(late)", "{aggregate: avg(late + 1)")
    edit_spec(project, other, ("approval: self", "approval: other"))
    second = project.run()
    assert second.status == "awaiting approval", second.verdicts
    project.approve(second.release, by="colleague@example.com")
    project.materialize(second.release)
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's
    return project.root, first.release, second.release


@dataclass(frozen=True)
class Scenery:
    project: Project
    live: Following
    client: Client
    first: str
    second: str

    def send(self, number: int, depot: str, late: float) -> Any:
        at = NOW - timedelta(hours=5)
        row = {"parcel": number, "at": at.isoformat(), "depot": depot, "courier": "c1", "distance": 12.5}
        row |= {"late": late, "done": (at + timedelta(minutes=40)).isoformat()}
        return self.client.post("/events", json={"table": "parcels", "rows": [row]}).json()

    def looked_up(self, release: str | Served, depot: str) -> float:
        """What a release finds for its `late` of two days; by name: it answers."""
        served = self.live.scene.served[release] if isinstance(release, str) else release
        row = {"at": NOW.isoformat(), "distance": 5.0, "depot": depot, "courier": "c1"}
        feeds, _ = served.answerer.complete([row], served.answerer.encode([row]))
        return float(feeds["history.late_2d"][0])

    def told(self, depot: str) -> dict[str, Any]:
        """What answers of each release say of their features, once each that answers has answered."""
        found: dict[str, Any] = {}
        for i in range(400):
            row = {"at": NOW.isoformat(), "distance": 5 + i / 100, "depot": depot, "courier": "c1"}
            answer = answered(self.client.post("/predict", json=row))
            found[answer["release"]] = answer.get("features", {})
            if len(found) == len(self.live.scene.served):
                break
        return found

    def canary(self) -> None:
        self.project.set_route(canary=(self.second, 0.5))
        wait_until(lambda: self.second in self.live.scene.served)


@pytest.fixture
def scenery(two_releases: tuple[Path, str, str], tmp_path: Path) -> Iterator[Scenery]:
    root, first, second = two_releases
    shutil.copytree(root, tmp_path / "p")
    clock = Clock(NOW)
    project = Project(tmp_path / "p", clock=clock, actor=AUTHOR)
    live = Following(project.store, loader(project.store, clock, project.online()), every=0.02)
    client = Client(assemble(live, Intakes(project.store, live)))
    assert [s.release for s in live.loaded] == [first]
    yield Scenery(project, live, client, first, second)
    live.close()


def test_a_fact_reaches_the_champion_and_the_canary(scenery: Scenery) -> None:
    scenery.canary()
    before = scenery.told("west")
    assert set(before) == {scenery.second, scenery.first}
    assert all("history.late_2d" in f["missing"] for f in before.values())
    assert scenery.send(90_000, "west", 40)["new"] == 1
    after = scenery.told("west")
    assert set(after) == {scenery.second, scenery.first}
    assert not any("history.late_2d" in f.get("missing", ()) for f in after.values())
    assert scenery.looked_up(scenery.first, "west") == 40
    assert scenery.looked_up(scenery.second, "west") == 41
    assert scenery.send(90_000, "west", 40)["known"] == 1
    assert scenery.send(90_001, "west", 20)["new"] == 1
    assert [scenery.looked_up(r, "west") for r in (scenery.first, scenery.second)] == [30, 31]

    scenery.project.promote(scenery.second)
    wait_until(lambda: scenery.live.scene.champion == scenery.second)
    assert scenery.looked_up(scenery.second, "west") == 31


def test_the_champion_before_is_kept_ready_with_all_facts(scenery: Scenery) -> None:
    scenery.project.promote(scenery.second)
    wait_until(lambda: set(scenery.live.scene.served) == {scenery.second})
    assert scenery.send(90_000, "west", 40)["new"] == 1
    ready = next(s for s in scenery.live.loaded if s.release == scenery.first)
    assert scenery.looked_up(ready, "west") == 40


def test_who_is_loaded_later_has_what_came_before_it_answers(scenery: Scenery) -> None:
    """No further POST /events is needed, nor any moment after it has become champion."""
    assert scenery.send(90_000, "west", 40)["new"] == 1
    scenery.project.promote(scenery.second)
    wait_until(lambda: scenery.live.scene.champion == scenery.second)
    assert scenery.looked_up(scenery.second, "west") == 41


def test_what_comes_while_a_release_is_being_loaded_is_not_lost(scenery: Scenery) -> None:
    """Between the last look before it answers and its first answer: the next look finds it."""
    heed, sent = scenery.live.heed, []

    def late(served: Iterable[Served]) -> None:
        heed(served)
        if not sent and [s.release for s in served] == [scenery.second]:
            sent.append(scenery.send(90_000, "west", 40))

    scenery.live.heed = late
    scenery.canary()
    wait_until(lambda: scenery.looked_up(scenery.second, "west") == 41)
    assert sent[0]["new"] == 1


def test_facts_that_another_server_took_arrive_without_a_request(scenery: Scenery) -> None:
    """A fact that lies in no stream of this server, as another release's server leaves it."""
    scenery.canary()
    leave(scenery.project, "west", 40)
    scenery.live._wanting.set()  # instead of waiting for the few seconds after which it looks by itself
    wait_until(lambda: scenery.looked_up(scenery.second, "west") == 41)
    assert scenery.looked_up(scenery.first, "west") == 40


def test_a_fact_that_can_not_be_put_is_told_as_stale(
    scenery: Scenery, caplog: pytest.LogCaptureFixture
) -> None:
    """One release that can't have it is no reason to refuse facts; it answers, and says that it is behind."""
    scenery.canary()
    canary: Served = scenery.live.scene.served[scenery.second]
    assert canary.online is not None
    leave(scenery.project, "west", "much")
    assert scenery.send(90_001, "west", 40)["new"] == 1
    assert scenery.send(90_002, "west", 20)["new"] == 1
    told = [m for m in caplog.messages if scenery.second in m]
    assert len(told) == 1, "it is not tried again at each request"
    stale = scenery.told("north")[scenery.second]["stale"]
    assert "history.late_2d" in stale
    assert "history.gust" not in stale, "it is another table's"

    with closing(sqlite3.connect(scenery.project.online().path)) as db, db:  # type: ignore[attr-defined]
        db.execute("DELETE FROM kept WHERE id = ?", (b"f" * 16,))
    canary.online._behind["parcels"] = 0.0  # the time to try again has come
    scenery.live.heed([canary])
    assert "history.late_2d" not in scenery.told("north")[scenery.second].get("stale", ())
    assert scenery.looked_up(scenery.second, "west") == 31


def leave(project: Project, depot: str, late: object) -> None:
    """A fact that arrived at a server of another release: kept, and in no stream of ours."""
    at = int((NOW - timedelta(hours=5)).timestamp() * 1e6)
    row = {"parcel": 80_000, "at": at, "depot": depot, "courier": "c1", "distance": 12.5, "late": late}
    body = json.dumps(row | {"done": at + 60_000_000}).encode()
    project.online().put("parcels", [Fact(b"f" * 16, b"c" * 8, at + 60_000_000, (), body)])
