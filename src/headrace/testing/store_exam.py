# ruff: noqa: S101 - an exam asserts
"""The exam of the `Store` port: its whole contract, as tests that another store subclasses.

    class TestMyStore(StoreExam):
        @staticmethod
        def make_store(place: Path) -> Store:
            return MyStore(place)

The exam hands `make_store` to processes that it spawns: the subclass is at the top level of a module that
they can import, as test modules are.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import random
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from headrace.core.artifact import Artifact
from headrace.core.digest import digest_file
from headrace.core.errors import Conflict, NotFound
from headrace.core.event import GENESIS, Draft, seal_event
from headrace.core.ports import Store

MakeStore = Callable[[Path], Store]

PAYLOAD = {
    "text": 'Zürich → 東京 \U0001f6eb "quoted" \\ \n',
    "numbers": [0, -1, 2**53, 2**63, 0.1, 1e300, -0.0],
    "nested": {"empty": {}, "list": [], "none": None, "yes": True},
}
_START_SECONDS = 60.0


def draft(number: int, kind: str = "stage.finished", subject: str | None = None) -> Draft:
    """A draft that differs from every other number's."""
    about = f"subject-{number % 3}" if subject is None else subject
    return Draft(kind, about, f"2026-11-21T08:00:{number % 60:02d}.000000Z", "exam", {"number": number})


class StoreExam:
    """Subclass it and give `make_store`; pytest does the rest."""

    @staticmethod
    def make_store(place: Path) -> Store:
        """Open the store kept at `place`, a path nobody else uses. The same place is the same store."""
        raise NotImplementedError

    # The ledger

    def test_new_store_is_empty(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        assert store.head() == (0, GENESIS)
        assert list(store.read()) == []
        assert list(store.artifacts()) == []

    def test_events_come_back_as_they_were_appended_in_order(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        drafts = [
            draft(1),
            Draft("run.started", "run é", "2026-11-21T08:00:00.000000Z", "Åsa", PAYLOAD),
            draft(2),
        ]
        first = store.append(drafts[:2])
        second = store.append(drafts[2:])
        kept = list(store.read())
        assert list(first + second) == kept
        assert [(e.kind, e.subject, e.time, e.actor, e.payload) for e in kept] == [
            (d.kind, d.subject, d.time, d.actor, d.payload) for d in drafts
        ]
        assert store.head() == (3, kept[-1].digest)

    def test_events_are_sealed_into_a_chain(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        drafts = [draft(n) for n in range(5)]
        store.append(drafts[:2])
        store.append(drafts[2:])
        prev = GENESIS
        for seq, (made_from, event) in enumerate(zip(drafts, store.read(), strict=True), start=1):
            assert event == seal_event(made_from, seq, prev)
            prev = event.digest

    def test_appending_nothing_writes_nothing(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        assert store.append([]) == ()
        store.append([draft(1)])
        head = store.head()
        assert store.append([], expect=head[1]) == ()
        assert store.head() == head

    def test_append_expecting_the_head_succeeds(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        (event,) = store.append([draft(1)], expect=GENESIS)
        store.append([draft(2)], expect=event.digest)
        assert store.head()[0] == 2

    def test_append_expecting_an_old_head_conflicts_and_writes_nothing(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        (first,) = store.append([draft(1)])
        store.append([draft(2)])
        head = store.head()
        for old in (GENESIS, first.digest, "f" * 64):
            with pytest.raises(Conflict):
                store.append([draft(3), draft(4)], expect=old)
        assert store.head() == head
        assert len(list(store.read())) == 2

    def test_a_batch_with_an_unknown_kind_is_refused_whole(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        store.append([draft(1)])
        with pytest.raises(ValueError, match=r"no\.such\.kind"):
            store.append([draft(2), draft(3, kind="no.such.kind"), draft(4)])
        assert [e.payload["number"] for e in store.read()] == [1]
        store.append([draft(5)])
        assert [e.seq for e in store.read()] == [1, 2]

    def test_a_batch_with_a_payload_that_is_no_json_is_refused_whole(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        bad = Draft("run.started", "r", "2026-11-21T08:00:00.000000Z", "exam", {"x": object()})
        with pytest.raises(TypeError):
            store.append([draft(1), bad])
        assert store.head() == (0, GENESIS)

    def test_read_filters(self, tmp_path: Path) -> None:
        """Each combination gives what filtering all 2,500 events by hand gives, in both directions."""
        store = self.make_store(tmp_path / "s")
        kinds = ["stage.finished", "gate.judged", "stage.finished", "run.started"]
        store.append([draft(n, kind=kinds[n % 4]) for n in range(2500)])
        every = list(store.read())
        asked: list[Collection[str] | None] = [None, (), {"gate.judged"}, kinds[1:], ["no.such.kind"]]
        for after, of, subject in itertools.product(
            [0, 1, 29, 2499, 2500, 9999], asked, [None, "subject-1", "nobody"]
        ):
            wanted = [
                e
                for e in every
                if e.seq > after and (of is None or e.kind in of) and subject in (None, e.subject)
            ]
            assert list(store.read(after=after, kinds=of, subject=subject)) == wanted
            backwards = list(store.read(after=after, kinds=of, subject=subject, newest_first=True))
            assert backwards == wanted[::-1]

    def test_reading_may_be_left_and_appending_goes_on_meanwhile(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        store.append([draft(n) for n in range(3000)])
        reader = store.read()
        seen = [next(reader).seq]
        store.append([draft(1)])
        seen += [e.seq for e in reader]
        assert seen[:3000] == list(range(1, 3001))
        left = store.read(newest_first=True)
        assert next(left).seq == 3001
        del left
        store.append([draft(2)])
        assert store.head()[0] == 3002

    def test_a_reopened_store_is_the_same(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        store.append([draft(n) for n in range(10)])
        artifact = store.put(b"kept")
        again = self.make_store(tmp_path / "s")
        assert again.head() == store.head()
        assert list(again.read()) == list(store.read())
        assert again.get(artifact.digest).read_bytes() == b"kept"
        again.append([draft(11)])
        assert store.head()[0] == 11

    # Artifacts

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000])
    def test_put_keeps_bytes_under_their_sha256(self, tmp_path: Path, data: bytes) -> None:
        store = self.make_store(tmp_path / "s")
        artifact = store.put(data)
        assert artifact == Artifact(hashlib.sha256(data).hexdigest(), len(data))
        assert store.has(artifact.digest)
        assert store.get(artifact.digest).read_bytes() == data

    def test_put_is_idempotent_for_bytes_and_files(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        source = tmp_path / "source.bin"
        source.write_bytes(b"the same bytes")
        artifacts = [
            store.put(b"the same bytes"),
            store.put(source),
            store.put(source),
            store.put(b"the same bytes"),
        ]
        assert len(set(artifacts)) == 1
        assert list(store.artifacts()) == artifacts[:1]

    def test_a_file_put_is_a_copy(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        source = tmp_path / "source.csv"
        source.write_bytes(b"a,b\n1,2\n")
        artifact = store.put(source)
        source.write_bytes(b"edited")
        assert store.get(artifact.digest).read_bytes() == b"a,b\n1,2\n"
        source.unlink()
        assert store.get(artifact.digest).read_bytes() == b"a,b\n1,2\n"

    def test_a_large_file(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        source = tmp_path / "large.bin"
        source.write_bytes(random.Random(0).randbytes(24_000_001))
        artifact = store.put(source)
        assert artifact == Artifact(digest_file(source), 24_000_001)
        assert digest_file(store.get(artifact.digest)) == artifact.digest

    def test_a_scratch_file_is_fresh_and_can_be_put(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        paths = [store.scratch(), store.scratch(), store.scratch(".parquet"), store.scratch(".parquet")]
        assert len(set(paths)) == 4
        assert not any(p.exists() for p in paths)
        assert paths[2].suffix == ".parquet"
        for path in paths:
            path.write_bytes(b"written in place")
        artifacts = {store.put(path) for path in paths}
        assert artifacts == {Artifact(hashlib.sha256(b"written in place").hexdigest(), 16)}
        assert store.get(artifacts.pop().digest).read_bytes() == b"written in place"

    def test_missing_artifacts(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        store.put(b"something else")
        for name in ("0" * 64, "", "no digest", "../ledger.db", "0" * 63):
            assert not store.has(name)
            with pytest.raises(NotFound):
                store.get(name)

    def test_artifacts_lists_each_once(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")
        put = {store.put(str(n).encode() * n) for n in range(50)}
        listed = list(store.artifacts())
        assert set(listed) == put
        assert len(listed) == 50

    # Many at once

    def test_threads_share_a_store(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "s")

        def work(worker: int) -> None:
            for n in range(40):
                store.append([draft(n, subject=f"worker-{worker}"), draft(n, subject=f"worker-{worker}")])
                store.put(b"%d" % n)
                assert len(list(store.read(subject=f"worker-{worker}"))) == 2 * n + 2

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(6)))
        assert_chain(store, 6 * 40 * 2)
        assert len(list(store.artifacts())) == 40

    def test_processes_start_on_one_new_store(self, tmp_path: Path) -> None:
        """Eight processes open a store that doesn't exist and append: nobody fails, nothing is lost."""
        run_processes(append_many, 8, self.make_store, tmp_path / "s", 100)
        store = self.make_store(tmp_path / "s")
        assert_chain(store, 800)
        for worker in range(8):
            numbers = [e.payload["number"] for e in store.read(subject=f"worker-{worker}")]
            assert numbers == list(range(100))

    def test_expect_serialises_processes(self, tmp_path: Path) -> None:
        """Read, add one, append expecting the head, retry on Conflict: no increment is lost."""
        run_processes(count_up, 4, self.make_store, tmp_path / "s", 25)
        store = self.make_store(tmp_path / "s")
        assert [e.payload["number"] for e in store.read()] == list(range(1, 101))

    def test_processes_put_the_same_artifacts(self, tmp_path: Path) -> None:
        run_processes(put_many, 4, self.make_store, tmp_path / "s", 30)
        store = self.make_store(tmp_path / "s")
        kept = list(store.artifacts())
        assert len(kept) == 30
        for artifact in kept:
            assert digest_file(store.get(artifact.digest)) == artifact.digest


def assert_chain(store: Store, events: int) -> None:
    """Exactly `events` events, numbered without a gap, each sealed onto the one before."""
    prev = GENESIS
    seq = 0
    for seq, event in enumerate(store.read(), start=1):
        made_from = Draft(event.kind, event.subject, event.time, event.actor, event.payload)
        assert event == seal_event(made_from, seq, prev)
        prev = event.digest
    assert seq == events
    assert store.head() == (seq, prev)


Work = Callable[[MakeStore, Path, int, int, Barrier], None]


def run_processes(work: Work, processes: int, make_store: MakeStore, place: Path, count: int) -> None:
    """Run `work` in fresh processes that all begin at the same moment; fail where one of them fails."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    workers = [
        context.Process(target=work, args=(make_store, place, w, count, barrier)) for w in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0] * processes


def append_many(make_store: MakeStore, place: Path, worker: int, count: int, barrier: Barrier) -> None:
    """Append `count` events, one at a time."""
    barrier.wait(_START_SECONDS)
    store = make_store(place)
    for number in range(count):
        store.append([draft(number, subject=f"worker-{worker}")])


def count_up(make_store: MakeStore, place: Path, worker: int, count: int, barrier: Barrier) -> None:
    """Append `count` events, each with the number after the newest one's."""
    barrier.wait(_START_SECONDS)
    store = make_store(place)
    done = 0
    while done < count:
        _, head = store.head()
        newest = next(iter(store.read(newest_first=True)), None)
        if head != (GENESIS if newest is None else newest.digest):
            continue
        number = 1 if newest is None else newest.payload["number"] + 1
        try:
            store.append([draft(number, subject=f"worker-{worker}")], expect=head)
        except Conflict:
            continue
        done += 1


def put_many(make_store: MakeStore, place: Path, worker: int, count: int, barrier: Barrier) -> None:
    """Put `count` artifacts that every worker puts."""
    barrier.wait(_START_SECONDS)
    store = make_store(place)
    order = list(range(count))
    random.Random(worker).shuffle(order)
    for number in order:
        data = random.Random(number).randbytes(200_000)
        artifact = store.put(data)
        assert store.get(artifact.digest).read_bytes() == data
