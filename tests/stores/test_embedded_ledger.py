"""What the embedded ledger does beyond the exam: laziness, schema, foreign files, damage, forks."""

import os
import pickle
import sqlite3
from pathlib import Path

import pytest

from headrace.core.errors import Corrupt, StoreError
from headrace.core.event import GENESIS, Draft
from headrace.stores import EmbeddedStore
from headrace.stores.connect import prepare
from headrace.testing.store_exam import draft


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


def edit(store: EmbeddedStore, sql: str, *values: object) -> None:
    db = sqlite3.connect(store.root / "ledger.db")
    with db:
        assert db.execute(sql, values).rowcount == 1
    db.close()


def test_looking_creates_nothing(store: EmbeddedStore) -> None:
    assert store.head() == (0, GENESIS)
    assert list(store.read(kinds=["run.started"], subject="x")) == []
    assert not store.has("0" * 64)
    assert list(store.artifacts()) == []
    assert not store.root.exists()


def test_the_ledger_is_in_write_ahead_mode(store: EmbeddedStore) -> None:
    store.append([draft(1)])
    db = sqlite3.connect(store.root / "ledger.db")
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_reads_use_the_indexes(store: EmbeddedStore) -> None:
    """Nothing is sorted, and the table is walked only for all kinds or the most frequent ones."""
    store.append([draft(1)])
    plans: list[str] = []
    db = sqlite3.connect(store.root / "ledger.db")
    explain = "EXPLAIN QUERY PLAN "
    asked: list[str] = []
    reader = store._ledger._lines()[1].open()
    reader.set_trace_callback(asked.append)
    list(store.read(kinds=["run.started", "gate.waived", "run.finished"]))
    list(store.read(kinds=["run.started"], newest_first=True))
    list(store.read(subject="x", kinds=["run.started"]))
    list(store.read(after=0))
    list(store.read(kinds=["run.started", "stage.finished", "gate.judged"]))
    reader.set_trace_callback(None)
    for sql in asked:
        plans += [row[3] for row in db.execute(explain + sql)]
    db.close()
    assert sum("event_kind" in p for p in plans) == 5
    assert sum("event_spot" in p for p in plans) == 1
    assert not [p for p in plans if "TEMP B-TREE" in p]
    assert [p for p in plans if p.startswith("SCAN")] == ["SCAN event"] * 5  # the head: one row from the end


def test_subjects_are_found_across_stretches_of_the_index(store: EmbeddedStore) -> None:
    for start in range(0, 20_000, 4_000):
        store.append([draft(n, subject=f"s{n % 5000}") for n in range(start, start + 4_000)])
    assert [e.seq for e in store.read(subject="s17")] == [18, 5018, 10018, 15018]
    assert [e.seq for e in store.read(subject="s17", newest_first=True)] == [15018, 10018, 5018, 18]
    assert [e.seq for e in store.read(subject="s17", after=5018)] == [10018, 15018]
    # 8,191 and 8,192 are the last number of one stretch and the first of the next.
    for number in (8191, 8192):
        found = store.read(subject=f"s{(number - 1) % 5000}", after=number - 1)
        assert next(found).seq == number


def test_subjects_with_the_same_checksum_are_told_apart(store: EmbeddedStore) -> None:
    store.append([draft(1, subject="plumless"), draft(2, subject="buckeroo")])  # a known CRC-32 collision
    assert [e.seq for e in store.read(subject="plumless")] == [1]
    assert [e.seq for e in store.read(subject="buckeroo")] == [2]


def test_types_that_could_not_be_read_again_are_refused(store: EmbeddedStore) -> None:
    good = draft(1)
    bad = [
        Draft(good.kind, None, good.time, good.actor, {}),  # type: ignore[arg-type] # wrong use is the test
        Draft(good.kind, "s", None, good.actor, {}),  # type: ignore[arg-type] # wrong use is the test
        Draft(good.kind, "s", good.time, 7, {}),  # type: ignore[arg-type] # wrong use is the test
        Draft(good.kind, "s", good.time, good.actor, [1]),  # type: ignore[arg-type] # wrong use is the test
        Draft(good.kind, "s", good.time, good.actor, {1: "a"}),  # type: ignore[dict-item] # wrong use is the test
    ]
    for one in bad:
        with pytest.raises(TypeError):
            store.append([good, one])
    assert store.head() == (0, GENESIS)


def test_a_newer_store_is_refused(store: EmbeddedStore) -> None:
    store.append([draft(1)])
    store.close()
    db = sqlite3.connect(store.root / "ledger.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    for ask in (store.head, lambda: list(store.read()), lambda: store.append([draft(2)])):
        with pytest.raises(
            StoreError, match=r"written by a newer headrace \(schema 99, this one knows 1\)"
        ) as caught:
            ask()
        assert "pip install -U headrace" in caught.value.problems[0].fix


def test_a_file_that_is_no_database_is_refused_and_kept(store: EmbeddedStore) -> None:
    store.root.mkdir()
    path = store.root / "ledger.db"
    path.write_bytes(b"these are my notes, not a database\n" * 100)
    for ask in (store.head, lambda: store.append([draft(1)])):
        with pytest.raises(StoreError) as caught:
            ask()
        problem = caught.value.problems[0]
        assert problem.why == "the file is not a SQLite database"
        assert problem.where == str(path)
        assert "move the file away" in problem.fix
    assert path.read_bytes().startswith(b"these are my notes")


def test_somebody_elses_database_is_refused(store: EmbeddedStore) -> None:
    store.root.mkdir()
    db = sqlite3.connect(store.root / "ledger.db")
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(StoreError, match="this SQLite database is not a headrace ledger"):
        store.append([draft(1)])


def test_a_schema_that_appears_while_one_looks_is_ours(store: EmbeddedStore) -> None:
    """Two starters: between the looks of one at an empty file, the other makes the schema."""
    store.root.mkdir()
    path = store.root / "ledger.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = wal")

    def intrude(statement: str) -> None:
        if "sqlite_master" in statement:
            db.set_trace_callback(None)
            store.append([draft(1)])

    db.set_trace_callback(intrude)
    prepare(db, path, patience=5)
    assert db.execute("SELECT count(*) FROM event").fetchone() == (1,)
    db.close()


def test_a_lock_held_too_long(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store", patience=0.05)
    store.append([draft(1)])
    db = sqlite3.connect(store.root / "ledger.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process held the ledger locked for too long"):
        store.append([draft(2)])
    assert store.head()[0] == 1  # readers don't wait for writers
    db.execute("ROLLBACK")
    db.close()
    store.append([draft(2)])
    assert store.head()[0] == 2


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        EmbeddedStore(tmp_path / "file" / "store").append([draft(1)])
    problem = caught.value.problems[0]
    assert problem.what == "can't make the store's folder"
    assert problem.why == "a part of the path is a file, not a folder"
    with pytest.raises(StoreError, match="there is a file where a folder should be"):
        EmbeddedStore(tmp_path / "file").append([draft(1)])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event SET line = 'no json' WHERE seq = 2",
        "UPDATE event SET line = '[2]' WHERE seq = 2",
        "UPDATE event SET line = x'ff00' WHERE seq = 2",
        "UPDATE event SET line = replace(line, '[2,', '[3,') WHERE seq = 2",
        "UPDATE event SET kind = 'release.promoted' WHERE seq = 2",
        "UPDATE event SET spot = spot + 1 WHERE seq = 2",
    ],
)
def test_a_damaged_row_is_named(store: EmbeddedStore, change: str) -> None:
    store.append([draft(1), draft(2), draft(3)])
    edit(store, change)
    with pytest.raises(Corrupt, match="event 2 is damaged"):
        list(store.read())
    assert [e.seq for e in store.read(after=2)] == [3]


def test_a_removed_store_is_begun_anew_not_written_into_a_ghost(store: EmbeddedStore) -> None:
    store.append([draft(1), draft(2)])
    for path in store.root.iterdir():
        if path.is_file():
            path.unlink()
    assert store.head() == (0, GENESIS)
    store.append([draft(3)])
    assert [e.payload["number"] for e in EmbeddedStore(store.root).read()] == [3]


def test_a_store_travels_as_its_path(store: EmbeddedStore) -> None:
    store.append([draft(1)])
    there: EmbeddedStore = pickle.loads(pickle.dumps(store))
    assert there.root == store.root
    there.append([draft(2)])
    assert [e.seq for e in store.read()] == [1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_opens_its_own_connection(store: EmbeddedStore) -> None:
    store.append([draft(1)])
    assert store.head()[0] == 1
    child = os.fork()
    if child == 0:
        status = 1
        try:
            store.append([draft(2)])
            status = 0 if [e.seq for e in store.read()] == [1, 2] else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    store.append([draft(3)])
    assert [e.payload["number"] for e in store.read()] == [1, 2, 3]


def test_a_closed_store_opens_again(store: EmbeddedStore) -> None:
    store.append([draft(1)])
    store.close()
    assert sorted(p.name for p in store.root.iterdir()) == ["ledger.db"]  # the write-ahead log is folded in
    assert store.head()[0] == 1
    store.append([draft(2)])
    assert store.head()[0] == 2
