"""1,000,000 events looked up in two tables of 5,000,000 rows: headrace's training path against DuckDB.

100,000 entities over 90 days, rows no older than 7 days used. Both read the same Parquet files (snapshots),
on two threads, and stream the joined columns out in Arrow batches; each is a process of its own. One table
lies in order of time, as a log does, the other in none. No two rows of an entity have the same time, so that
there is one right answer; ties are settled by tests. DuckDB may give its rows in any order, which spares it a
sort; headrace gives the events' order. What each gave is compared afterwards, cell by cell.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.measured import Measured, apart, measured
from benchmarks.rows import Row, row, within

EVENTS, ROWS, ENTITIES, DAYS = 1_000_000, 5_000_000, 100_000, 90
TIMES = 3
COLUMNS = ("id", "side_a.a1", "side_a.a2", "side_b.b1", "side_b.b2")

PEER = """
import json, sys, duckdb, pyarrow as pa, pyarrow.parquet as pq
plan = json.load(open("plan.json"))
db = duckdb.connect()
db.execute("SET threads = 2; SET preserve_insertion_order = false")
reader = db.sql(f'''
    SELECT e.id,
           CASE WHEN e.t - a.t <= INTERVAL 7 DAY THEN a.a1 END AS a1,
           CASE WHEN e.t - a.t <= INTERVAL 7 DAY THEN a.a2 END AS a2,
           CASE WHEN e.t - b.t <= INTERVAL 7 DAY THEN b.b1 END AS b1,
           CASE WHEN e.t - b.t <= INTERVAL 7 DAY THEN b.b2 END AS b2
    FROM read_parquet('{plan["files"]["events"]}') e
    ASOF LEFT JOIN read_parquet('{plan["files"]["side_a"]}') a ON e.entity = a.entity AND e.t >= a.t
    ASOF LEFT JOIN read_parquet('{plan["files"]["side_b"]}') b ON e.entity = b.entity AND e.t >= b.t
''').to_arrow_reader(65_536)
out = pq.ParquetWriter(sys.argv[1], reader.schema) if len(sys.argv) > 1 else None
count = 0
for batch in reader:
    count += batch.num_rows
    if out:
        out.write_batch(batch)
if out:
    out.close()
print(count)
"""

OURS = """
import json, sys
from pathlib import Path
import pyarrow.parquet as pq
from headrace.core.codec import from_plain
from headrace.core.schema import Snapshot
from headrace.core.spec.tables import Data
from headrace.data.rows import Rows
from headrace.stores.embedded import EmbeddedStore
plan = json.load(open("plan.json"))
tables = {n: from_plain(s, Snapshot) for n, s in plan["snapshots"].items()}
rows = Rows.of("train", store=EmbeddedStore(Path("store")), events=tables["events"],
               data=Data.model_validate(plan["data"]), tables=tables, parts=Path("parts.npy"), threads=2)
count, out = 0, None
for batch in rows.batches(plan["columns"]):
    count += batch.num_rows
    if len(sys.argv) > 1:
        out = out or pq.ParquetWriter(sys.argv[1], batch.schema)
        out.write_batch(batch)
if out:
    out.close()
print(count)
"""


def write_data(folder: Path) -> None:
    """The three tables as snapshots in a store, as ingest leaves them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from headrace.core.codec import to_plain
    from headrace.core.spec.learning import Limits
    from headrace.core.spec.tables import Data
    from headrace.data.snapshot import snapshot
    from headrace.stores.embedded import EmbeddedStore

    rng = np.random.default_rng(0)
    start, span = 1_700_000_000_000_000, DAYS * 86_400_000_000

    def table(name: str, rows: int, values: list[str], ordered: bool) -> None:
        times = start + rng.integers(0, span, rows)
        columns = {
            "entity": pa.array(rng.integers(0, ENTITIES, rows)),
            "t": pa.array(np.sort(times) if ordered else times, pa.timestamp("us")),
        }
        columns |= {v: pa.array(rng.normal(size=rows)) for v in values}
        if name == "events":
            columns["id"] = pa.array(np.arange(rows))
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=500_000)

    table("events", EVENTS, [], False)
    table("side_a", ROWS, ["a1", "a2"], True)
    table("side_b", ROWS, ["b1", "b2"], False)
    side = {"key": "entity", "time": "t", "ttl": "7 days"}
    spec = {
        "events": "events",
        "time": "t",
        "zone": "UTC",
        "tables": {
            "events": {"read": "events.parquet"},
            "side_a": {"read": "side_a.parquet", **side},
            "side_b": {"read": "side_b.parquet", **side},
        },
    }
    store, data = EmbeddedStore(folder / "store"), Data.model_validate(spec)
    taken = {
        n: snapshot(
            n, t, store=store, root=folder, zone="UTC", limits=Limits(), taken="", scratch=folder / "scratch"
        )
        for n, t in data.tables.items()
    }
    np.save(folder / "parts.npy", np.zeros(EVENTS, np.int8))
    plan = {
        "data": spec,
        "columns": COLUMNS,
        "snapshots": {n: to_plain(s) for n, s in taken.items()},
        "files": {n: str(store.get(s.artifact)) for n, s in taken.items()},
    }
    (folder / "plan.json").write_text(json.dumps(plan))


def wrong(folder: Path) -> tuple[int, int]:
    """Events that headrace lost or gave twice, and those whose cells differ from DuckDB's."""
    import duckdb

    with duckdb.connect() as db:
        ours = f"read_parquet('{folder / 'ours.parquet'}', file_row_number=true)"
        peer = f"read_parquet('{folder / 'peer.parquet'}')"
        astray = db.execute(f"select count(*) from {ours} where id <> file_row_number").fetchone()
        count = db.execute(f"select count(*) from {ours}").fetchone()
        same = " and ".join(
            f'o."{c}" is not distinct from p."{c.partition(".")[2]}"' for c in COLUMNS if c != "id"
        )
        equal = db.execute(f"select count(*) from {ours} o join {peer} p using (id) where {same}").fetchone()
    assert astray is not None and count is not None and equal is not None
    return int(astray[0]) + abs(EVENTS - int(count[0])), EVENTS - int(equal[0])


def run() -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-asof-"))
    try:
        apart(f"import pathlib, benchmarks.bench_asof as b; b.write_data(pathlib.Path({str(folder)!r}))")
        (folder / "peer.py").write_text(PEER)
        (folder / "ours.py").write_text(OURS)
        # Turn by turn, so that a busy minute of the machine is both's; the best of each counts.
        peers, ours = [], []
        for _ in range(TIMES):
            peers.append(measured([sys.executable, "peer.py"], cwd=folder))
            ours.append(measured([sys.executable, "ours.py"], cwd=folder))
        for name in ("peer", "ours"):
            measured([sys.executable, f"{name}.py", f"{name}.parquet"], cwd=folder)
        lost, different = wrong(folder)
        return rows(min(peers, key=_seconds), min(ours, key=_seconds), lost, different)
    finally:
        shutil.rmtree(folder)


def _seconds(one: Measured) -> float:
    return one.seconds


def rows(peer: Measured, ours: Measured, lost: int, different: int) -> list[Row]:
    what = "1M events, two tables of 5M rows, 100,000 entities, 7 days"
    return [
        within(
            "asof",
            f"{what}: the whole process",
            ours.seconds,
            peer.seconds,
            "s",
            floor=f"DuckDB ASOF {peer.seconds:.2f} s",
            times=1.2,
            of="time",
        ),
        row(
            "asof",
            f"{what}: peak memory",
            ours.megabytes,
            "MB",
            floor=f"DuckDB {peer.megabytes:.0f} MB",
            ratio=ours.megabytes / peer.megabytes,
            reach="≤ 1,000 MB",
            ok=ours.megabytes <= 1000,
        ),
        *(
            row("asof", f"{what}: {how}", count, "events", floor="none", ratio=None, reach="0", ok=count == 0)
            for how, count in (("lost or doubled", lost), ("other cells than DuckDB's", different))
        ),
    ]
