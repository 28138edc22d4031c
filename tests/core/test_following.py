"""A fold that goes on where it stopped tells what one from the beginning would."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from headrace.core.event import Draft, Event
from headrace.core.following import Followed
from headrace.stores import EmbeddedStore


class Names:
    kinds = ("run.started", "run.noted")

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []

    def take(self, event: Event) -> None:
        if event.payload.get("bad"):
            raise ValueError("this one can't be taken")
        self.seen.append((event.seq, event.subject))


def write(store: EmbeddedStore, first: int, count: int) -> None:
    kinds = ("run.started", "run.finished", "run.noted")
    store.append(
        [Draft(kinds[i % 3], f"run-{i}", "2026-01-01T00:00:00Z", "me") for i in range(first, first + count)]
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with closing(EmbeddedStore(tmp_path / "store")) as made:
        yield made


def anew(store: EmbeddedStore) -> list[tuple[int, str]]:
    return [(e.seq, e.subject) for e in store.read(kinds=Names.kinds)]


def test_it_takes_each_event_once(store: EmbeddedStore) -> None:
    followed = Followed(store, Names)
    assert followed.ask(lambda f: f.seen) == []
    for first, count in ((0, 40), (40, 1), (41, 1), (42, 300)):
        write(store, first, count)
        for _ in range(2):
            assert followed.ask(lambda f: list(f.seen)) == anew(store)


def test_another_ledger_is_folded_anew(store: EmbeddedStore, tmp_path: Path) -> None:
    write(store, 0, 50)
    followed = Followed(store, Names)
    followed.ask(lambda f: f.seen)
    for count in (30, 90):  # a ledger that is shorter, and one that is longer
        with closing(EmbeddedStore(tmp_path / f"other-{count}")) as other:
            write(other, 1000, count)
            followed._store = other
            assert followed.ask(lambda f: list(f.seen)) == anew(other)


def test_what_could_not_be_taken_is_tried_again_from_the_beginning(store: EmbeddedStore) -> None:
    write(store, 0, 10)
    followed = Followed(store, Names)
    followed.ask(lambda f: f.seen)
    store.append([Draft("run.noted", "run-x", "2026-01-01T00:00:00Z", "me", {"bad": True})])
    for _ in range(2):
        with pytest.raises(ValueError, match="can't be taken"):
            followed.ask(lambda f: f.seen)


def test_many_ask_while_it_is_written(store: EmbeddedStore) -> None:
    followed = Followed(store, Names)
    write(store, 0, 20)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(followed.ask, lambda f: list(f.seen)) for _ in range(20)]
        for first in range(20, 120, 10):
            write(store, first, 10)
        for a in asked:
            found = a.result(timeout=120)
            assert found == anew(store)[: len(found)]
    assert followed.ask(lambda f: list(f.seen)) == anew(store)
