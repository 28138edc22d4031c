"""Fit stages can't be handed test rows: the handle asks for an opening of these very rows."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.core.errors import HeadraceError
from headrace.core.schema import Column, Snapshot, Type
from headrace.core.spec.tables import Data, TableSpec
from headrace.data.identity import parquet_row_ids
from headrace.data.rows import Rows
from headrace.data.seal import make_seal, open_seal
from headrace.stores.embedded import EmbeddedStore

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PARTS = np.array([0, 0, 1, 2, 2, -1], dtype=np.int8)


@pytest.fixture
def project(tmp_path):
    """A store with one table of six rows, its split, and a way to ask for a part."""
    store = EmbeddedStore(tmp_path / "store")
    file, parts = tmp_path / "events.parquet", tmp_path / "parts.npy"
    pq.write_table(pa.table({"id": [f"r{k}" for k in range(6)], "x": np.arange(6.0)}), file)
    np.save(parts, PARTS)
    columns = (Column("id", Type.TEXT), Column("x", Type.NUMBER))
    events = Snapshot("events", store.put(file).digest, "", 6, columns, "events.parquet", "")
    data = Data(events="events", id="id", tables={"events": TableSpec(read="events.parquet")})

    def part(name, opening=None):
        return Rows.of(name, store=store, events=events, data=data, tables={}, parts=parts, opening=opening)

    def opening_of(mask):
        seal = make_seal(store, parquet_row_ids(file, ["id"], rows=mask), actor="a", time="t", run="r")
        return open_seal(store, seal, "candidate", actor="a", clock=lambda: NOW, run="r")

    return part, opening_of


def test_test_rows_need_an_opening(project):
    part, opening_of = project
    assert part("train").count == 2 and part("validation").count == 1
    with pytest.raises(HeadraceError, match="the test rows are sealed"):
        part("test")
    rows = part("test", opening_of(PARTS == 2))
    read = pa.Table.from_batches(rows.batches(["id"]))
    assert read["id"].to_pylist() == ["r3", "r4"]


def test_a_handle_can_not_be_made_around_the_door(project):
    part, _ = project
    with pytest.raises(TypeError, match=r"make rows with Rows\.of"):
        type(part("train"))("test", *([None] * 4), PARTS, through=object())


def test_an_opening_of_other_rows_is_refused(project):
    part, opening_of = project
    with pytest.raises(HeadraceError, match="for other rows"):
        part("test", opening_of(PARTS == 1))
