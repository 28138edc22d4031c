"""Items on their way to the queue: on disk before anybody is told, many at once, never dropped in silence."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace.core.errors import StoreError
from headrace.core.review import Item, Period
from headrace.serve.posting import MOST, Poster
from headrace.stores.reviews import SqliteReviews
from headrace.testing.review_exam import DAY, NOW, day, item

PATIENCE = 20


class Told:
    """Waits for what is told."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.said: frozenset[str] | StoreError | None = None

    def __call__(self, said: frozenset[str] | StoreError) -> None:
        self.said = said
        self.event.set()

    def wait(self) -> frozenset[str] | StoreError | None:
        assert self.event.wait(PATIENCE)
        return self.said


class Slow(SqliteReviews):
    """Waits before its first write until it is let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reached, self.go = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def put(self, items: Sequence[Item], *, period: Period | None = None) -> frozenset[str]:
        self.reached.set()
        assert self.go.wait(PATIENCE)
        self.batches.append(len(items))
        return super().put(items, period=period)


def test_an_item_is_on_disk_when_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "reviews.db"
    poster, told = Poster(SqliteReviews(file)), Told()
    poster.post([item(1), item(2)], day(1), told)
    assert told.wait() == {"p2"}
    assert SqliteReviews(file).get("p1") is not None
    poster.close()


def test_what_comes_while_it_writes_is_written_at_once(tmp_path: Path) -> None:
    queue = Slow(tmp_path / "reviews.db")
    poster, told = Poster(queue), [Told() for _ in range(60)]
    poster.post([item(0)], day(50), told[0])
    assert queue.reached.wait(PATIENCE)
    for n in range(1, 60):
        period = day(50) if n < 50 else Period(NOW + DAY, NOW + 2 * DAY, 50)
        poster.post([item(n)], period, told[n])
    queue.go.set()
    said = [t.wait() for t in told]
    # The fifty of today that still wait fill the next day too.
    assert {one for s in said if isinstance(s, frozenset) for one in s} == {f"p{n}" for n in range(50, 60)}
    assert queue.batches == [1, 49, 10]
    assert len(queue.items(limit=100)) == 50
    poster.close()


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "reviews.db").write_bytes(b"no database at all" * 100)
    poster, told = Poster(SqliteReviews(tmp_path / "reviews.db")), Told()
    poster.post([item(1)], day(5), told)
    assert isinstance(told.wait(), StoreError)
    assert poster.failed == 1
    poster.close()


def test_more_than_the_disk_can_take_is_refused_at_once(tmp_path: Path) -> None:
    queue = Slow(tmp_path / "reviews.db")
    poster, told = Poster(queue), [Told() for _ in range(MOST + 2)]
    poster.post([item(0)], day(None), told[0])
    assert queue.reached.wait(PATIENCE)
    for n in range(1, MOST + 2):
        poster.post([item(n)], day(None), told[n])
    assert isinstance(told[-1].said, StoreError)
    queue.go.set()
    poster.close()
    assert all(t.said == frozenset() for t in told[:-1])
    assert len(queue.items(limit=2 * MOST)) == MOST + 1


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    queue = Slow(tmp_path / "reviews.db")
    poster = Poster(queue)
    for n in range(20):
        poster.post([item(n)], day(None), Told())
    queue.go.set()
    poster.close()
    assert len(queue.items()) == 20
    poster.close()  # again: nothing happens


@pytest.mark.parametrize("fails", [False, True])
def test_the_tick_goes_on(tmp_path: Path, fails: bool) -> None:
    """Also while items come, and also where it could not read the queue."""
    count, enough = [0], threading.Event()

    def tick() -> None:
        count[0] += 1
        if count[0] >= 3:
            enough.set()
        if fails:
            raise StoreError("can't be read now")

    poster = Poster(SqliteReviews(tmp_path / "reviews.db"), tick, every=0.01)
    told = Told()
    poster.post([item(1)], day(5), told)
    assert told.wait() == frozenset()
    assert enough.wait(PATIENCE)
    poster.close()
    assert (poster.failed > 0) == fails


class Odd(SqliteReviews):
    """Fails once in a way that no store should."""

    broken = True

    def put(self, items: Sequence[Item], *, period: Period | None = None) -> frozenset[str]:
        if self.broken:
            self.broken = False
            raise ValueError
        return super().put(items, period=period)


def test_any_error_is_told_and_the_next_items_are_kept(tmp_path: Path) -> None:
    poster, first, second, third = Poster(Odd(tmp_path / "reviews.db")), Told(), Told(), Told()
    poster.post([item(1)], day(5), first)
    assert isinstance(first.wait(), StoreError)

    def nobody(_: frozenset[str] | StoreError) -> None:
        second.event.set()
        raise RuntimeError("the loop is closed")

    poster.post([item(2)], day(5), nobody)
    assert second.event.wait(PATIENCE)
    poster.post([item(3)], day(5), third)
    assert third.wait() == frozenset()
    assert poster.failed == 1
    poster.close()
