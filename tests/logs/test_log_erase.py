"""Erasing somebody: gone from parts, segments and labels; the ledger says so without saying who."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from served import wait_until
from written import everything, write

from headrace.core.errors import StoreError
from headrace.logs import segment
from headrace.logs.audit import audit_log
from headrace.logs.compact import compact
from headrace.logs.erase import Subject, erase, fingerprint
from headrace.logs.labels import LabelBook
from headrace.logs.parts import load, reading
from headrace.logs.segment import is_open, segments
from headrace.logs.writer import LogWriter
from headrace.stores import EmbeddedStore
from headrace.testing.log_exam import Callers, answered

SUBJECT = Subject("customer", ("Ada Lovelace",))


def everywhere(folder: Path, text: bytes) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file() and text in p.read_bytes()]


def about(i: int) -> dict[str, Any]:
    return {"customer": "Ada Lovelace" if i % 5 == 3 else f"other{i}", "n": i}


def test_a_subject_goes_from_everywhere(tmp_path: Path) -> None:
    store, log = EmbeddedStore(tmp_path / "store"), tmp_path / "log"
    entries = [answered(i, inputs=about(i), unit="") for i in range(60)]
    write(log, entries[:20])
    compact(log, store)
    write(log, entries[20:40])
    live, told = LogWriter(log, worker="live", mode="durable"), Callers()
    live.append(entries[40:50], told)
    told.wait(1)
    book = LabelBook(log)
    book.take([{"id": entries[3].id, "label": 1}, {"id": entries[4].id, "label": 1}])
    book.take([{"input_customer": "Ada Lovelace", "label": 2}, {"input_customer": "other4", "label": 2}])

    done = erase(log, SUBJECT, store, book)
    assert (done.rows, done.labels, done.waiting) == (10, 2, False)
    live.append(entries[50:], told)
    assert told.wait(2)[1] is None
    live.close()
    left = [e.id for i, e in enumerate(entries) if i % 5 != 3 or i >= 50]
    assert [e.id for e in everything(log)] == left
    assert [label.value for label in book.labels()] == [1, 2]
    assert audit_log(log, store)[1] == []

    (event,) = store.read(kinds=["log.erased"])
    told_of = dict(event.payload)
    assert told_of["rows"] == 10
    assert told_of["subject"] == fingerprint(told_of["salt"], "Ada Lovelace")
    assert "Ada Lovelace" not in {told_of["column"], event.subject}
    again = erase(log, SUBJECT, store, book)
    assert (again.rows, again.labels) == (2, 0)
    assert erase(log, SUBJECT, store, book).rows == 0
    assert len(list(store.read(kinds=["log.erased"]))) == 2
    assert everywhere(log, b"Ada Lovelace") == []
    assert len(list((log / "parts").rglob("*.parquet"))) == len(load(log).parts)


@pytest.mark.parametrize("odd", [5, ["Ada Lovelace"], {"a": 1}, True])
def test_a_name_beside_values_of_other_types(tmp_path: Path, odd: Any) -> None:
    """One odd value makes the column JSON: the name is found all the same."""
    entries = [answered(i, inputs={"customer": v}) for i, v in enumerate(["Ada Lovelace", odd, "other"])]
    write(tmp_path, entries)
    book = LabelBook(tmp_path)
    book.take([{"input_customer": "other", "label": 1}, {"input_customer": "Ada Lovelace", "label": 2}])
    done = erase(tmp_path, SUBJECT, None, book)
    assert (done.rows, done.labels) == (1, 1)
    assert [e.inputs["customer"] for e in everything(tmp_path)] == [odd, "other"]
    assert [(label.value, label.id) for label in book.labels()] == [(1, entries[2].id)]
    write(tmp_path, [answered(9, inputs={"customer": "Ada Lovelace"})])
    assert erase(tmp_path, Subject("customer", ("Ada Lovelace", "5", "true")), None, book).rows == (
        2 if isinstance(odd, int) else 1
    )


@pytest.mark.parametrize(("value", "name"), [(7, "7"), (7.0, "7"), (2.5, "2.5"), (True, "true"), ("7", "7")])
def test_names_of_any_type(tmp_path: Path, value: Any, name: str) -> None:
    write(tmp_path, [answered(1, inputs={"customer": value}), answered(2, inputs={"customer": None})])
    write(tmp_path, [answered(3, inputs={"other": value})])
    assert erase(tmp_path, Subject("customer", (name,)), None, LabelBook(tmp_path)).rows == 1
    assert [int(e.id, 16) for e in everything(tmp_path)] == [2, 3]


@pytest.mark.parametrize(("value", "name"), [(7, "7"), (7.0, "7"), (2.5, "2.5"), (True, "true"), ("7", "7")])
def test_labels_of_names_of_any_type(tmp_path: Path, value: Any, name: str) -> None:
    """Also where no answer is left that they were about."""
    book = LabelBook(tmp_path)
    book.take([{"input_customer": v, "input_n": 1, "label": v} for v in (value, "other", None)])
    assert erase(tmp_path, Subject("customer", (name, "None", "null")), None, book).labels == 1
    assert [label.value for label in book.labels()] == ["other", None]


def test_labels_that_were_sent_by_other_inputs(tmp_path: Path) -> None:
    write(tmp_path, [answered(1, inputs={"customer": "Ada Lovelace", "n": 1}), answered(2, inputs={"n": 2})])
    book = LabelBook(tmp_path)
    book.take([{"input_n": 1, "label": 1}, {"input_n": 2, "label": 2}])
    done = erase(tmp_path, SUBJECT, None, book)
    assert (done.rows, done.labels) == (1, 1)
    assert [label.value for label in book.labels()] == [2]


def test_units(tmp_path: Path) -> None:
    write(tmp_path, [answered(1, unit="u1", inputs={}), answered(2, unit="u2", inputs={})])
    assert erase(tmp_path, Subject("customer", ("u1",)), None, LabelBook(tmp_path)).rows == 0
    assert erase(tmp_path, Subject("customer", ("u1",), units=True), None, LabelBook(tmp_path)).rows == 1
    assert [e.unit for e in everything(tmp_path)] == ["u2"]


def test_nobody_left(tmp_path: Path) -> None:
    store, log = EmbeddedStore(tmp_path / "store"), tmp_path / "log"
    write(log, [answered(1, inputs={"customer": "Ada Lovelace"})])
    assert erase(log, SUBJECT, store, LabelBook(log)).rows == 1
    assert everything(log) == []
    assert audit_log(log, store) == (0, [])


def test_a_writer_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, told = LogWriter(tmp_path, worker="w", mode="durable"), Callers()
    log.append([answered(1, inputs={"customer": "Ada Lovelace"})], told)
    told.wait(1)
    free = threading.Event()
    monkeypatch.setattr(segment, "_sync", lambda fd: free.wait(30))
    log.append([answered(2)], told)
    with pytest.raises(StoreError, match="nothing was erased"):
        erase(tmp_path, SUBJECT, None, LabelBook(tmp_path), patience=0.2)
    assert is_open(segments(tmp_path)[0])
    free.set()
    told.wait(2)
    assert erase(tmp_path, SUBJECT, None, LabelBook(tmp_path)).rows == 1
    log.close()
    assert [int(e.id, 16) for e in everything(tmp_path)] == [2]


@pytest.mark.parametrize("again", [False, True])
def test_what_a_buffered_writer_still_holds(tmp_path: Path, again: bool) -> None:
    """Its segment is empty, as it is new; or as it has just begun another (`again`)."""
    log, told = LogWriter(tmp_path, worker="w", mode="buffered", window_us=600_000_000), Callers()
    if again:
        assert erase(tmp_path, SUBJECT, None, LabelBook(tmp_path)).rows == 0
    log.append([answered(i, inputs=about(i)) for i in range(10)], told)
    assert told.told == [None]
    assert erase(tmp_path, SUBJECT, None, LabelBook(tmp_path)).rows == 2
    log.close()
    assert [int(e.id, 16) for e in everything(tmp_path)] == [0, 1, 2, 4, 5, 6, 7, 9]


def test_answers_that_wait_for_room_are_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LogWriter(tmp_path, worker="w", mode="buffered", window_us=20_000)
    full, real = threading.Event(), os.pwrite
    full.set()

    def refuse(fd: int, data: bytes, at: int) -> int:
        if full.is_set():
            raise OSError(28, "No space left on device")
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", refuse)
    log.append([answered(1, inputs={"customer": "Ada Lovelace"}), answered(2)], Callers())
    wait_until(lambda: log.state.trouble)
    with pytest.raises(StoreError, match="nothing was erased") as error:
        erase(tmp_path, SUBJECT, None, LabelBook(tmp_path), patience=0.5)
    assert "no room" in error.value.problems[0].why
    assert log.state.waiting == 2
    full.clear()
    assert erase(tmp_path, SUBJECT, None, LabelBook(tmp_path), patience=60).rows == 1
    assert log.state.trouble == ""
    log.close()
    assert [int(e.id, 16) for e in everything(tmp_path)] == [2]


def test_what_is_answered_while_a_segment_ends_for_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of that segment says nothing of it: it waits for the next."""
    ending, free = threading.Event(), threading.Event()
    log = LogWriter(  # which writes when two wait, or when it has to
        tmp_path, worker="w", mode="buffered", window_us=600_000_000, most=4, rotate_bytes=1
    )

    def sync(fd: int) -> None:
        ending.set()
        assert free.wait(60)

    monkeypatch.setattr(segment, "_sync", sync)
    log.append([answered(1), answered(2)], Callers())
    assert ending.wait(60)
    log.append([answered(3, inputs={"customer": "Ada Lovelace"})], Callers())
    found: list[int] = []
    erasing = threading.Thread(
        target=lambda: found.append(erase(tmp_path, SUBJECT, None, LabelBook(tmp_path), patience=60).rows)
    )
    erasing.start()
    wait_until((tmp_path / segment.ROTATE).exists)
    free.set()
    erasing.join()
    log.close()
    assert found == [1]
    assert [int(e.id, 16) for e in everything(tmp_path)] == [1, 2]


def test_readers_in_the_way_are_told_of(tmp_path: Path) -> None:
    write(tmp_path, [answered(1, inputs={"customer": "Ada Lovelace"}), answered(2)])
    with reading(tmp_path):
        assert erase(tmp_path, SUBJECT, None, LabelBook(tmp_path), patience=0.05).waiting
    assert not compact(tmp_path).waiting
    assert everywhere(tmp_path, b"Ada Lovelace") == []
