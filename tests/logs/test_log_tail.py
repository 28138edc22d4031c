"""Following: everything new, once, through rotations and compactions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from written import write

from headrace.logs import rewrite
from headrace.logs.compact import compact
from headrace.logs.parts import commit, load
from headrace.logs.read import Wanted, part_tables
from headrace.logs.segment import is_open, segments, size_of
from headrace.logs.tail import Tail
from headrace.logs.writer import LogWriter
from headrace.testing.log_exam import Callers, answered


def numbers(tail: Tail) -> list[int]:
    return sorted(int(e.id, 16) for e in tail.poll())


def test_what_is_new(tmp_path: Path) -> None:
    write(tmp_path, [answered(0)])
    tail = Tail(tmp_path)
    assert numbers(tail) == []
    log, told = LogWriter(tmp_path, worker="a", mode="durable"), Callers()
    for i in range(1, 6):
        log.append([answered(i)], told)
        told.wait(i)
        assert numbers(tail) == [i]
        assert numbers(tail) == []
    log.close()
    write(tmp_path, [answered(6)])
    compact(tmp_path)  # what a was read before; 6 came and went between two looks
    assert segments(tmp_path) == []
    assert numbers(tail) == [6]
    assert numbers(tail) == []
    tail.close()


def test_compactions_between_any_two_looks(tmp_path: Path) -> None:
    tail = Tail(tmp_path)
    seen: list[int] = []
    for i in range(24):
        write(tmp_path, [answered(2 * i), answered(2 * i + 1)])
        if i % 2:
            seen += numbers(tail)
        if i % 3:
            compact(tmp_path)
        if i % 5 == 0:
            seen += numbers(tail)
    seen += numbers(tail)
    assert seen == sorted(seen)
    assert seen == list(range(48))


def test_a_compaction_in_the_middle_of_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.logs import tail as room

    def compacting(path: Path) -> bool:
        compact(tmp_path)
        return is_open(path)

    write(tmp_path, [answered(0)])
    tail = Tail(tmp_path, start=0)
    monkeypatch.setattr(room, "is_open", compacting)
    assert numbers(tail) == [0]
    assert segments(tmp_path) == []
    assert numbers(tail) == []
    write(tmp_path, [answered(1)])
    assert numbers(tail) == [1]
    assert numbers(tail) == []


def test_what_came_and_went_is_found_without_reading_the_whole_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of old rows only their segments are looked at, where the names' ends don't tell enough."""
    read: list[tuple[int, bool]] = []
    original = pq.ParquetFile.read_row_group

    def reading_group(self: Any, group: int, columns: Any = None, **more: Any) -> Any:
        read.append((group, columns is None))
        return original(self, group, columns=columns, **more)

    monkeypatch.setattr(rewrite, "GROUP", 10)
    write(tmp_path, [answered(i) for i in range(25)], "a")
    write(tmp_path, [answered(i) for i in range(25, 30)], "c")
    compact(tmp_path)
    tail = Tail(tmp_path)
    write(tmp_path, [answered(i, inputs={"n": {"x": i}}) for i in (3, 29)], "b")
    compact(tmp_path)
    tables = [t for part in load(tmp_path).parts for t in part_tables(tmp_path, part)]
    (merged,) = rewrite.write_parts(tmp_path, tables)
    commit(tmp_path, replace(load(tmp_path), parts=(merged,)))
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", reading_group)
    assert numbers(tail) == [3, 29]
    # Four groups: of a and b, of a alone, of a and c, of b and c.
    assert read == [(0, False), (0, True), (2, False), (3, False), (3, True)]


def test_from_a_moment_on(tmp_path: Path) -> None:
    entries = [answered(i) for i in range(30)]
    write(tmp_path, entries[:10])
    compact(tmp_path)
    write(tmp_path, entries[10:20])
    tail = Tail(tmp_path, start=entries[5].time)
    assert numbers(tail) == list(range(5, 20))
    write(tmp_path, entries[20:])
    assert numbers(tail) == list(range(20, 30))


def test_some_alone(tmp_path: Path) -> None:
    tail = Tail(tmp_path, Wanted(arm="canary"))
    write(tmp_path, [answered(i, arm=("canary", "champion")[i % 2]) for i in range(6)])
    assert numbers(tail) == [0, 2, 4]


def test_the_cost_is_that_of_what_is_new(tmp_path: Path) -> None:
    log, told = LogWriter(tmp_path, worker="a", mode="durable"), Callers()
    log.append([answered(i) for i in range(5000)], told)
    told.wait(1)
    tail = Tail(tmp_path, start=0)
    assert len(tail.poll()) == 5000
    (followed,) = tail._open.values()
    at = followed.at
    assert at == size_of(segments(tmp_path)[0])
    log.append([answered(6000)], told)
    told.wait(2)
    assert numbers(tail) == [6000]
    assert followed.at > at
    log.close()
