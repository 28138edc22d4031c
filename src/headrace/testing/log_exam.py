# ruff: noqa: S101 - an exam asserts
"""The exam of the `Log` port: subclass it, give `make_log` and `read_log`; pytest does the rest.

class TestMyLog(LogExam):
    @staticmethod
    def make_log(place: Path) -> Log:
        return MyLog(place)

    @staticmethod
    def read_log(place: Path) -> list[Answered]:
        return MyLog.everything(place)
"""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headrace.core.answered import Answered
from headrace.core.errors import StoreError
from headrace.core.ports import Log

_SECONDS = 30.0
THREADS, EACH = 8, 200
START = 1_763_740_000_000_000


def answered(number: int, **changes: Any) -> Answered:
    """An answer that differs from every other number's."""
    told: dict[str, Any] = {
        "id": f"{number:032x}",
        "time": START + number * 1_000_000,
        "route": "default",
        "release": "r1",
        "arm": "champion",
        "unit": f"u{number % 7}",
        "by": "model",
        "inputs": {"customer": f"c{number % 5}", "rooms": number % 4, "size": number * 0.5},
        "answer": {"prediction": number * 2.5, "lower": None},
        "took_us": number,
    }
    return Answered(**{**told, **changes})


class Callers:
    """Counts what callers are told, and waits for it."""

    def __init__(self) -> None:
        self.told: list[Exception | None] = []
        self._more = threading.Condition()

    def __call__(self, error: Exception | None) -> None:
        with self._more:
            self.told.append(error)
            self._more.notify_all()

    def wait(self, count: int) -> list[Exception | None]:
        """What the first so many were told."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.told) >= count, _SECONDS), self.told
            return list(self.told)


class LogExam:
    """See the module."""

    @staticmethod
    def make_log(place: Path) -> Log:
        """A writer of the log kept at `place`. The same place is the same log."""
        raise NotImplementedError

    @staticmethod
    def read_log(place: Path) -> list[Answered]:
        """Every entry of the log, also while it is written."""
        raise NotImplementedError

    def test_what_was_acknowledged_is_read(self, tmp_path: Path) -> None:
        log, told = self.make_log(tmp_path / "log"), Callers()
        entries = [answered(i) for i in range(10)]
        log.append(entries[:4], told)
        log.append(entries[4:], told)
        assert told.wait(2) == [None, None]
        log.close()
        assert sorted(self.read_log(tmp_path / "log"), key=lambda e: e.id) == entries

    def test_nothing_is_nothing(self, tmp_path: Path) -> None:
        log, told = self.make_log(tmp_path / "log"), Callers()
        log.append([], told)
        assert told.wait(1) == [None]
        log.close()
        assert self.read_log(tmp_path / "log") == []

    def test_every_field_comes_back(self, tmp_path: Path) -> None:
        log, told = self.make_log(tmp_path / "log"), Callers()
        full = answered(
            1,
            by="fallback: value, the release failed",
            inputs={
                "text": 'Zürich → 東京 \U0001f6eb "x" \\ \n',
                "none": None,
                "yes": True,
                "n": -(2**62),
                "x": 1e300,
            },
            answer={"prediction": "late", "probability": {"late": 0.75, "on time": 0.25}, "set": ["late"]},
            flags=("range: x", "unseen: text"),
            review=True,
            of="another",
        )
        log.append([full], told)
        assert told.wait(1) == [None]
        log.close()
        assert self.read_log(tmp_path / "log") == [full]

    def test_what_no_column_holds_is_kept_as_near_as_can_be(self, tmp_path: Path) -> None:
        log, told = self.make_log(tmp_path / "log"), Callers()
        deep: Any = 1
        for _ in range(5000):
            deep = [deep]
        odd = {"large": 2**80, "huge": 10**400, "half": "\ud800", "deep": deep, "object": object()}
        log.append([answered(1, inputs=odd)], told)
        log.append([answered(2)], told)
        assert told.wait(2) == [None, None]
        log.close()
        first, second = sorted(self.read_log(tmp_path / "log"), key=lambda e: e.id)
        assert set(first.inputs) == set(odd)
        assert first.inputs["large"] == float(2**80)
        assert second == answered(2)

    def test_many_threads(self, tmp_path: Path) -> None:
        log, told = self.make_log(tmp_path / "log"), Callers()

        def work(thread: int) -> None:
            for i in range(EACH):
                log.append([answered(thread * EACH + i)], told)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_SECONDS)
        assert told.wait(THREADS * EACH) == [None] * (THREADS * EACH)
        log.close()
        counts = Counter(e.id for e in self.read_log(tmp_path / "log"))
        assert counts == Counter(answered(i).id for i in range(THREADS * EACH))

    def test_two_writers_are_one_log(self, tmp_path: Path) -> None:
        logs, told = [self.make_log(tmp_path / "log") for _ in range(2)], Callers()
        for i in range(20):
            logs[i % 2].append([answered(i)], told)
        assert told.wait(20) == [None] * 20
        for log in logs:
            log.close()
        assert sorted(e.id for e in self.read_log(tmp_path / "log")) == [answered(i).id for i in range(20)]

    def test_after_the_end_nothing_is_taken(self, tmp_path: Path) -> None:
        log, told = self.make_log(tmp_path / "log"), Callers()
        log.close()
        with pytest.raises(StoreError, match="closed"):
            log.append([answered(1)], told)
        assert told.told == []
        assert self.read_log(tmp_path / "log") == []
