"""The index of runs: the same answers as reading the ledger, whatever became of its file."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace.core.clock import iso
from headrace.core.errors import NotFound, UserError
from headrace.core.event import Draft
from headrace.core.views import RUN_KINDS, runs
from headrace.engine.tracking.index import INDEX, RunIndex
from headrace.engine.tracking.search import find_runs
from headrace.stores import EmbeddedStore
from headrace.stores.runs_file import CHUNK

START = datetime(2026, 1, 1, tzinfo=UTC)
WHERE = (
    "validation.f1 > 0.6",
    "validation.f1 > 0.3 and tags.team = 'a'",
    "status = 'blocked' or author = 'ben'",
    "tags.team is null",
    "params.depth >= 4 and kind = 'script'",
    "seconds < 20 and test.f1 is not null",
    "started >= TIMESTAMP '2026-01-01 03:00:00'",
)


def write(store: EmbeddedStore, first: int, count: int, seed: int = 0) -> None:
    """So many runs: some of scripts, some noted, some that never ended."""
    draw = random.Random(seed + first)
    drafts = []
    for i in range(first, first + count):
        name, at = f"run-{i + 1}", START + timedelta(minutes=i)
        script = draw.random() < 0.3
        begun = {"name": f"change {draw.randrange(9)}", "spec": "0" * 64, "script": script}
        tags = {"team": draw.choice("ab")} if draw.random() < 0.7 else {}
        drafts.append(
            Draft("run.started", name, iso(at), draw.choice(["ana", "ben"]), {**begun, "tags": tags})
        )
        if draw.random() < 0.2:
            drafts.append(Draft("run.noted", name, iso(at), "ana", {"tags": {"team": ""}, "note": "looked"}))
        if draw.random() < 0.1:
            continue
        found = {"f1": {"value": draw.random(), "interval": {"low": 0.1, "high": 0.9}}}
        ended = {
            "status": draw.choice(["released", "blocked", "failed"]),
            "seconds": 60 * draw.random(),
            "validation": found,
            **({"params": {"depth": draw.randrange(9)}} if script else {}),
            **(
                {"test": {"metric": "f1", "value": draw.random(), "interval": None}}
                if draw.random() < 0.4
                else {}
            ),
        }
        drafts.append(Draft("run.finished", name, iso(at + timedelta(seconds=9)), "ana", ended))
        if draw.random() < 0.2:
            drafts.append(Draft("run.noted", name, iso(at), "ana", {"tags": {"team": "b"}, "group": "g"}))
    store.append(drafts)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    made = EmbeddedStore(tmp_path / ".headrace")
    write(made, 0, 400)
    yield made
    made.close()


@pytest.fixture
def index(store: EmbeddedStore, tmp_path: Path) -> Iterator[RunIndex]:
    made = RunIndex(store, tmp_path / ".headrace")
    yield made
    made.close()


def expected(store: EmbeddedStore, where: str) -> list[str]:
    seen = list(runs(store.read(kinds=RUN_KINDS)).values())
    return [r.run for r in (find_runs(seen, where) if where else seen)]


def found(index: RunIndex, where: str = "") -> list[str]:
    return [line.run for line in index.find(where, down=False, most=10_000).lines]


def test_it_finds_what_reading_the_ledger_finds(store: EmbeddedStore, index: RunIndex) -> None:
    for where in ("", *WHERE):
        said = expected(store, where)
        assert found(index, where) == said, where
        assert where == "" or 0 < len(said) < 400, "the expression tells runs apart"


def test_it_follows_what_is_written_since(store: EmbeddedStore, index: RunIndex) -> None:
    for step, where in enumerate(("", *WHERE)):
        found(index, where)
        write(store, 400 + 10 * step, 10)
        noted = {"tags": {"team": "ab"[step % 2]}}
        store.append([Draft("run.noted", f"run-{step + 3}", iso(START), "ana", noted)])
        assert found(index, where) == expected(store, where), where


def test_pages_put_together_are_the_whole(index: RunIndex) -> None:
    whole = index.find(sort="validation.f1", most=10_000)
    parts = [
        line for at in range(0, 400, 33) for line in index.find(sort="validation.f1", start=at, most=33).lines
    ]
    assert parts == list(whole.lines)
    assert (whole.total, whole.every) == (400, 400)


def test_runs_are_sorted_by_any_field_nulls_last(store: EmbeddedStore, index: RunIndex) -> None:
    from headrace.engine.tracking.search import fields

    every = runs(store.read(kinds=RUN_KINDS)).values()
    for sort in ("seconds", "validation.f1", "name", "tags.team", "started"):
        values = {r.run: fields(r).get(sort) for r in every}
        for down in (False, True):
            lines = [values[line.run] for line in index.find(sort=sort, down=down, most=10_000).lines]
            known = [v for v in lines if v is not None]
            assert known == sorted(known, reverse=down), sort
            assert lines[: len(known)] == known, sort


def test_a_damaged_or_lost_file_is_made_anew(store: EmbeddedStore, tmp_path: Path) -> None:
    file = tmp_path / ".headrace" / INDEX
    for spoil in (b"", b"no database at all" * 500, None, b"SQLite format 3\0" + b"\0" * 4000):
        made = RunIndex(store, tmp_path / ".headrace")
        assert found(made, WHERE[0]) == expected(store, WHERE[0])
        made.close()
        for tail in ("-wal", "-shm"):
            file.with_name(file.name + tail).unlink(missing_ok=True)
        if spoil is None:
            file.unlink()
        else:
            file.write_bytes(spoil)
    made = RunIndex(store, tmp_path / ".headrace")
    assert found(made) == expected(store, "")
    made.close()


def test_an_index_of_another_ledger_is_not_believed(tmp_path: Path, index: RunIndex) -> None:
    found(index)
    index.close()
    other = EmbeddedStore(tmp_path / "other")
    write(other, 0, 20, seed=9)
    (tmp_path / "other" / INDEX).write_bytes((tmp_path / ".headrace" / INDEX).read_bytes())
    moved = RunIndex(other, tmp_path / "other")
    assert found(moved) == expected(other, "")
    assert moved.find("validation.f1 >= 0").total == len(expected(other, "validation.f1 >= 0"))
    moved.close()
    other.close()


def test_two_processes_keep_one_file(store: EmbeddedStore, tmp_path: Path) -> None:
    one, two = (RunIndex(store, tmp_path / ".headrace") for _ in range(2))
    found(one)
    write(store, 400, 30)
    assert found(two) == found(one) == expected(store, "")
    write(store, 430, 30)
    assert found(one, WHERE[1]) == found(two, WHERE[1]) == expected(store, WHERE[1])
    one.close()
    two.close()


def test_where_nothing_can_be_written_it_is_in_memory(store: EmbeddedStore, tmp_path: Path) -> None:
    nowhere = tmp_path / "a file"
    nowhere.write_text("")
    made = RunIndex(store, nowhere)
    assert found(made, WHERE[0]) == expected(store, WHERE[0])
    made.close()


def test_fields_lie_in_chunks_that_fit_together(tmp_path: Path) -> None:
    drafts = []
    for i in range(CHUNK + 100):
        begun = {"name": "n", "spec": "0" * 64, "tags": {"odd": "yes"} if i % 2 else {}}
        drafts.append(Draft("run.started", f"run-{i + 1}", iso(START), "ana", begun))
    with closing(EmbeddedStore(tmp_path / "long")) as store:
        store.append(drafts)
        with closing(RunIndex(store, tmp_path / "long")) as index:
            assert index.find("tags.odd = 'yes'").total == (CHUNK + 100) // 2
            assert index.find(start=CHUNK + 99).lines[0].run == "run-1"


def test_what_another_process_read_is_seen_here(
    store: EmbeddedStore, index: RunIndex, tmp_path: Path
) -> None:
    before = index.find("author = 'ben'").total
    with closing(RunIndex(store, tmp_path / ".headrace")) as other:
        store.append([Draft("run.started", "new", iso(START), "ben", {"name": "n", "spec": "0" * 64})])
        assert other.find("author = 'ben'").total == before + 1
    assert index.find("author = 'ben'").total == before + 1, "the file has it, and so has what was kept of it"
    store.append([Draft("token.revoked", "t", iso(START), "ben")])
    assert index.find("author = 'ben'").total == before + 1


def test_mistakes_are_told(index: RunIndex) -> None:
    with pytest.raises(UserError, match="not true or false"):
        index.find("seconds + 1")
    with pytest.raises(UserError, match="metrix"):
        index.find("metrix.f1 > 1")
    with pytest.raises(UserError, match="to sort by"):
        index.find(sort="nothing")
    with pytest.raises(NotFound):
        index.line("run-9999")
    assert index.line("run-7").run == "run-7"
