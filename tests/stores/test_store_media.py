"""Media that refuse: full disks, read-only mounts, limits. Nothing is half-written, and the error helps."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import disk_at, mount

from headrace.core.digest import digest_bytes
from headrace.core.errors import NotFound, StoreError
from headrace.core.event import Draft
from headrace.stores import EmbeddedStore, audit
from headrace.testing.store_exam import draft


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    with disk_at(tmp_path / "disk", "4m") as place:
        yield place


def test_appending_to_a_full_disk(small_disk: Path) -> None:
    store = EmbeddedStore(small_disk / "store")
    batch = [Draft("run.started", "r", draft(1).time, "me", {"text": "x" * 2000})] * 50
    acknowledged = 0
    refusal: StoreError | None = None
    while refusal is None:
        try:
            acknowledged += len(store.append(batch))
        except StoreError as error:
            refusal = error
    problem = refusal.problems[0]
    assert problem.what == "can't append to the ledger"
    assert problem.why == "the disk is full"
    assert problem.fix == "free some space and run the command again"
    assert acknowledged > 0
    assert store.head()[0] == acknowledged
    report = audit(store)
    assert report.ok
    assert report.events == acknowledged


def test_putting_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    store = EmbeddedStore(small_disk / "store")
    small = store.put(b"small")
    source = tmp_path / "large"
    source.write_bytes(bytes(6_000_000))
    for large in (source, bytes(6_000_000)):
        with pytest.raises(StoreError, match="the disk is full"):
            store.put(large)
    assert list(store.artifacts()) == [small]
    assert list((store.root / "tmp").iterdir()) == []
    with pytest.raises(NotFound):
        store.get(digest_bytes(bytes(6_000_000)))
    store.put(b"there is room for this")
    assert audit(store).ok


def test_a_disk_that_has_room_again_takes_appends_again(small_disk: Path) -> None:
    store = EmbeddedStore(small_disk / "store")
    store.append([draft(1)])
    ballast = small_disk / "ballast"
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(bytes(free))
    batch = [Draft("run.started", "r", draft(1).time, "me", {"text": "x" * 2000})] * 200
    with pytest.raises(StoreError):
        store.append(batch)
    ballast.unlink()
    store.append(batch)
    assert store.head()[0] == 201
    assert audit(store).ok


def test_a_read_only_medium(small_disk: Path) -> None:
    store = EmbeddedStore(small_disk / "store")
    artifact = store.put(b"kept")
    store.append([draft(1)])
    store.close()
    mount("-o", "remount,ro", str(small_disk))
    store = EmbeddedStore(small_disk / "store")
    for refused in (
        lambda: store.put(b"new"),
        lambda: store.append([draft(2)]),
        lambda: EmbeddedStore(small_disk / "another").append([draft(1)]),
    ):
        with pytest.raises(StoreError, match="the folder is read-only") as caught:
            refused()
        assert "choose a folder that" in caught.value.problems[0].fix
    assert [e.payload["number"] for e in store.read()] == [1]
    assert store.get(artifact.digest).read_bytes() == b"kept"
    assert audit(store).ok


LIMITED = """
import resource, sys
from pathlib import Path
from headrace.core.errors import StoreError
from headrace.stores import EmbeddedStore
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
store = EmbeddedStore(Path(sys.argv[1]))
small = store.put(b"small")
try:
    store.put(bytes(300_000))
except StoreError as error:
    print(error)
assert list(store.artifacts()) == [small]
assert list((store.root / "tmp").iterdir()) == []
"""


@pytest.mark.skipif(os.name != "posix", reason="limits on file sizes are POSIX's")
def test_a_file_beyond_the_limit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "can't keep an artifact" in done.stdout
    assert "why: the file would grow beyond the limit for one file" in done.stdout
    assert "fix: raise the limit (`ulimit -f`)" in done.stdout
