"""What the writer promises beside the exam: order of disk and answer, bounds, full disks, rotation."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from served import LONG, wait_until

from headrace.core.errors import StoreError
from headrace.logs import segment as segment_room
from headrace.logs.compact import compact
from headrace.logs.read import read
from headrace.logs.segment import ask_to_rotate, is_open, segments, size_of
from headrace.logs.writer import LogWriter
from headrace.testing.log_exam import Callers, answered


class Disk:
    """Stands before the disk's flush: it can be held up, and counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.free.set()
        self.flushes = 0
        self._real = os.fsync
        monkeypatch.setattr(segment_room, "_sync", self._flush)

    def _flush(self, fd: int) -> None:
        assert self.free.wait(LONG)
        self._real(fd)
        self.flushes += 1


def test_durable_answers_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    log, told = LogWriter(tmp_path, worker="w", mode="durable"), Callers()
    disk.free.clear()
    for i in range(50):
        log.append([answered(i)], told)
    time.sleep(0.05)
    assert told.told == []
    before = disk.flushes
    disk.free.set()
    assert told.wait(50) == [None] * 50
    assert disk.flushes - before <= 2  # the first alone or with some, all others in one group
    log.close()


def test_buffered_answers_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, told = LogWriter(tmp_path, worker="w", mode="buffered", window_us=10_000_000), Callers()
    log.append([answered(1)], told)
    assert told.told == [None]
    assert list(read(tmp_path)) == []
    log.close()
    assert list(read(tmp_path)) == [answered(1)]


def test_the_window_is_kept(tmp_path: Path) -> None:
    log, told = LogWriter(tmp_path, worker="w", mode="buffered", window_us=20_000), Callers()
    log.append([answered(1)], told)
    wait_until(lambda: list(read(tmp_path)) == [answered(1)], 5)
    log.close()


def test_too_much_waiting_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    log, told = LogWriter(tmp_path, worker="w", mode="durable", most=100), Callers()
    disk.free.clear()
    log.append([answered(i) for i in range(500)], told)  # where none waits, any number is taken
    with pytest.raises(StoreError, match="500 answers wait"):
        log.append([answered(500)], told)
    assert log.state.waiting == 500
    disk.free.set()
    assert told.wait(1) == [None]
    log.append([answered(501)], told)
    assert told.wait(2) == [None, None]
    log.close()
    assert len(list(read(tmp_path))) == 501


def test_no_entries_ask_whether_it_takes_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    log, told = LogWriter(tmp_path, worker="w", mode="durable"), []
    disk.free.clear()
    log.append((), told.append)
    assert told == [None], "nobody waits for the disk"
    disk.free.set()
    log.close()
    with pytest.raises(StoreError, match="closed"):
        log.append((), told.append)
    assert list(read(tmp_path)) == []


def test_relayed_answers_come_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    calls: list[Callable[[], None]] = []
    log, told = LogWriter(tmp_path, worker="w", mode="durable", relay=calls.append), Callers()
    disk.free.clear()
    for i in range(50):
        log.append([answered(i)], told)
    disk.free.set()
    log.close()
    assert len(calls) <= 2
    assert told.told == []
    for call in calls:
        call()
    assert told.told == [None] * 50


def test_a_failed_flush_is_told_and_the_log_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, told, troubles = None, Callers(), Callers()
    log = LogWriter(tmp_path, worker="w", mode="durable", told=troubles)
    real = segment_room._sync

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(segment_room, "_sync", fail)
    log.append([answered(1)], told)
    (error,) = told.wait(1)
    assert isinstance(error, StoreError)
    assert error.problems[0].why == "Input/output error"
    with pytest.raises(StoreError, match="can't write to the prediction log"):
        log.append([answered(2)], told)
    assert "Input/output" in log.state.trouble
    monkeypatch.setattr(segment_room, "_sync", real)
    assert troubles.wait(2)[1] is None
    log.append([answered(3)], told)
    assert told.wait(2)[1] is None
    log.close()
    assert list(read(tmp_path)) == [answered(3)]
    assert len(segments(tmp_path)) == 1  # the one before had nothing left in it


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = shutil.which("mount")
    if command is None or os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    options = ["-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    done = subprocess.run([command, *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"can't mount here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("mode", ["durable", "buffered"])
def test_a_full_disk(small_disk: Path, mode: Any) -> None:
    """Who waits is told, what was taken is kept, and the log goes on when there is room."""
    troubles = Callers()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    folder = small_disk / "log"
    log = LogWriter(folder, worker="w", mode=mode, window_us=2_000, told=troubles)
    kept: list[str] = []
    refusal: Exception | None = None
    while refusal is None:
        entry, told = answered(len(kept), inputs={"text": "x" * 5_000}), Callers()
        try:
            log.append([entry], told)
            (refusal,) = told.wait(1)
        except StoreError as error:
            refusal = error
        if refusal is None:
            kept.append(entry.id)
        wait_until(lambda: log.state.waiting < 20 or log.state.trouble)
    assert isinstance(refusal, StoreError)
    assert refusal.problems[0].why == "the disk is full"
    assert len(kept) > 50
    (full,) = troubles.wait(1)
    assert isinstance(full, StoreError)
    assert {e.id for e in read(folder)} <= set(kept)  # readable as it stands
    ballast.unlink()
    assert troubles.wait(2)[1] is None
    told = Callers()
    log.append([answered(1_000_000)], told)
    assert told.wait(1) == [None]
    log.close()
    assert sorted(e.id for e in read(folder)) == sorted([*kept, answered(1_000_000).id])


@pytest.mark.parametrize(("mode", "waits"), [("durable", True), ("buffered", False)])
def test_what_waits_for_a_first_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any, waits: bool
) -> None:
    """Callers of a durable log. What has none takes nothing that is answered at once: nobody could see it."""

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", refuse)
        log, told = LogWriter(tmp_path, worker="w", mode=mode, full="wait", window_us=2_000), Callers()
        if waits:
            log.append([answered(1)], told)
        else:
            with pytest.raises(StoreError, match="can't begin the prediction log"):
                log.append([answered(1)], told)
        assert told.told == []
    wait_until(lambda: not log.state.trouble)
    log.append([answered(2)], told)
    assert set(told.wait(1 + waits)) == {None}
    log.close()
    assert len(list(read(tmp_path))) == 1 + waits


@pytest.mark.parametrize("mode", ["durable", "buffered"])
def test_a_log_that_begins_on_a_full_disk_goes_on_when_there_is_room(small_disk: Path, mode: Any) -> None:
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    troubles = Callers()
    log = LogWriter(small_disk / "log", worker="w", mode=mode, window_us=2_000, told=troubles)
    assert "the disk is full" in log.state.trouble
    with pytest.raises(StoreError, match="can't begin the prediction log"):
        log.append([answered(1)], Callers())
    assert isinstance(troubles.wait(1)[0], StoreError)
    ballast.unlink()
    assert troubles.wait(2)[1] is None
    told = Callers()
    log.append([answered(2)], told)
    assert told.wait(1) == [None]
    log.close()
    assert list(read(small_disk / "log")) == [answered(2)]


def test_who_may_wait_for_room_waits(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    log = LogWriter(small_disk / "log", worker="w", mode="durable", full="wait", most=600)
    told, count = Callers(), 0
    while not log.state.trouble:
        log.append([answered(count, inputs={"text": "x" * 5_000})], told)
        count += 1
        wait_until(lambda: log.state.waiting < 20 or log.state.trouble)
    for _ in range(10):
        log.append([answered(count)], told)
        count += 1
    time.sleep(0.3)
    assert set(told.told) == {None}
    assert len(told.told) < count
    with pytest.raises(StoreError, match="answers wait"):
        log.append([answered(10_000 + i) for i in range(600)], told)
    ballast.unlink()
    assert told.wait(count) == [None] * count
    log.close()
    assert [int(e.id, 16) for e in read(small_disk / "log")] == list(range(count))


def test_who_waits_for_room_is_told_when_the_log_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, told = LogWriter(tmp_path, worker="w", mode="durable", full="wait"), Callers()

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    log.append([answered(1)], told)
    wait_until(lambda: log.state.trouble)
    log.append([answered(2)], told)
    log.close()
    assert [type(e) for e in told.wait(2)] == [StoreError, StoreError]
    assert list(read(tmp_path)) == []


def test_what_a_buffered_log_could_not_write_in_the_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, told = LogWriter(tmp_path, worker="w", mode="buffered", window_us=10_000_000), Callers()
    log.append([answered(1), answered(2)], told)

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(StoreError, match="2 answers could not be logged") as error:
        log.close()
    assert error.value.problems[0].why == "the disk is full"


def test_room_is_made_for_what_has_to_be_on_the_disk_at_once(tmp_path: Path) -> None:
    """A file that grows has its size put on the disk with every write. Closed, it holds entries alone."""
    log, told = LogWriter(tmp_path, worker="w", mode="durable"), Callers()
    (path,) = segments(tmp_path)
    sizes = set()
    for i in range(20):
        log.append([answered(i)], told)
        assert told.wait(i + 1)[-1] is None
        sizes.add(path.stat().st_size)
        assert sorted(e.id for e in read(tmp_path)) == [answered(n).id for n in range(i + 1)]
    end = size_of(path)
    assert len(sizes) == 1
    assert end < path.stat().st_size
    shutil.copy(path, tmp_path / "as-a-kill-leaves-it")
    log.close()
    assert path.stat().st_size == end
    (tmp_path / "as-a-kill-leaves-it").replace(path)
    torn: list[int] = []
    assert len(list(read(tmp_path, torn=lambda _, lost: torn.append(lost)))) == 20
    assert torn == []


def test_rotation_by_size(tmp_path: Path) -> None:
    log, told = LogWriter(tmp_path, worker="w", mode="durable", rotate_bytes=2_000), Callers()
    for i in range(40):
        log.append([answered(i)], told)
        told.wait(i + 1)
    assert log.state.rotated > 2
    assert [is_open(p) for p in segments(tmp_path)] == [False] * log.state.rotated + [True]
    log.close()
    assert [e.id for e in read(tmp_path)] == [answered(i).id for i in range(40)]


def test_rotation_by_age_and_by_request(tmp_path: Path) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    log = LogWriter(tmp_path, worker="w", mode="durable", clock=lambda: now[0], rotate_us=60_000_000)
    told = Callers()
    log.append([answered(1)], told)
    told.wait(1)
    now[0] += timedelta(minutes=1)
    wait_until(lambda: log.state.rotated == 1)
    log.append([answered(2)], told)
    told.wait(2)
    ask_to_rotate(tmp_path)
    wait_until(lambda: log.state.rotated == 2)
    ask_to_rotate(tmp_path)
    time.sleep(1.2)
    assert log.state.rotated == 2  # nothing was written since
    assert len(segments(tmp_path)) == 3
    log.close()
    assert len(segments(tmp_path)) == 2


def test_empty_segments_end_when_asked_and_leave_nothing(tmp_path: Path) -> None:
    """Their names do not come again: who follows a log knows by them what is over. Age alone ends none."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    log = LogWriter(tmp_path, worker="w", clock=lambda: now[0], rotate_us=60_000_000)
    seen = segments(tmp_path)
    for _ in range(3):
        ask_to_rotate(tmp_path)
        wait_until(lambda last=seen[-1]: not last.exists())
        seen += segments(tmp_path)
    assert len(set(seen)) == len(seen) == 4
    now[0] += timedelta(minutes=2)
    time.sleep(0.7)
    assert segments(tmp_path) == [seen[-1]]
    assert log.state.rotated == 0
    assert compact(tmp_path).segments == 0
    log.close()
    assert segments(tmp_path) == []
    assert compact(tmp_path).segments == 0


def test_nothing_written_leaves_nothing(tmp_path: Path) -> None:
    LogWriter(tmp_path, worker="w").close()
    assert segments(tmp_path) == []


def test_a_folder_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't begin the prediction log"):
        LogWriter(tmp_path / "file" / "log", worker="w")
    with pytest.raises(ValueError, match="name"):
        LogWriter(tmp_path, worker="../w")
