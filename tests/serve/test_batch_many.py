"""Batches of many files: each row once, whatever is killed, and into tables."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import postgres
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serve_releases import Release
from served import wait_until
from test_answer import same
from test_batch import expected, plain_rows, write_csv, write_json

from headrace.core.codec import to_json
from headrace.core.errors import DataError, UserError
from headrace.project import Project
from headrace.serve.batch.database import database_of, stage
from headrace.serve.batch.plan import plan_batch
from headrace.serve.batch.run import Batch, run_batch
from headrace.serve.batch.to import loader

RUN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from headrace.core.codec import from_json
from headrace.release.manifest import Manifest
from headrace.serve.batch.plan import plan_batch
from headrace.serve.batch.run import run_batch
from headrace.stores import EmbeddedStore

store, source, folder, digest, workers, rows = sys.argv[1:]
store = EmbeddedStore(Path(store))
manifest = from_json(store.get(digest).read_bytes(), Manifest)
plan = plan_batch(source, "r7", rows=int(rows))
clock = lambda: datetime.now(UTC)
run_batch(store, manifest, digest, plan, Path(folder), actor="a", clock=clock, workers=int(workers))
"""

COLUMNS = ("distance", "seats", "night", "carrier", "origin", "tail", "dep")


def clock() -> datetime:
    return datetime(2026, 11, 21, 12, tzinfo=UTC)


def run(release: Release, source: Path | str, folder: Path, **options: Any) -> Batch:
    planned = {n: options.pop(n) for n in ("ending", "explain", "keep", "rows") if n in options}
    kept = release.store.put(to_json(release.manifest)).digest
    plan = plan_batch(str(source), release.name, **planned)
    return run_batch(release.store, release.manifest, kept, plan, folder, actor="a", clock=clock, **options)


def parquet(path: Path, rows: list[dict[str, Any]], groups: int = 50, **more: pa.Array) -> Path:
    columns = {n: [r[n] for r in rows] for n in rows[0]}
    table = pa.table({n: pa.array(v, pa.string() if n == "note" else None) for n, v in columns.items()})
    for name, values in more.items():
        table = table.append_column(name, values)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=groups)
    return path


def output(folder: Path) -> list[dict[str, Any]]:
    parts = sorted(folder.glob("part-*.parquet"))
    return [row for p in parts for row in pq.read_table(p).to_pylist()]


def answers(folder: Path) -> list[dict[str, Any]]:
    return [{n: r[n] for n in ("prediction", "probability", "release")} for r in output(folder)]


def events(release: Release) -> list[Any]:
    return [e.payload for e in release.store.read(kinds=("batch.finished",))]


def test_a_folder_of_all_kinds_is_scored_file_by_file(binary: Release, tmp_path: Path) -> None:
    rows = plain_rows(240)
    source = tmp_path / "in"
    parquet(source / "a" / "one.parquet", rows[:120])
    write_csv(source / "b.csv", rows[120:200])
    write_json(source / "c.jsonl", rows[200:])
    write_csv(source / "_old.csv", rows)
    done = run(binary, source, tmp_path / "out", rows=60)
    assert (done.parts, done.rows, done.rejected, done.before) == (4, 240, 0, 0)
    assert same(answers(tmp_path / "out"), expected(binary, rows))
    assert [(r["source"], r["row"]) for r in output(tmp_path / "out")] == [
        *(("a/one.parquet", i) for i in range(1, 121)),
        *(("b.csv", i) for i in range(1, 81)),
        *(("c.jsonl", i) for i in range(1, 41)),
    ]
    some = run(binary, str(source / "*.*"), tmp_path / "some", ending=".csv")
    assert (some.parts, some.rows) == (2, 120)
    assert (tmp_path / "some" / "part-00000.csv").read_text().startswith('"source","row"')


def test_several_processes_write_what_one_writes(binary: Release, tmp_path: Path) -> None:
    rows = plain_rows(400)
    parquet(tmp_path / "in" / "one.parquet", rows)
    rows[7]["seats"] = "many"
    write_csv(tmp_path / "in" / "two.csv", rows[:50])
    one = run(binary, tmp_path / "in", tmp_path / "one", rows=100)
    told: list[tuple[str, int, int]] = []
    two = run(
        binary,
        tmp_path / "in",
        tmp_path / "two",
        rows=100,
        workers=2,
        progress=lambda text, done, total: told.append((text, done, total)),
    )
    assert (one.parts, one.rows, one.rejected) == (5, 449, 1)
    assert one.digest == two.digest
    for path in sorted((tmp_path / "one").glob("part-*")):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert "8" in (tmp_path / "two" / "part-00004.rejects.csv").read_text()
    assert told[-1][1] == 450
    assert "rows/s" in told[-1][0]


def test_done_again_nothing_is_done(binary: Release, tmp_path: Path) -> None:
    source = parquet(tmp_path / "in.parquet", plain_rows(100))
    before = len(events(binary))
    first = run(binary, source, tmp_path / "out", rows=50)
    times = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("part-*")}
    again = run(binary, source, tmp_path / "out", rows=50)
    assert (again.rows, again.before, again.digest) == (100, 100, first.digest)
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("part-*")} == times
    (event,) = events(binary)[before:]
    assert (event["rows"], event["parts"], event["digest"]) == (100, 2, first.digest)
    # A part that somebody removed is made again, and is the same.
    (tmp_path / "out" / "part-00001.parquet").unlink()
    mended = run(binary, source, tmp_path / "out", rows=50)
    assert (mended.before, mended.rows, mended.digest) == (50, 100, first.digest)
    assert len(events(binary)) == before + 1


def test_another_batch_is_not_mixed_in(binary: Release, tmp_path: Path) -> None:
    source = parquet(tmp_path / "in" / "one.parquet", plain_rows(100))
    run(binary, tmp_path / "in", tmp_path / "out", rows=20)
    parquet(source, plain_rows(30, seed=9))
    with pytest.raises(UserError, match="another batch"):
        run(binary, tmp_path / "in", tmp_path / "out")
    done = run(binary, tmp_path / "in", tmp_path / "out", again=True)
    assert (done.parts, done.rows) == (1, 30)
    assert [p.name for p in sorted((tmp_path / "out").glob("part-*"))] == ["part-00000.parquet"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(UserError, match="something else than a batch"):
        run(binary, tmp_path / "in", tmp_path / "mine")
    with pytest.raises(DataError, match="nothing to score"):
        run(binary, str(tmp_path / "in" / "*.csv"), tmp_path / "none")


@contextmanager
def started(
    release: Release, source: Path, folder: Path, workers: int, rows: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A batch in a process of its own, until the block ends."""
    store: Any = release.store
    kept = release.store.put(to_json(release.manifest)).digest
    arguments = [str(store.root), str(source), str(folder), kept, str(workers), str(rows)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", RUN, *arguments], env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_again_and_again_every_row_is_there_once(
    workers: int, binary: Release, tmp_path: Path
) -> None:
    rows = plain_rows(1200)
    source = parquet(tmp_path / "in.parquet", rows, groups=20)
    draw, expected_answers = random.Random(workers), expected(binary, rows)
    for turn in range(10):  # on a machine that is busy, a batch may be done before it is killed
        folder = tmp_path / f"out{turn}"
        grown = killed_until_it_is_done(binary, source, folder, workers, draw)
        assert grown == sorted(grown)
        assert same(answers(folder), expected_answers)
        assert [r["row"] for r in output(folder)] == list(range(1, 1201))
        # Workers that lost their leader end by themselves.
        wait_until(lambda there=folder: not list(there.glob(".part-*")))
        if len(grown) >= 2:
            return
    raise AssertionError("it was never killed")


def killed_until_it_is_done(
    release: Release, source: Path, folder: Path, workers: int, draw: random.Random
) -> list[int]:
    """How many parts were done after each time that it was killed."""
    grown: list[int] = []
    while True:
        with started(release, source, folder, workers, 40) as process:
            # Killed when some parts more are done than before, at any point of the next.
            parts = len(list(folder.glob("part-*.parquet"))) if folder.exists() else 0
            while process.poll() is None and len(list(folder.glob("part-*.parquet"))) < parts + 8:
                time.sleep(0.01)
            time.sleep(draw.random() * 0.05)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            if (code := process.wait(timeout=60)) == 0:
                return grown
        assert code == -signal.SIGKILL
        grown.append(len(json.loads((folder / "_batch.json").read_bytes())["done"]))


def children(pid: int) -> list[int]:
    """Those of each thread: they are listed apart."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(p) for path in found for p in path.read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")
def test_a_worker_that_dies_is_replaced(binary: Release, tmp_path: Path) -> None:
    rows = plain_rows(2000)
    source = parquet(tmp_path / "in.parquet", rows, groups=20)
    for turn in range(10):  # on a machine that is busy, a batch may be done before it is seen
        folder = tmp_path / f"out{turn}"
        with started(binary, source, folder, 2, 40) as process:
            killed = a_worker_is_killed(process, folder)
            assert process.wait(timeout=120) == 0
        assert [r["row"] for r in output(folder)] == list(range(1, 2001))
        if killed:
            return
    raise AssertionError("no worker was killed")


def a_worker_is_killed(process: subprocess.Popen[bytes], folder: Path) -> bool:
    """Whether one could be, while there was work to do."""
    while process.poll() is None:
        there = children(process.pid)
        parts = len(list(folder.glob("part-*.parquet")))
        if there and parts:
            with suppress(ProcessLookupError):
                os.kill(there[0], signal.SIGKILL)
                return parts < 40
        time.sleep(0.01)
    return False


def test_what_a_worker_finds_wrong_is_told(binary: Release, tmp_path: Path) -> None:
    parquet(tmp_path / "in" / "one.parquet", plain_rows(100))
    pq.write_table(pa.table({"distance": [1.0]}), tmp_path / "in" / "two.parquet")
    with pytest.raises(DataError, match="there is no column 'carrier'"):
        run(binary, tmp_path / "in", tmp_path / "out", workers=2)
    pq.write_table(pa.table({"x": ["a"]}), tmp_path / "in" / "two.parquet")
    (tmp_path / "in" / "two.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no Parquet file"):
        run(binary, tmp_path / "in", tmp_path / "out", again=True)


def test_columns_are_carried_along(binary: Release, tmp_path: Path) -> None:
    rows = plain_rows(60)
    ids = pa.array([f"o{i}" for i in range(60)]).dictionary_encode()
    source = parquet(tmp_path / "in.parquet", rows, order=ids, at=pa.array(range(60), pa.timestamp("us")))
    run(binary, source, tmp_path / "out", keep=("order", "at"))
    kept = output(tmp_path / "out")
    assert [r["order"] for r in kept] == [f"o{i}" for i in range(60)]
    assert kept[5]["at"] == datetime(1970, 1, 1, 0, 0, 0, 5)
    with pytest.raises(DataError, match="no column 'ordre'"):
        run(binary, source, tmp_path / "none", keep=("ordre",))
    again = parquet(tmp_path / "twice.parquet", rows, release=ids)
    with pytest.raises(DataError, match="of their own"):
        run(binary, again, tmp_path / "none", keep=("release",), again=True)
    write_csv(tmp_path / "in.csv", rows)
    with pytest.raises(DataError, match="Parquet files and databases alone"):
        run(binary, tmp_path / "in.csv", tmp_path / "csv", keep=("note",))


def test_a_database_is_read_once_and_scored(binary: Release, tmp_path: Path) -> None:
    rows = plain_rows(200)
    with sqlite3.connect(tmp_path / "shop.sqlite") as db:
        db.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, distance, seats, night, carrier, origin, tail, dep)"
        )
        db.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(i, *(r[n] for n in COLUMNS)) for i, r in enumerate(rows)],
        )
    db.close()
    table = database_of(
        "shop.sqlite",
        "SELECT id, distance, seats, CASE night WHEN 1 THEN 'yes' ELSE 'no' END AS night, carrier, origin, "
        "tail, dep FROM orders ORDER BY id",
    )
    assert table is not None
    folder = tmp_path / "out"
    file = stage(table, tmp_path, folder)
    assert stage(table, tmp_path, folder) == file
    assert pq.read_table(file).column("id").to_pylist() == list(range(200))
    with pytest.raises(DataError, match="'night' is"):
        run(binary, file, folder, keep=("id",))
    for wrong in ("shop.sqlite", "rows.csv"):
        with pytest.raises(UserError):
            database_of(wrong, "" if wrong == "shop.sqlite" else "SELECT 1")


def check_table(release: Release, tmp_path: Path, to: str, ask: Any) -> None:
    rows = plain_rows(150)
    for row in rows:
        row["note"] = None

    def into(table: str, *key: str) -> list[Any]:
        return [loader(f"{to}#{table}", tmp_path, key)]

    ids = pa.array(range(1000, 1150))
    texts = pa.array(['a"b', "", None, "x,\ny", "é"] * 30)
    source = parquet(tmp_path / "in.parquet", rows, id=ids, word=texts)
    options: dict[str, Any] = {"rows": 50, "keep": ("id", "word")}
    first = run(release, source, tmp_path / "one", loads=into("scores", "id"), **options)
    assert first.loaded == 150
    there = ask("SELECT id, word, prediction, probability, release FROM scores ORDER BY id")
    assert [r[0] for r in there] == list(range(1000, 1150))
    assert [r[1] for r in there] == texts.to_pylist()
    wanted = expected(release, rows)
    assert [r[2] for r in there] == [a["prediction"] for a in wanted]
    assert [r[3] for r in there] == pytest.approx([a["probability"] for a in wanted], abs=1e-12)
    # Put there again, by the same batch and by another of the same rows: nothing doubles.
    assert run(release, source, tmp_path / "one", loads=into("scores", "id"), **options).loaded == 150
    run(release, source, tmp_path / "two", loads=into("scores", "id"), **options)
    assert ask("SELECT count(*), count(DISTINCT id) FROM scores") == [(150, 150)]
    # Without a key of its own a row is named by its file and number.
    run(release, source, tmp_path / "two", loads=into("by_row"), **options)
    assert ask("SELECT min(row), max(row), min(source), count(*) FROM by_row") == [
        (1, 150, "in.parquet", 150)
    ]
    with pytest.raises(UserError, match="no column 'nobody'"):
        run(release, source, tmp_path / "two", loads=into("other", "nobody"), **options)
    # A table of somebody else's is not written to.
    with pytest.raises(DataError, match="the database refused"):
        run(release, source, tmp_path / "two", loads=into("other", "word"), **options)


def test_answers_go_to_duckdb(binary: Release, tmp_path: Path) -> None:
    import duckdb

    def ask(sql: str) -> list[Any]:
        with duckdb.connect(str(tmp_path / "my.db")) as db:
            return db.execute(sql).fetchall()

    check_table(binary, tmp_path, "duckdb:my.db", ask)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("psycopg")
    binaries = postgres.programs()
    if binaries is None:
        pytest.skip("PostgreSQL's server is not installed")
    with postgres.server(binaries) as url:
        yield url


def test_answers_go_to_postgres(
    server: str, binary: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    def ask(sql: str) -> list[Any]:
        with psycopg.connect(server) as db:
            return list(db.execute(sql).fetchall())

    monkeypatch.setenv("SHOP", server)
    check_table(binary, tmp_path, "$SHOP", ask)
    address, _ = loader("$SHOP#scores", tmp_path)
    assert address.startswith("postgresql://127.0.0.1:")
    assert "owner" not in address
    rows = plain_rows(120)
    with psycopg.connect(server) as db, db.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE orders (id BIGINT PRIMARY KEY, distance DOUBLE PRECISION, seats INTEGER, "
            "night BOOLEAN, carrier TEXT, origin TEXT, tail BIGINT, dep TEXT)"
        )
        cursor.executemany(
            "INSERT INTO orders VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(i, *(r[n] for n in COLUMNS)) for i, r in enumerate(rows)],
        )
    table = database_of("$SHOP#orders")
    assert table is not None
    file = stage(table, tmp_path, tmp_path / "orders")
    run(binary, file, tmp_path / "orders", keep=("id",))
    assert [r["id"] for r in output(tmp_path / "orders")] == list(range(120))
    assert same(answers(tmp_path / "orders"), expected(binary, rows))
    for wrong in ("$SHOP", "$NONE#x", "mysql://h/d#t", "duckdb:x.db#a;b"):
        with pytest.raises(UserError):
            loader(wrong, tmp_path)


def test_answers_are_logged_once_with_what_was_sent(finished: Project, tmp_path: Path) -> None:
    rows = [
        {
            "at": f"2024-02-{1 + i % 28:02} 10:00:00",
            "depot": ("north", "south", None)[i % 3],
            "distance": float(i),
        }
        for i in range(90)
    ]
    write_csv(tmp_path / "in.csv", [*rows, {**rows[0], "distance": "far"}])
    sql = "SELECT id, arm, release, prediction, probability, input_distance, input_depot "
    sql += "FROM predictions ORDER BY 6"
    for _ in range(2):  # the second time nothing is done
        done = finished.score(tmp_path / "in.csv", tmp_path / "out", log=True)
        assert (done.rows, done.rejected) == (90, 1)
        told = finished.log_query(sql).rows
        assert len(told) == len({r[0] for r in told}) == 90
    assert {(r[1], r[2]) for r in told} == {("batch", done.release)}
    written = output(tmp_path / "out")
    assert [r[3:5] for r in told] == [(w["prediction"], w["probability"]) for w in written]
    assert [r[5:] for r in told] == [(r["distance"], r["depot"]) for r in rows]
    with pytest.raises(UserError, match="Parquet parts"):
        finished.score(tmp_path / "in.csv", tmp_path / "csv", ending=".csv", log=True)
