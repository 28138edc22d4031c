"""What reviewers ask: plain values in and out, every mistake told, decisions that become labels."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import DataError, Problem, StoreError
from headrace.core.review import AUDIT, Item, Reviewed, State
from headrace.logs.labels import LabelBook, Taken
from headrace.serve.reviewing import (
    Room,
    Settler,
    comment,
    decide,
    give_back,
    labels,
    listed,
    settle,
    status,
    take,
)
from headrace.stores import EmbeddedStore
from headrace.stores.reviews import SqliteReviews

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
MICROS = int(START.timestamp() * 1e6)
HOUR = 3_600_000_000


class Clock:
    def __init__(self) -> None:
        self.moment = START

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **span: float) -> None:
        self.moment += timedelta(**span)


class Office:
    """A room with everything that is real around it."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.queue = SqliteReviews(folder / "reviews.db")
        self.book = LabelBook(folder / "log", clock=self.clock)
        self.store = EmbeddedStore(folder)
        self.room = Room(self.queue, lambda rows: self.book.take(list(rows), reviewed=True), self.clock)

    def send(self, name: str, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "id": name,
            "release": "r1",
            "inputs": {"distance": 3.5},
            "answer": {"prediction": True, "probability": 0.6},
            "why": "confidence 0.6 < 0.9",
            "asked": MICROS,
            "deadline": MICROS + HOUR,
            "choices": (False, True),
        }
        self.queue.put([Item(**{**fields, **changes})])

    def known(self) -> list[tuple[str | None, Any, float | None, str]]:
        return [(x.id, x.value, x.weight, x.source) for x in self.book.labels()]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_an_item_from_the_queue_to_the_ledger(office: Office) -> None:
    office.send("p1")
    office.send("p2", why=AUDIT, chance=0.1)
    told = take(office.room, "ann", {"lease": "5 min"})["item"]
    assert (told["id"], told["state"], told["choices"]) == ("p1", "open", [False, True])
    assert told["asked"] == "2026-11-21T12:00:00.000000Z"
    assert told["deadline"] == "2026-11-21T13:00:00.000000Z"
    assert told["said"][0]["until"] == "2026-11-21T12:05:00.000000Z"
    assert take(office.room, "bob", None or {})["item"]["id"] == "p2"
    assert take(office.room, "cid", {})["item"] is None
    done = decide(office.room, "ann", {"id": "p1", "decision": False, "comment": "a storm"})["item"]
    assert (done["state"], done["decision"], done["remarks"][0]["text"]) == ("decided", False, "a storm")
    assert office.known() == [("p1", False, 1.0, "review")]
    decide(office.room, "bob", {"id": "p2", "decision": True})
    assert office.known()[1] == ("p2", True, 10.0, "review")
    assert settle(office.room, office.store, actor="me") == {"decided": 2, "expired": 0, "overturned": 1}
    assert len(office.known()) == 2
    (event,) = office.store.read(kinds=["review.settled"])
    assert event.payload["decided"] == 2
    assert event.payload["reviewers"] == ["ann", "bob"]
    assert len(event.payload["digest"]) == 64
    assert settle(office.room, office.store, actor="me") == {"decided": 0, "expired": 0, "overturned": 0}
    assert len(list(office.store.read(kinds=["review.settled"]))) == 1


def test_a_deadline_passes_and_is_told(office: Office) -> None:
    office.send("p1")
    office.clock.forward(hours=1)
    with pytest.raises(DataError, match="expired"):
        decide(office.room, "ann", {"id": "p1", "decision": True})
    told = listed(office.room, "ann", {"state": "expired"})["items"]
    assert [(i["id"], i["decision"], i["stands"]) for i in told] == [("p1", None, "model")]
    assert settle(office.room, office.store, actor="me")["expired"] == 1
    assert office.known() == []


def test_what_two_decide_is_hidden_until_it_is_settled(office: Office) -> None:
    office.send("p1", wanted=2)
    decide(office.room, "ann", {"id": "p1", "decision": True, "comment": "clear to me"})
    assert office.known() == []
    told = take(office.room, "bob", {})["item"]
    assert [s["reviewer"] for s in told["said"]] == ["bob"]
    assert told["remarks"] == []
    assert told["decisions"] == 1
    seen = listed(office.room, "ann", {})["items"][0]
    assert [s["reviewer"] for s in seen["said"]] == ["ann"]
    done = decide(office.room, "bob", {"id": "p1", "decision": True})["item"]
    assert [s["decision"] for s in done["said"]] == [True, True]
    assert [r["text"] for r in done["remarks"]] == ["clear to me"]
    assert done["agreed"] is True
    assert office.known() == [("p1", True, 1.0, "review")]


def test_the_queue_in_numbers(office: Office) -> None:
    for n in range(6):
        office.send(
            f"p{n}", wanted=2 if n < 2 else 1, why=AUDIT if n > 3 else "unsure", chance=0.5 if n > 3 else 1.0
        )
    for who, name, decision in (
        ("ann", "p0", True),
        ("bob", "p0", True),
        ("ann", "p1", True),
        ("bob", "p1", False),
        ("cid", "p1", False),
        ("ann", "p2", False),
        ("ann", "p4", True),
    ):
        decide(office.room, who, {"id": name, "decision": decision})
    told = status(office.room, "viewer", {})
    assert (told["open"], told["decided"], told["expired"]) == (2, 4, 0)
    assert told["reviewers"] == {"ann": 4, "bob": 2, "cid": 1}
    assert (told["agreement"]["items"], told["agreement"]["share"]) == (2, 0.5)
    assert told["overturned"]["share"] == pytest.approx(2 / 3)
    assert (told["overturned_by_chance"]["asked"], told["overturned_by_chance"]["share"]) == (2, 0.0)
    assert status(office.room, "viewer", {"source": "rows: run-1"})["open"] == 0


def test_lists_go_on(office: Office) -> None:
    for n in range(5):
        office.send(f"p{n}")
    first = listed(office.room, "ann", {"limit": 3})
    rest = listed(office.room, "ann", {"limit": 3, "after": first["next"]})
    assert [i["id"] for i in first["items"] + rest["items"]] == [f"p{n}" for n in range(5)]
    assert rest["next"] is None


def test_items_are_handed_back_and_commented(office: Office) -> None:
    office.send("p1")
    take(office.room, "ann", {})
    comment(office.room, "ann", {"id": "p1", "text": "not mine"})
    give_back(office.room, "ann", {"id": "p1"})
    assert take(office.room, "bob", {"id": "p1"})["item"]["id"] == "p1"


def test_rows_that_were_asked_about_are_no_labels_of_traffic(office: Office) -> None:
    office.send("run-1-7", source="rows: run-1")
    decide(office.room, "ann", {"id": "run-1-7", "decision": False})
    assert office.known() == []
    assert settle(office.room, office.store, actor="me")["decided"] == 1
    item = Item("p", "r", {}, {}, "", asked=1, chance=0.2)
    assert labels([Reviewed(item, State.EXPIRED), Reviewed(item, State.OPEN)]) == []
    assert labels([Reviewed(item, State.DECIDED, 3.5)])[0]["weight"] == 5.0


def test_what_could_not_be_written_is_settled_later(office: Office) -> None:
    """The labels are refused: nothing is lost, and nothing is told twice."""
    office.send("p1")
    office.queue.decide("p1", "ann", True, now=MICROS)

    def refuse(rows: object) -> Taken:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError):
        settle(Room(office.queue, refuse, office.clock), office.store, actor="me")
    assert list(office.store.read(kinds=["review.settled"])) == []
    settler = Settler(office.room, office.store, every=3600)
    settler.close()
    assert office.known() == [("p1", True, 1.0, "review")]
    assert len(list(office.store.read(kinds=["review.settled"]))) == 1


def test_nobody_else_takes_the_name_of_a_decisions_label(office: Office) -> None:
    office.send("p1")
    sent = {"id": "p1", "label": True, "event_id": "review p1"}
    told = office.book.take([{"id": "p1", "label": True}, sent], source="a caller")
    assert (told.new, told.refused, told.problems[0].where) == (1, 1, "[1].event_id")
    decide(office.room, "ann", {"id": "p1", "decision": False})
    assert office.known() == [("p1", True, None, "a caller"), ("p1", False, 1.0, "review")]


def test_a_decision_that_is_refused_as_a_label_is_not_lost(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody's label had its name before names were kept for reviewers."""
    office.book.take([{"id": "p1", "label": True, "event_id": "review p1"}], source="a caller", reviewed=True)
    for name in ("p1", "p2"):
        office.send(name)
    with pytest.raises(DataError, match="the labels refuse it"):
        decide(office.room, "ann", {"id": "p1", "decision": False})
    decide(office.room, "ann", {"id": "p2", "decision": False})
    caplog.clear()
    assert settle(office.room, office.store, actor="me") == {"decided": 1, "expired": 0, "overturned": 1}
    assert "the decision on p1 is refused as a label" in caplog.text
    assert [i.item.id for i in office.queue.settled()] == ["p1"]
    assert settle(office.room, office.store, actor="me")["decided"] == 0
    assert len(list(office.store.read(kinds=["review.settled"]))) == 1
    office.book.erase(["p1"], "", [])
    assert settle(office.room, office.store, actor="me")["decided"] == 1
    assert ("p1", False, 1.0, "review") in office.known()
    assert office.queue.settled() == []


def problems(work: Callable[[], object]) -> tuple[Problem, ...]:
    """What is wrong with a request; anything but a DataError goes on its way."""
    try:
        work()
    except DataError as error:
        return error.problems
    return ()


ASKS = {
    "take": (take, {"lease": "5 min", "id": "p1", "source": "traffic"}),
    "decide": (decide, {"id": "p1", "decision": True, "comment": "x"}),
    "comment": (comment, {"id": "p1", "text": "x"}),
    "give_back": (give_back, {"id": "p1"}),
    "listed": (listed, {"state": "open", "source": "traffic", "after": 0, "limit": 5}),
    "status": (status, {"source": "traffic"}),
}
BAD: list[Any] = [
    None,
    [],
    {},
    "",
    "\ud800",
    "a\0b",
    "x" * 20_000,
    -1,
    2**70,
    1.5,
    float("nan"),
    True,
    "p1",
    "open",
]


@pytest.mark.parametrize("name", sorted(ASKS))
def test_bad_requests_are_refused_by_name(office: Office, name: str) -> None:
    """Whatever is sent in place of a field: it works, or is a DataError that names the field or the item."""
    ask, good = ASKS[name]
    office.send("p1")
    take(office.room, "ann", {"id": "p1"})
    for bad in ([], "x", 3, True, [good]):
        with pytest.raises(DataError, match="object"):
            ask(office.room, "ann", bad)
    with pytest.raises(DataError, match="unknown field 'idd'"):
        ask(office.room, "ann", {**good, "idd": 1})
    for field in good:
        for bad in BAD:
            for problem in problems(lambda ask=ask, sent={**good, field: bad}: ask(office.room, "ann", sent)):
                assert problem.where or problem.fix


def test_every_mistake_is_told_at_once(office: Office) -> None:
    with pytest.raises(DataError) as told:
        decide(office.room, "ann", {"comment": 3, "desicion": True})
    assert {p.where for p in told.value.problems} == {"comment", "desicion", "id", "decision"}
    with pytest.raises(DataError, match="did you mean 'open'"):
        listed(office.room, "ann", {"state": "opne", "limit": 0})
    with pytest.raises(DataError, match="no item 'p9'"):
        take(office.room, "ann", {"id": "p9"})
    for lease in ("soon", "0 s", "9 days"):
        with pytest.raises(DataError):
            take(office.room, "ann", {"lease": lease})
    with pytest.raises(DataError, match="no name"):
        take(office.room, "  ", {})
