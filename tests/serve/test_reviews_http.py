"""From an answer that says a person will look, over the reviewer's requests, to a label: one application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from asgi_client import Client
from serve_releases import Release, requests

from headrace.core.clock import system_clock
from headrace.core.errors import StoreError
from headrace.core.review import AUDIT, ReviewPlan, RiskControl
from headrace.core.tokens import Role
from headrace.engine.tokens import make
from headrace.logs.labels import LabelBook
from headrace.serve.attention import FAILED, OVER
from headrace.serve.desk.people import Reviewers
from headrace.serve.http.app import assemble
from headrace.serve.http.guard import Guard
from headrace.serve.intakes import Intakes
from headrace.serve.live import Live, load
from headrace.serve.reviewing import Room
from headrace.stores import EmbeddedStore
from headrace.stores.reviews import SqliteReviews

CUT = 0.68
RISK = RiskControl(0.1, 0.95, "by hand", CUT, 100, 100, 0.5, 0.05)
PLAN = ReviewPlan("risk 0.1", control=RISK)


class Site:
    """An application over a release with a plan, its queue and its labels."""

    def __init__(self, folder: Path, release: Release, plan: ReviewPlan, guard: Guard | None = None) -> None:
        manifest = replace(release.manifest, review=plan)
        live = Live.pinned(load(release.store, release.name, manifest, system_clock))
        self.queue = SqliteReviews(folder / "reviews.db")
        self.people = Reviewers(release.store, self.queue, holder="here")
        self.book = LabelBook(folder / "log")
        room = Room(
            SqliteReviews(folder / "reviews.db"), lambda rows: self.book.take(list(rows), reviewed=True)
        )
        self.client = Client(
            assemble(live, Intakes(release.store, live), people=self.people, room=room, guard=guard)
        )

    def ask(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = self.client.post("/predict", json=rows).json()["predictions"]
        return answers


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Any]:
    made: list[Site] = []

    def site(release: Release, plan: ReviewPlan, guard: Guard | None = None) -> Site:
        made.append(Site(tmp_path, release, plan, guard))
        return made[-1]

    yield site
    for one in made:
        one.people.close()


def sure(answer: dict[str, Any]) -> float:
    p = answer["probability"]
    return float(p if answer["prediction"] else 1 - p)


def test_an_answer_becomes_a_label(binary: Release, sites: Any) -> None:
    site = sites(binary, PLAN)
    answers = site.ask(requests(60))
    assert [a["review"] for a in answers] == [sure(a) < CUT for a in answers]
    unsure = {a["id"]: a for a in answers if a["review"]}
    assert 3 < len(unsure) < 57
    listed = site.client.get("/reviews?state=open&limit=500").json()["items"]
    assert {i["id"] for i in listed} == set(unsure)
    told = site.client.post("/reviews/take").json()["item"]
    assert told["answer"]["probability"] == unsure[told["id"]]["probability"]
    assert set(told["inputs"]) >= {"distance", "carrier", "origin"}
    done = site.client.post("/reviews/decide", json={"id": told["id"], "decision": True, "comment": "seen"})
    assert done.json()["item"]["state"] == "decided"
    assert [(x.id, x.value, x.source) for x in site.book.labels()] == [(told["id"], True, "review")]
    status = site.client.get("/reviews/status").json()
    assert (status["open"], status["decided"]) == (len(unsure) - 1, 1)
    again = site.client.post("/reviews/decide", json={"id": told["id"], "decision": False})
    assert again.status_code == 422
    assert "was decided" in again.json()["errors"][0]["what"]


def test_where_nothing_stands_nothing_is_answered(binary: Release, sites: Any) -> None:
    """The caller has no prediction; the reviewer sees what the model would have said."""
    site = sites(binary, replace(PLAN, fallback="none", audit=0.3))
    answers = site.ask(requests(60))
    drawn = {i.item.id for _, i in site.queue.items(limit=500) if i.item.why == AUDIT}
    assert drawn
    for answer in answers:
        if answer["id"] in drawn:
            assert answer["review"]
            assert answer["prediction"] is not None
        else:
            assert (answer["prediction"] is None) == answer["review"]
    withheld = next(a for a in answers if a["prediction"] is None)
    kept = site.queue.get(withheld["id"])
    assert kept is not None
    assert kept.item.answer["prediction"] in (True, False)


def test_what_reviewers_can_not_manage_is_told(binary: Release, sites: Any) -> None:
    site = sites(binary, replace(PLAN, capacity=5))
    answers = site.ask(requests(200))
    assert sum(a["review"] for a in answers) == 5
    over = [a for a in answers if OVER in a["flags"]]
    assert over
    assert all(sure(a) < CUT and a["prediction"] is not None and not a["review"] for a in over)
    assert len(over) + 5 == sum(sure(a) < CUT for a in answers)


def test_a_queue_that_takes_nothing_stops_no_answer(binary: Release, sites: Any, tmp_path: Path) -> None:
    (tmp_path / "reviews.db").write_bytes(b"no database at all" * 100)
    site = sites(binary, PLAN)
    answers = site.ask(requests(40))
    failed = [a for a in answers if FAILED in a["flags"]]
    assert len(failed) == sum(sure(a) < CUT for a in answers) > 0
    assert not any(a["review"] for a in answers)
    assert all(a["prediction"] is not None for a in answers)


def test_three_classes_and_values(multiclass: Release, regression: Release, sites: Any) -> None:
    site = sites(multiclass, PLAN)
    answers = site.ask(requests(30))
    assert [a["review"] for a in answers] == [max(a["probability"].values()) < CUT for a in answers]
    site = sites(regression, ReviewPlan("audit 0.5", audit=0.5))
    answers = site.ask(requests(60))
    assert 10 < sum(a["review"] for a in answers) < 50
    name = next(a["id"] for a in answers if a["review"])
    told = site.client.post("/reviews/decide", json={"id": name, "decision": "soon"})
    assert told.status_code == 422
    told = site.client.post("/reviews/decide", json={"id": name, "decision": 12.5}).json()["item"]
    assert told["decision"] == 12.5


def test_reviewers_alone_review(binary: Release, sites: Any, tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store")
    shown = {}
    for role in Role:
        made = make(store, f"the {role.value}", role.value, lasts=None, actor="me", clock=system_clock)
        shown[role] = made.shown
    guard = Guard(store, system_clock)
    site = sites(binary, PLAN, guard)

    def ask(role: Role, method: str, path: str, **more: Any) -> Any:
        head = {"authorization": f"Bearer {shown[role]}"}
        return site.client.request(method, path, headers=head, **more)

    assert ask(Role.CALLER, "POST", "/predict", json=requests(60)).status_code == 200
    codes = {r: ask(r, "POST", "/reviews/take", json={}).status_code for r in Role}
    assert codes == {r: 200 if r in (Role.REVIEWER, Role.ADMIN) else 403 for r in Role}
    assert ask(Role.CALLER, "GET", "/reviews").status_code == 403
    assert site.client.get("/reviews").status_code == 401
    said = {s["reviewer"] for i in ask(Role.ADMIN, "GET", "/reviews").json()["items"] for s in i["said"]}
    assert said == {"the admin"}  # an open item tells what one said oneself
    guard.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/reviews/take", b"{"),
        ("POST", "/reviews/take", b"[]"),
        ("POST", "/reviews/take", b'{"lease": "\\ud800"}'),
        ("POST", "/reviews/decide", b"{}"),
        ("POST", "/reviews/decide", b'{"id": "p", "decision": [1]}'),
        ("POST", "/reviews/comment", b'{"id": "p", "text": " "}'),
        ("POST", "/reviews/return", b'{"id": 3}'),
        ("GET", "/reviews?limit=0", b""),
        ("GET", "/reviews?limit=many", b""),
        ("GET", "/reviews?after=99999999999999999999999", b""),
        ("GET", "/reviews?state=%00", b""),
        ("GET", "/reviews/status?sorce=x", b""),
    ],
)
def test_bad_requests(binary: Release, sites: Any, method: str, path: str, body: bytes) -> None:
    site = sites(binary, PLAN)
    told = site.client.request(method, path, content=body)
    assert told.status_code in (400, 422)
    assert told.json()["errors"]


def test_the_openapi_document_has_it(binary: Release, sites: Any) -> None:
    told = sites(binary, PLAN).client.get("/openapi.json").json()
    schemathesis.openapi.from_dict(told).validate()
    assert {p for p in told["paths"] if p.startswith("/reviews")} == {
        "/reviews",
        "/reviews/status",
        "/reviews/take",
        "/reviews/decide",
        "/reviews/comment",
        "/reviews/return",
    }


def test_nobody_is_asked_about_answers_that_the_log_refuses(binary: Release, tmp_path: Path) -> None:
    """They are never given: the seats are for those that are."""

    class Refusing:
        def append(self, entries: Any, done: Any) -> None:
            raise StoreError("the disk is full")

        def close(self) -> None: ...

    plan = replace(PLAN, control=replace(RISK, threshold=None), capacity=5)
    manifest = replace(binary.manifest, review=plan)
    live = Live.pinned(load(binary.store, binary.name, manifest, system_clock))
    queue = SqliteReviews(tmp_path / "reviews.db")
    people = Reviewers(binary.store, queue)
    client = Client(assemble(live, Intakes(binary.store, live), Refusing(), people=people))
    assert [client.post("/predict", json=requests(1)[0]).status_code for _ in range(4)] == [503] * 4
    people.close()
    assert queue.counts(now=0).open == 0


def test_what_is_remembered_of_releases_that_are_gone_is_forgotten(binary: Release, tmp_path: Path) -> None:
    there: dict[str, Any] = {}
    people = Reviewers(binary.store, SqliteReviews(tmp_path / "reviews.db"), loaded=lambda: there)
    manifest = replace(binary.manifest, review=PLAN)

    async def looked(name: str) -> None:
        served = load(binary.store, name, manifest, system_clock)
        there.clear()
        there[name] = served
        await people.look(served, ["p"], [{}], [{"prediction": True, "probability": 1.0}], ["model"], {})

    for name in ("one", "two", "three"):
        asyncio.run(looked(name))
    assert list(people._of) == ["three"]
    people.close()
