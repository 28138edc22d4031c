"""What the embedded store does with files beyond the exam: moving, repairing, sweeping, refusing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.core.errors import DataError, StoreError
from headrace.stores import EmbeddedStore
from headrace.stores.files import sweep


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


def everything(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_an_artifact_lies_under_its_digest_and_nothing_else_is_left(store: EmbeddedStore) -> None:
    name = store.put(b"abc").digest
    assert everything(store.root) == [f"artifacts/{name[:2]}/{name[2:]}"]


def test_artifacts_are_read_only(store: EmbeddedStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"b")
    scratch = store.scratch()
    scratch.write_bytes(b"c")
    for artifact in (store.put(b"a"), store.put(source), store.put(scratch)):
        assert store.get(artifact.digest).stat().st_mode & 0o777 == 0o444


def test_a_scratch_file_is_moved_and_any_other_copied(store: EmbeddedStore, tmp_path: Path) -> None:
    scratch, outside = store.scratch(".bin"), tmp_path / "outside"
    for path in (scratch, outside):
        path.write_bytes(path.name.encode())
    inode = scratch.stat().st_ino
    moved, copied = store.put(scratch), store.put(outside)
    assert store.get(moved.digest).stat().st_ino == inode
    assert not scratch.exists()
    assert store.get(copied.digest).stat().st_ino != outside.stat().st_ino
    assert outside.exists()


def test_a_scratch_file_whose_bytes_are_kept_already_is_removed(store: EmbeddedStore) -> None:
    kept = store.put(b"same")
    scratch = store.scratch()
    scratch.write_bytes(b"same")
    assert store.put(scratch) == kept
    assert not scratch.exists()


def test_files_in_a_scratch_folder_are_moved(store: EmbeddedStore) -> None:
    folder = store.scratch()
    folder.mkdir()
    part = folder / "part-0.parquet"
    part.write_bytes(b"part")
    inode = part.stat().st_ino
    assert store.get(store.put(part).digest).stat().st_ino == inode


def test_a_linked_file_in_the_scratch_folder_is_copied(store: EmbeddedStore, tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    owned.write_bytes(b"mine")
    symbolic, hard = store.scratch(), store.scratch()
    symbolic.symlink_to(owned)
    hard.hardlink_to(owned)
    for link in (symbolic, hard):
        artifact = store.put(link)
        assert store.get(artifact.digest).stat().st_ino != owned.stat().st_ino
    owned.write_bytes(b"edited")
    assert store.get(artifact.digest).read_bytes() == b"mine"


@pytest.mark.parametrize("edited", [b"", b"cut", b"the whole artifact and then some"])
def test_an_artifact_of_another_length_is_repaired_from_the_source(
    store: EmbeddedStore, tmp_path: Path, edited: bytes
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"the whole artifact")
    for again in (b"the whole artifact", source):
        path = store.get(store.put(source).digest)
        path.chmod(0o644)
        path.write_bytes(edited)
        store.put(again)
        assert path.read_bytes() == b"the whole artifact"


def test_strangers_in_the_artifact_folder_are_no_artifacts(store: EmbeddedStore) -> None:
    artifact = store.put(b"ours")
    (store.root / "artifacts" / ".DS_Store").write_bytes(b"x")
    (store.root / "artifacts" / artifact.digest[:2] / "notes.txt").write_bytes(b"x")
    assert list(store.artifacts()) == [artifact]


def test_a_source_that_is_not_there(store: EmbeddedStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this file can't be kept") as caught:
        store.put(tmp_path / "nowhere.csv")
    assert caught.value.problems[0].why == "No such file or directory"
    with pytest.raises(DataError, match="Is a directory"):
        store.put(tmp_path)


def dead_process() -> int:
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return int(child.stdout)


def test_what_a_dead_process_left_is_swept_and_nothing_else(store: EmbeddedStore) -> None:
    ours = store.scratch()
    host, pid, rest = ours.name.split("-")
    assert int(pid) == os.getpid()
    dead = ours.with_name(f"{host}-{dead_process()}-{rest}.parquet")
    folder = ours.with_name(f"{host}-{dead_process()}-{rest}")
    fresh_elsewhere = ours.with_name(f"{'0' * 8}-{pid}-{rest}")
    old_elsewhere = ours.with_name(f"{'0' * 8}-{pid}-{rest}.old")
    stranger = ours.with_name("notes.txt")
    for path in (ours, dead, fresh_elsewhere, old_elsewhere, stranger):
        path.write_bytes(b"x")
    folder.mkdir()
    (folder / "inside").write_bytes(b"x")
    long_ago = time.time() - 2 * 86_400
    for path in (ours, old_elsewhere, stranger):
        os.utime(path, (long_ago, long_ago))
    sweep(ours.parent)
    assert sorted(ours.parent.iterdir()) == sorted([ours, fresh_elsewhere, stranger])


def test_the_first_put_sweeps(store: EmbeddedStore) -> None:
    left = store.scratch()
    host, _, rest = left.name.split("-")
    left = left.with_name(f"{host}-{dead_process()}-{rest}")
    left.write_bytes(b"half")
    EmbeddedStore(store.root).put(b"something")
    assert not left.exists()


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = EmbeddedStore(tmp_path / "file" / "store")
    with pytest.raises(StoreError) as caught:
        store.put(b"x")
    problem = caught.value.problems[0]
    assert problem.what == "can't keep an artifact"
    assert problem.why == "a part of the path is a file, not a folder"
    assert problem.fix == "choose another folder for the store"
