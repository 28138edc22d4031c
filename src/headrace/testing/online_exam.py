# ruff: noqa: S101 - an exam asserts
"""The exam of the `OnlineStore` port: its whole contract, as tests that another store subclasses.

    class TestMyOnlineStore(OnlineStoreExam):
        @staticmethod
        def make_store(place: Path) -> OnlineStore:
            return MyOnlineStore(place)

Everything that is found is held against a list of rows and the definition, in plain Python. The exam hands
`make_store` to processes that it spawns and kills: the subclass is at the top level of a module.
"""

from __future__ import annotations

import multiprocessing
import random
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from headrace.core.online import ARRIVED, NEWEST, WINDOW, Fact, Outcome, Place, Stream
from headrace.core.ports import OnlineStore

MakeOnlineStore = Callable[[Path], OnlineStore]

ROWS = Stream("rows", "weather", NEWEST, "weather by origin")
CELLS = Stream("cells", "weather", WINDOW, "wind by origin")
KEYS = (b'["EWR"]', b'["JFK"]', b"[]")
EARLIEST, LATEST = -(2**63), 2**63 - 1


def fact(number: int, key: bytes, on: int, known: int, *, content: int = 0, cells: bool = True) -> Fact:
    """A fact in both streams; its rows hold its number."""
    row = Place("rows", key, on, known, b"row %d" % number)
    cell = Place("cells", key, on, known, struct.pack("<q", number))
    name = struct.pack("<qq", 0, number)
    body = b"body %d" % number
    return Fact(name, b"ab" + struct.pack("<q", content)[:6], known, (row, cell) if cells else (row,), body)


def drawn(count: int, seed: int = 0, span: int = 400) -> list[Fact]:
    """Facts with many equal times, in no order."""
    draw = random.Random(seed)
    facts = []
    for n in range(count):
        on = draw.randrange(-span, span)
        facts.append(fact(n, draw.choice(KEYS), on, on + draw.choice([0, 0, 1, 50, 300])))
    return facts


class OnlineStoreExam:
    """Subclass it and give `make_store`; pytest does the rest."""

    @staticmethod
    def make_store(place: Path) -> OnlineStore:
        """Open the store kept at `place`, a path nobody else uses. The same place is the same store."""
        raise NotImplementedError

    def opened(self, tmp_path: Path) -> OnlineStore:
        store = self.make_store(tmp_path / "online")
        store.declare([ROWS, CELLS])
        return store

    def test_a_store_that_is_not_there_finds_nothing(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "online")
        assert store.streams() == {}
        assert store.newest("rows", [(b"k", 5)]) == [None]
        assert store.newest("rows", [(b"k", 5)] * 3) == [None] * 3
        assert store.window("cells", b"k", 0, 5).shape == (0, 4)
        assert not store.has("rows", b"k")
        assert store.freshness("weather").facts == 0
        assert store.freshness("weather").newest is None
        assert list(store.kept("weather")) == []

    def test_streams_are_declared_once(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path)
        store.put("weather", [fact(1, KEYS[0], 5, 5)])
        store.declare([CELLS, ROWS])
        seen = store.streams()
        assert {n: f.stream for n, f in seen.items()} == {"rows": ROWS, "cells": CELLS}
        assert {f.source for f in seen.values()} == {""}
        assert store.has("rows", KEYS[0])
        assert store.has("cells", KEYS[0])
        assert not store.has("cells", KEYS[1])

    @pytest.mark.parametrize("batch", [1, 7, 1000])
    def test_rows_of_a_key_are_found_whatever_their_order(self, tmp_path: Path, batch: int) -> None:
        """Of 900 facts in three orders: each window and newest row by the definition, bounds among them."""
        store = self.opened(tmp_path)
        facts = drawn(900 if batch > 1 else 250)
        kept: list[Fact] = []
        for start in range(0, len(facts), batch):
            some = facts[start : start + batch]
            assert set(store.put("weather", some)) == {Outcome.NEW}
            kept += some
        self.compare(store, kept)

    @pytest.mark.parametrize("order", ["sorted", "reversed"])
    def test_long_histories_in_order_and_backwards(self, tmp_path: Path, order: str) -> None:
        store = self.opened(tmp_path)
        facts = [fact(n, KEYS[0], n // 3, n // 3 + n % 2) for n in range(1000)]
        facts = facts if order == "sorted" else facts[::-1]
        for start in range(0, 1000, 90):
            store.put("weather", facts[start : start + 90])
        self.compare(store, facts)

    def compare(self, store: OnlineStore, facts: Sequence[Fact]) -> None:
        """Whatever can be asked against the definition; positions are those of arrival."""
        where = {k.id: ARRIVED + k.number for k in store.kept("weather")}
        rows = [(p.on, p.known, where[f.id], p.key, f) for f in facts for p in f.places[:1]]
        rows.sort(key=lambda r: r[:3])
        draw = random.Random(1)
        asks = [(draw.choice([*KEYS, b"nobody"]), draw.randrange(-420, 800)) for _ in range(150)]
        asks += [(k, m) for k in KEYS for m in (EARLIEST, LATEST)]
        expected = []
        for key, moment in asks:
            seen = [r for r in rows if r[3] == key and r[1] <= moment]
            expected.append(seen[-1] if seen else None)
            for start in (EARLIEST, draw.randrange(-420, 420), moment):
                inside = [r for r in rows if r[3] == key and r[1] < moment and r[0] >= start]
                got = store.window("cells", key, start, moment)
                wanted = [[*r[:3], struct.unpack("<qq", r[4].id)[1]] for r in inside]
                assert got.dtype == np.int64
                assert got.tolist() == wanted
        for found in (store.newest("rows", asks), [store.newest("rows", [a])[0] for a in asks]):
            assert [None if f is None else (f.on, f.known, f.payload) for f in found] == [
                None if r is None else (r[0], r[1], r[4].places[0].payload) for r in expected
            ]
        for moment in (EARLIEST, -100, 0, 250, 790, LATEST):  # many keys at one moment, each in front once
            for first in range(len(KEYS) + 1):
                turned = [*KEYS, b"nobody"][first:] + [*KEYS, b"nobody"][:first]
                asks = [(k, moment) for k in turned]
                assert store.newest("rows", asks) == [store.newest("rows", [a])[0] for a in asks]

    def test_a_fact_counts_once(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path)
        facts = drawn(40)
        store.put("weather", facts[:30])
        assert store.put("weather", facts) == (Outcome.KNOWN,) * 30 + (Outcome.NEW,) * 10
        assert store.put("weather", [facts[3], facts[3]]) == (Outcome.KNOWN,) * 2
        self.compare(store, facts)
        assert store.freshness("weather").facts == 40
        assert store.freshness("other").facts == 0

    def test_one_batch_may_say_a_thing_twice(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path)
        one, other = fact(1, KEYS[0], 5, 5), fact(1, KEYS[0], 6, 6, content=9)
        assert store.put("weather", [one, one, other]) == (Outcome.NEW, Outcome.KNOWN, Outcome.OTHER)
        self.compare(store, [one])

    def test_a_name_that_says_something_else_changes_nothing(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path)
        first = fact(1, KEYS[0], 5, 5)
        store.put("weather", [first])
        assert store.put("weather", [fact(1, KEYS[1], 7, 7, content=1)]) == (Outcome.OTHER,)
        looked_at = first._replace(content=b"cd" + first.content[2:])
        assert store.put("weather", [looked_at]) == (Outcome.KNOWN,)
        assert store.put("another", [fact(1, KEYS[1], 7, 7, content=1, cells=False)]) == (Outcome.NEW,)
        assert store.freshness("weather").newest == 5

    def test_what_arrived_is_kept_in_order(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path)
        store.put("other", [fact(99, b"k", 1, 1)])
        facts = drawn(1200)
        for start in range(0, 1200, 400):
            store.put("weather", facts[start : start + 400])
        store.put("weather", [fact(5000, KEYS[0], 1, 1)], start=7)  # a file's row: the file keeps it
        kept = list(store.kept("weather"))
        assert [(k.id, k.body) for k in kept] == [(f.id, f.body) for f in facts]
        assert [k.number for k in kept] == sorted({k.number for k in kept})
        assert [k.id for k in store.kept("weather", kept[1199 - 3].number)] == [f.id for f in facts[-3:]]
        fresh = store.freshness("weather")
        assert (fresh.facts, fresh.arrived, fresh.last) == (1201, 1200, kept[-1].number)
        assert fresh.newest == max(f.moment for f in facts)

    def test_filling_a_stream_of_known_facts(self, tmp_path: Path) -> None:
        """Facts of a file that are known go into the stream that is filled, and nowhere twice."""
        store = self.opened(tmp_path)
        facts = drawn(60)
        store.put("weather", facts[:40], start=0, into=["rows", "cells"])
        late = Stream("late", "weather", WINDOW)
        store.declare([late])
        more = [f._replace(places=(*f.places, f.places[1]._replace(stream="late"))) for f in facts]
        for _ in range(2):
            store.begin("late")
            store.put("weather", more, start=0, filling=["late"])
        store.finish("late", "digest", 0)
        assert store.streams()["late"].source == "digest"
        for key in KEYS:
            rows = [store.window(s, key, EARLIEST, LATEST).tolist() for s in ("cells", "late")]
            assert rows[0] == rows[1]
            assert len(rows[0]) == sum(f.places[0].key == key for f in facts)

    def test_streams_know_up_to_where_nothing_is_missing(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path)
        store.put("weather", drawn(3), into=["rows", "cells"])
        last = store.freshness("weather").last
        assert {f.upto for f in store.streams().values()} == {last}
        store.put("weather", [fact(10, KEYS[0], 1, 1, cells=False)], into=["rows"])
        store.put("weather", [fact(11, KEYS[0], 1, 1)], into=["rows", "cells"])
        held = {n: f.upto for n, f in store.streams().items()}
        assert held == {"rows": store.freshness("weather").last, "cells": last}
        missing = list(store.kept("weather", last))
        assert [k.body for k in missing] == [b"body 10", b"body 11"]
        again = [(ARRIVED + k.number, fact(10 + i, KEYS[0], 1, 1).places[1]) for i, k in enumerate(missing)]
        before = len(store.window("cells", KEYS[0], EARLIEST, LATEST))
        store.place(again)
        assert len(store.window("cells", KEYS[0], EARLIEST, LATEST)) == before + 1
        store.finish("cells", "", missing[-1].number)
        assert store.streams()["cells"].upto == missing[-1].number

    def test_a_batch_that_is_wrong_is_refused_whole(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path)
        good = fact(1, KEYS[0], 5, 5)
        for bad in (
            fact(2, KEYS[0], 5, 5)._replace(places=(Place("nowhere", b"k", 1, 1, b"x"),)),
            fact(2, KEYS[0], 5, 5)._replace(places=(Place("cells", b"k", 1, 1, b"not eight bytes"),)),
        ):
            with pytest.raises(ValueError, match=r"declared|bytes"):
                store.put("weather", [good, bad])
        assert store.freshness("weather").facts == 0
        assert not store.has("rows", KEYS[0])

    def test_texts_have_codes_for_ever(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path)
        words = ["", "EWR", "é東", "ewr", "EWR"]
        codes = store.codes(words)
        assert codes[1] == codes[4]
        assert len(set(codes)) == 4
        assert store.codes([f"w{i}" for i in range(900)] + words)[-5:] == codes
        again = self.make_store(tmp_path / "online")
        assert again.codes(words) == codes
        assert again.words(codes) == words
        with pytest.raises(KeyError):
            again.words([10_000])
        with pytest.raises(KeyError):
            again.words([-1])

    def test_a_reopened_store_is_the_same(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path)
        facts = drawn(300)
        store.put("weather", facts)
        self.compare(self.make_store(tmp_path / "online"), facts)

    def test_threads_read_while_another_writes(self, tmp_path: Path) -> None:
        """A reader sees whole batches only: every batch has ten rows of a key."""
        store = self.opened(tmp_path)
        batches = [[fact(100 * b + n, KEYS[0], b, b) for n in range(10)] for b in range(40)]

        def watch(_: int) -> int:
            seen = 0
            while seen < 400:
                count = len(store.window("cells", KEYS[0], EARLIEST, LATEST))
                assert count % 10 == 0
                assert count >= seen
                seen = count
            return seen

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(watch, i) for i in range(3)]
            for batch in batches:
                store.put("weather", batch)
            assert [r.result(60) for r in readers] == [400] * 3

    def test_processes_that_write_lose_nothing(self, tmp_path: Path) -> None:
        self.opened(tmp_path)
        context = multiprocessing.get_context("spawn")
        workers = [
            context.Process(target=put_some, args=(self.make_store, tmp_path / "online", w)) for w in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [w.exitcode for w in workers] == [0] * 3
        self.compare(self.make_store(tmp_path / "online"), drawn(300))

    def test_a_killed_process_loses_nothing_that_was_acknowledged(self, tmp_path: Path) -> None:
        self.opened(tmp_path)
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        worker = context.Process(target=put_for_ever, args=(self.make_store, tmp_path / "online", theirs))
        worker.start()
        acknowledged = 0
        while acknowledged < 60:
            assert mine.poll(60)
            acknowledged = mine.recv()
        worker.kill()
        worker.join()
        while mine.poll():
            acknowledged = mine.recv()
        store = self.make_store(tmp_path / "online")
        count = store.freshness("weather").facts
        assert count >= acknowledged
        self.compare(store, [fact(n, KEYS[n % 3], -n, -n) for n in range(count)])


def put_some(make_store: MakeOnlineStore, place: Path, worker: int) -> None:
    """All facts that every worker puts, in an order of its own."""
    store = make_store(place)
    facts = drawn(300)
    random.Random(worker).shuffle(facts)
    for start in range(0, len(facts), 20):
        store.put("weather", facts[start : start + 20])


def put_for_ever(make_store: MakeOnlineStore, place: Path, pipe: Connection) -> None:
    """One fact after another, each told once it is acknowledged."""
    store = make_store(place)
    for n in range(100_000):
        store.put("weather", [fact(n, KEYS[n % 3], -n, -n)])
        pipe.send(n + 1)
