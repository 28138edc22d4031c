"""Rows of a part: what comes, in which order, and that the test rows don't."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.core.errors import DataError, HeadraceError
from headrace.core.schema import Snapshot, Type
from headrace.core.spec.learning import Limits
from headrace.core.spec.tables import Data, TableSpec
from headrace.data.identity import parquet_row_ids
from headrace.data.rows import Rows
from headrace.data.seal import Opening, seal_id
from headrace.data.snapshot import snapshot
from headrace.stores.embedded import EmbeddedStore

ROWS = 150_000


class World:
    """Events of three parts with two side tables."""

    def __init__(self, root: Path, **data: Any) -> None:
        lines = [
            f"{i},{'ab'[i % 2]},2024-01-{1 + i * 28 // ROWS:02d} {i % 24:02d}:00,{i / 8}" for i in range(ROWS)
        ]
        lines[7] = "7,,,"
        (root / "events.csv").write_text("id,k,at,x\n" + "\n".join(lines) + "\n")
        (root / "hourly.csv").write_text(
            "k,at,v\n" + "".join(f"{k},2024-01-{d:02d} 12:00,{d}\n" for d in range(1, 29) for k in "ab")
        )
        (root / "names.csv").write_text("k,name\na,Anna\n")
        self.store = EmbeddedStore(root / "store")
        self.data = Data(
            **{
                "events": "events",
                "time": "at",
                "lead": "60 min",
                "zone": "UTC",
                "tables": {
                    "events": TableSpec(read="events.csv"),
                    "hourly": TableSpec(read="hourly.csv", key="k", time="at", ttl="20 h"),
                    "names": TableSpec(read="names.csv", key="k"),
                },
                **data,
            }
        )
        self.tables: dict[str, Snapshot] = {
            name: snapshot(
                name,
                table,
                store=self.store,
                root=root,
                zone="UTC",
                limits=Limits(),
                taken="",
                scratch=root / "scratch",
            )
            for name, table in self.data.tables.items()
        }
        self.codes = np.full(ROWS, 0, np.int8)
        self.codes[100_000:] = 1
        self.codes[130_000:] = 2
        self.codes[::10] = -1
        self.parts = root / "parts.npy"
        np.save(self.parts, self.codes)

    def rows(self, part: str, **more: Any) -> Rows:
        return Rows.of(
            part,
            store=self.store,
            events=self.tables["events"],
            data=self.data,
            tables=self.tables,
            parts=self.parts,
            **more,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize(("part", "code"), [("train", 0), ("validation", 1)])
def test_the_rows_of_a_part_in_order_and_in_full_batches(world: World, part: str, code: int) -> None:
    rows = world.rows(part)
    expected = np.flatnonzero(world.codes == code)
    assert rows.part == part and rows.count == expected.size
    assert rows.row_numbers().tolist() == expected.tolist()
    batches = list(rows.batches(["x", "id"], size=7_000))
    assert batches[0].schema.names == ["x", "id"]
    assert [b.num_rows for b in batches[:-1]] == [7_000] * (len(batches) - 1)
    assert np.concatenate([b.column("id").to_numpy() for b in batches]).tolist() == expected.tolist()


def test_some_rows_of_a_part_are_these_rows_with_their_lookups(world: World) -> None:
    columns = ["id", "hourly.v", "names.name"]
    whole = pa.Table.from_batches(world.rows("validation").batches(columns))
    chosen = np.array([0, 5, 6, whole.num_rows - 1])
    some = world.rows("validation").only(chosen)
    assert some.count == 4 and some.part == "validation"
    assert pa.Table.from_batches(some.batches(columns)).to_pylist() == whole.take(chosen).to_pylist()
    again = some.only(np.array([3]))
    assert again.row_numbers().tolist() == [some.row_numbers()[3]]
    assert list(some.only(np.zeros(0, np.int64)).batches(columns)) == []


def test_lookups_come_beside_each_row(world: World) -> None:
    columns = ["id", "hourly.v", "names.name", "k"]
    table = pa.Table.from_batches(world.rows("train").batches(columns, size=10_000))
    assert table.schema.names == columns
    assert table["id"].to_pylist() == np.flatnonzero(world.codes == 0).tolist()
    for row in table.slice(0, 3_000).to_pylist() + table.slice(80_000).to_pylist():
        i = row["id"]
        assert row["names.name"] == ("Anna" if i % 2 == 0 else None)
        day, hour = 1 + i * 28 // ROWS, i % 24 - 1
        # Of noon's row: seen from 12:00 on, for 20 hours.
        newest = day if hour >= 12 else day - 1
        age = hour - 12 if hour >= 12 else hour + 12
        assert row["hourly.v"] == (newest if newest >= 1 and age <= 20 and i != 7 else None)


def test_the_test_rows_need_an_opening(world: World) -> None:
    with pytest.raises(HeadraceError, match="the test rows are sealed") as caught:
        world.rows("test")
    assert "fix: open the seal first" in str(caught.value)
    with pytest.raises(HeadraceError, match="the test rows are sealed"):
        world.rows("test", opening=object())
    path = world.store.get(world.tables["events"].artifact)
    column = None if world.data.id is None else [world.data.id]
    seal = seal_id(parquet_row_ids(path, column, rows=world.codes == 2))
    opening = Opening(seal=seal, candidate="c", number=1, level=0.05, event="e")
    assert world.rows("test", opening=opening).count == int((world.codes == 2).sum())


def test_there_is_no_other_way_in(world: World) -> None:
    with pytest.raises(TypeError, match=r"make rows with Rows.of"):
        Rows("test", Path(), world.tables["events"], world.data, {}, world.codes, through=None)


def test_unknown_columns_and_parts(world: World) -> None:
    with pytest.raises(DataError) as caught:
        next(world.rows("train").batches(["idd", "hourly.w"]))
    assert "there is no column 'idd'\n  fix: did you mean 'id'" in str(caught.value)
    assert "there is no column 'hourly.w'" in str(caught.value)
    with pytest.raises(ValueError, match="there is no part 'tset'"):
        world.rows("tset")
    assert world.rows("train").types(["x", "hourly.at"]) == {"x": Type.NUMBER, "hourly.at": Type.TIME}


def test_a_split_of_another_table(world: World, tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.zeros(3, np.int8))
    with pytest.raises(ValueError, match="the split has"):
        Rows.of(
            "train",
            store=world.store,
            events=world.tables["events"],
            data=world.data,
            tables={},
            parts=tmp_path / "p.npy",
        )


def test_a_timed_table_without_a_time_of_events(tmp_path: Path) -> None:
    rows = World(tmp_path, time=None, lead=None).rows("train")
    assert next(rows.batches(["names.name"], size=2)).column(0).to_pylist() == [None, "Anna"]
    with pytest.raises(DataError) as caught:
        next(rows.batches(["hourly.v"]))
    assert "'hourly' has times, and the events have none to look it up at" in str(caught.value)
    assert "fix: declare data.time" in str(caught.value)


def test_the_key_has_to_be_in_both_tables_and_of_one_type(tmp_path: Path) -> None:
    tables = {
        "events": TableSpec(read="events.csv"),
        "hourly": TableSpec(read="hourly.csv", key="v"),
        "names": TableSpec(read="names2.csv", key="id"),
    }
    (tmp_path / "names2.csv").write_text("id,name\nx,Anna\n")
    with pytest.raises(DataError, match="the key v = 1 names 2 rows of the table 'hourly'"):
        World(tmp_path, tables=tables)
    del tables["hourly"]
    with pytest.raises(DataError, match="the key 'id' is number in the events and text in 'names'"):
        next(World(tmp_path, tables=tables).rows("train").batches(["names.name"]))
    tables["names"] = TableSpec(read="names2.csv", key="name")
    with pytest.raises(DataError, match="the events have no column 'name' to look up by"):
        next(World(tmp_path, tables=tables).rows("train").batches(["names.id"]))


def test_reading_and_looking_up_do_not_load_pandas(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_rows\n"
        "w = test_rows.World(pathlib.Path(sys.argv[2]))\n"
        "list(w.rows('train').batches(['x', 'hourly.v', 'names.name']))\n"
        "assert 'pandas' not in sys.modules and 'sklearn' not in sys.modules\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
