# ruff: noqa: S101 - an exam asserts
"""The exam of the `Sink` port: subclass it, give `received` and `make_sink`; pytest does the rest.

class TestMySink(SinkExam):
    @pytest.fixture
    def receiver(self) -> Iterator[MyReceiver]: ...

    def make_sink(self, receiver) -> Sink: ...
    def received(self, receiver) -> list[str]: ...   # what came, as text
    def refuse(self, receiver) -> None: ...          # from now on it takes nothing
"""

from __future__ import annotations

from typing import Any

import pytest

from headrace.core.errors import Undelivered
from headrace.core.jobs import Do, Job
from headrace.core.ports import Sink
from headrace.core.watching import AlertView, Family, Message, Told

SEEN = 1_763_740_000_000_000


def message(told: Told = Told.OPENED, **changes: Any) -> Message:
    """A message about drift of a column with a name that is hard to carry."""
    alert: dict[str, Any] = {
        "alert": "a1b2c3",
        "release": "r1",
        "arm": "champion",
        "title": 'data drift: "größe" <b>& Co</b>',
        "family": Family.DRIFT,
        "families": ("drift", "performance"),
        "readings": (
            {
                "family": "drift",
                "check": "ks",
                "of": '"größe" <b>& Co</b>',
                "value": 0.31,
                "threshold": 0.1,
                "unit": "",
                "where": "share above 60 went from 5% to 12%\r\nBcc: x@example.com",
            },
        ),
        "since": SEEN,
        "seen": SEEN + 3_600_000_000,
        "opened": "2025-11-21T16:00:00.000000Z",
        "changed": "2025-11-21T16:00:00.000000Z",
        "by": "watch",
    }
    view = AlertView(**{**alert, **changes})
    return Message("a1b2c3-opened", "2025-11-21T16:00:00.000000Z", told, "flights", view)


def question() -> Message:
    """A message about a job that asks, with a reason that is hard to carry."""
    asked = "2025-11-21T17:00:00.000000Z"
    job = Job(
        "retrain-d4e5f6",
        Do.RETRAIN,
        "r1",
        "a1b2c3",
        'data drift: "größe" <b>& Co</b>\r\nBcc: x@example.com',
        "2025-11-21T16:00:00.000000Z",
        status="asked",
        ask="release r2 passed every gate: may it answer?",
        finished=asked,
        result={"run": "run-7", "release": "r2"},
    )
    return Message("retrain-d4e5f6-asked-1", asked, Told.ASKED, "flights", job=job)


class SinkExam:
    """What everything that takes alerts has to do."""

    def make_sink(self, receiver: Any) -> Sink:
        raise NotImplementedError

    def received(self, receiver: Any) -> list[str]:
        raise NotImplementedError

    def refuse(self, receiver: Any) -> None:
        raise NotImplementedError

    def test_what_is_sent_arrives(self, receiver: Any) -> None:
        self.make_sink(receiver).send(message())
        (text,) = self.received(receiver)
        for part in ("flights", "data drift", "größe", "0.31", "0.1", "headrace alerts show a1b2c3", "r1"):
            assert part in text, f"{part!r} is missing in {text!r}"

    def test_what_is_over_says_so_and_by_whom(self, receiver: Any) -> None:
        over = message(Told.RESOLVED, by="ann@example.com", reason="the feed was mended")
        self.make_sink(receiver).send(over)
        (text,) = self.received(receiver)
        assert "resolved" in text and "ann@example.com" in text and "the feed was mended" in text

    def test_a_job_that_asks_says_what_and_how_to_answer(self, receiver: Any) -> None:
        self.make_sink(receiver).send(question())
        (text,) = self.received(receiver)
        for part in ("flights", "größe", "may it answer?", "headrace jobs show retrain-d4e5f6"):
            assert part in text, f"{part!r} is missing in {text!r}"

    def test_what_is_not_taken_is_told(self, receiver: Any) -> None:
        sink = self.make_sink(receiver)
        self.refuse(receiver)
        with pytest.raises(Undelivered) as caught:
            sink.send(message())
        assert caught.value.problems[0].what
        assert self.received(receiver) == []
