"""Compaction: every entry once, whatever dies when; days and routes apart; the ledger is told."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from written import everything, write

from headrace.core.errors import Corrupt, StoreError
from headrace.logs import compact as compact_room
from headrace.logs import rewrite
from headrace.logs.audit import audit_log
from headrace.logs.compact import MANY, compact
from headrace.logs.parts import changing, load, reading
from headrace.logs.read import Wanted, read, tables
from headrace.logs.segment import segments
from headrace.logs.writer import LogWriter
from headrace.stores import EmbeddedStore
from headrace.testing.log_exam import START, Callers, answered

DAY = 86_400_000_000
LATER = datetime(2026, 1, 1, tzinfo=UTC)


def later() -> datetime:
    return LATER


def test_what_was_written_is_read_all_the_same(tmp_path: Path) -> None:
    entries = [answered(i, route="ab"[i % 2], time=START + i * DAY // 50) for i in range(100)]
    write(tmp_path, entries[:60], "one")
    write(tmp_path, entries[60:], "two")
    done = compact(tmp_path)
    assert (done.segments, done.rows) == (2, 100)
    assert segments(tmp_path) == []
    assert [e.id for e in everything(tmp_path)] == [e.id for e in entries]
    first = everything(tmp_path)[0]
    assert first == answered(0, route="a", time=START, answer={"prediction": 0.0})  # null is left out
    days = {(p.day, p.route) for p in load(tmp_path).parts}
    expected = {(datetime.fromtimestamp(e.time / 1e6, UTC).strftime("%Y-%m-%d"), e.route) for e in entries}
    assert days == expected
    assert compact(tmp_path).rows == 0


def test_windows(tmp_path: Path) -> None:
    entries = [
        answered(i, route="ab"[i % 2], release="xyz"[i % 3], arm=("champion", "canary")[i % 2])
        for i in range(60)
    ]
    write(tmp_path, entries[:30])
    compact(tmp_path)
    write(tmp_path, entries[30:])
    for wanted in (
        Wanted(start=entries[10].time),
        Wanted(start=entries[20].time, end=entries[40].time),
        Wanted(end=entries[5].time, route="b"),
        Wanted(release="y"),
        Wanted(arm="canary", release="x", start=entries[3].time),
        Wanted(start=entries[59].time + 1),
    ):
        right = [e.id for e in entries if wanted.holds(e)]
        assert sorted(e.id for e in read(tmp_path, wanted)) == right
        told = [i for t in tables(tmp_path, wanted) for i in t.column("id").to_pylist()]
        assert sorted(told) == right


def test_kinds_of_columns_come_back(tmp_path: Path) -> None:
    odd = [
        {"x": 1, "y": True, "T": "a", "t": 2.5, "m": {"a": 1.0}, "l": ["a"]},
        {"x": 2.5, "y": None, "T": 7, "z": "only here", "m": {"a": "no number"}, "l": []},
        {"x": 2**63, "T": {"b": [1]}},
        {},
    ]
    for i, inputs in enumerate(odd):
        write(tmp_path, [answered(i, inputs=inputs)], f"w{i}")
    compact(tmp_path)
    found = [dict(e.inputs) for e in everything(tmp_path)]
    assert found == [{n: v for n, v in inputs.items() if v is not None} for inputs in odd]
    assert found[2]["x"] == float(2**63)


def test_small_parts_of_a_day_become_one(tmp_path: Path) -> None:
    for i in range(MANY - 1):
        write(tmp_path, [answered(i)])
        compact(tmp_path, clock=lambda: datetime.fromtimestamp(START / 1e6, UTC))
    assert len(load(tmp_path).parts) == MANY - 1
    write(tmp_path, [answered(MANY)])
    done = compact(tmp_path, clock=lambda: datetime.fromtimestamp(START / 1e6, UTC))
    assert done.merged == MANY
    (part,) = load(tmp_path).parts
    assert part.rows == MANY
    write(tmp_path, [answered(99)])
    assert compact(tmp_path, clock=later).merged == 2  # the day is over
    assert len(everything(tmp_path)) == MANY + 1
    assert len(list((tmp_path / "parts").rglob("*.parquet"))) == 1


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store")
    log = tmp_path / "log"
    write(log, [answered(i, time=START + i * DAY) for i in range(10)])
    now = datetime.fromtimestamp(START / 1e6, UTC) + timedelta(days=9, hours=1)
    done = compact(log, store, keep_us=3 * DAY, clock=lambda: now)
    assert done.expired == 7
    assert [int(e.id, 16) for e in everything(log)] == [7, 8, 9]
    (event,) = store.read(kinds=["log.expired"])
    assert event.payload["rows"] == 7
    assert audit_log(log, store) == (3, [])


class Died(BaseException):
    """A process that ends here."""


def fails_at(real: Callable[..., Any], spot: int, when: str) -> Callable[..., Any]:
    """The function, but its call number `spot` is the process's last: before or after it."""
    calls = 0

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == spot and when == "before":
            raise Died
        done = real(*arguments, **named)
        if calls == spot:
            raise Died
        return done

    return call


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("spot", [1, 2, 3])
@pytest.mark.parametrize("step", ["write_parts", "commit", "remove"])
def test_dying_at_any_step_leaves_every_entry_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, spot: int, when: str
) -> None:
    store, log = EmbeddedStore(tmp_path / "store"), tmp_path / "log"
    entries = [answered(i, time=START + (i % 3) * DAY) for i in range(30)]
    write(log, entries[:10], "a")
    compact(log, store, clock=later)
    write(log, entries[10:20], "b")
    write(log, entries[20:], "c")
    room = rewrite if step == "write_parts" else compact_room
    monkeypatch.setattr(compact_room, "ROUND", 1)  # each segment by itself
    with monkeypatch.context() as dying:
        dying.setattr(room, step, fails_at(getattr(room, step), spot, when))
        try:
            compact(log, store, clock=later)
        except Died:
            pass
        else:
            assert (step, spot) in {("remove", 2), ("remove", 3)}  # it is called once
    ids = [e.id for e in entries]
    assert [e.id for e in everything(log)] == ids
    compact(log, store, clock=later)
    assert [e.id for e in everything(log)] == ids
    assert segments(log) == []
    assert audit_log(log, store) == (3, [])
    assert len(list((log / "parts").rglob("*.parquet"))) == 3


def test_one_at_a_time_and_readers_keep_their_files(tmp_path: Path) -> None:
    write(tmp_path, [answered(i) for i in range(10)])
    with changing(tmp_path), pytest.raises(StoreError, match="another process"):
        compact(tmp_path)
    reader = read(tmp_path)
    first = next(reader)
    assert compact(tmp_path).waiting
    assert Counter([first.id, *(e.id for e in reader)]) == Counter(answered(i).id for i in range(10))
    assert len(everything(tmp_path)) == 10
    assert not compact(tmp_path).waiting
    assert segments(tmp_path) == []
    with reading(tmp_path):
        pass


def test_a_segment_that_is_being_written_stays(tmp_path: Path) -> None:
    log, told = LogWriter(tmp_path, worker="w", mode="durable"), Callers()
    log.append([answered(1)], told)
    told.wait(1)
    assert compact(tmp_path).segments == 0
    assert everything(tmp_path) == [answered(1)]
    log.close()
    assert compact(tmp_path).segments == 1


def test_torn_ends_are_told(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store")
    write(tmp_path, [answered(1)])
    (path,) = segments(tmp_path)
    with path.open("ab") as torn:
        torn.write(b"HRF1 and then the lights went out")
    told: list[int] = []
    assert list(read(tmp_path, torn=lambda _, lost: told.append(lost))) == [answered(1)]
    assert told == [33]
    assert compact(tmp_path, store).torn == {path.name: 33}
    (event,) = store.read(kinds=["log.segment"])
    assert event.payload["torn"] == {path.name: 33}
    assert event.payload["segments"] == [path.name]
    assert len(everything(tmp_path)) == 1


def test_the_audit_finds_what_was_changed(tmp_path: Path) -> None:
    store, log = EmbeddedStore(tmp_path / "store"), tmp_path / "log"
    write(log, [answered(i, time=START + i * DAY) for i in range(3)])
    compact(log, store, clock=later)
    assert audit_log(log, store) == (3, [])
    events = list(store.read(kinds=["log.segment"]))
    assert [e.payload["rows"] for e in events] == [1, 1, 1]
    one, two, _ = [log / p.file for p in load(log).parts]
    one.write_bytes(one.read_bytes() + b"x")
    two.unlink()
    count, broken = audit_log(log, store)
    assert count == 3
    assert ["was changed" in broken[0][1], "can't be read" in broken[1][1]] == [True, True]
    (log / "parts.json").unlink()
    _, broken = audit_log(log, store)
    assert len(broken) == 3
    assert all("lacks the part" in how for _, how in broken)
    (log / "parts.json").write_text("{")
    assert audit_log(log, store)[1] == [
        ("prediction log", "the list of the prediction log's files can't be read")
    ]
    with pytest.raises(Corrupt):
        everything(log)


def test_a_part_that_the_ledger_was_never_told_of(tmp_path: Path) -> None:
    store, log = EmbeddedStore(tmp_path / "store"), tmp_path / "log"
    write(log, [answered(1)])
    compact(log)  # without a ledger: it waits
    assert audit_log(log, store) == (1, [])
    compact(log, store)
    assert load(log).untold == ()
    other = EmbeddedStore(tmp_path / "other")
    assert "never told" in audit_log(log, other)[1][0][1]


def test_an_empty_folder(tmp_path: Path) -> None:
    assert everything(tmp_path / "none") == []
    assert compact(tmp_path / "none").rows == 0
