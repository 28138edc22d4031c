"""Edge rows for the parity gate."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from headrace.core.errors import DataError
from headrace.core.schema import Type
from headrace.features.edges import NUMBERS, TEXTS, TIMES, edge_rows
from headrace.graph.encode import encode_batch

TYPES = {"w": Type.TIME, "x": Type.NUMBER, "b": Type.BOOL, "t": Type.TEXT}
SAMPLE = pa.table(
    {
        "x": pa.array([None, 2.5, 3.5]),
        "t": pa.array(["a", "b", "c"]),
        "b": pa.array([None, True, False]),
        "w": pa.array([0, 1, 2], pa.timestamp("us")),
        "unused": pa.array([1, 2, 3]),
    }
)


def test_each_column_in_turn_over_the_fullest_row() -> None:
    rows = edge_rows(TYPES, SAMPLE)
    assert rows.column_names == list(TYPES)
    assert [rows.schema.field(n).type for n in TYPES] == [SAMPLE.schema.field(n).type for n in TYPES]
    data = rows.to_pylist()
    real = {n: SAMPLE.column(n)[1].as_py() for n in TYPES}
    assert data[-1] == dict.fromkeys(TYPES)
    changed = [[n for n in TYPES if _differs(row[n], real[n])] for row in data[:-1]]
    assert all(len(c) <= 1 for c in changed)
    for name in TYPES:
        assert any(row[name] is None and changed[i] == [name] for i, row in enumerate(data[:-1]))


def _differs(value: object, real: object) -> bool:
    return not (value == real and type(value) is type(real))


def test_the_edges_of_each_type() -> None:
    rows = edge_rows(TYPES, SAMPLE)
    x = rows["x"].to_pylist()
    for edge in NUMBERS:
        assert any(
            v is not None
            and (math.isnan(v) if math.isnan(edge) else v == edge)
            and math.copysign(1, v) == math.copysign(1, edge)
            for v in x
        ), edge
    assert set(TEXTS) <= set(rows["t"].to_pylist())
    assert {True, False, None} <= set(rows["b"].to_pylist())
    micro = rows["w"].cast(pa.int64()).to_pylist()
    assert -62_135_596_800_000_000 in micro and 253_402_300_799_999_999 in micro
    assert len(set(micro)) == len(TIMES) + 2
    encode_batch(rows, TYPES)


@pytest.mark.parametrize(
    ("arrow", "edges"),
    [
        (pa.int8(), {0, 1, -128, 127}),
        (pa.uint16(), {0, 1, 65535}),
        (pa.int64(), {0, 1, -(2**63), 2**63 - 1}),
        (pa.decimal128(20, 2), {0, 1}),
    ],
)
def test_integers_keep_to_their_width(arrow: pa.DataType, edges: set[int]) -> None:
    sample = pa.table({"x": pa.array([5], pa.int8()).cast(pa.int32()).cast(arrow)})
    rows = edge_rows({"x": Type.NUMBER}, sample)
    assert rows.schema.field("x").type == arrow
    assert {v for v in rows["x"].to_pylist() if v is not None} == edges


def test_narrow_floats_and_times_leave_out_what_they_cannot_hold() -> None:
    sample = pa.table(
        {
            "f": pa.array([1.0], pa.float32()),
            "n": pa.array([0], pa.timestamp("ns", "UTC")),
            "s": pa.array([0], pa.timestamp("s")),
            "d": pa.array([0], pa.int32()).cast(pa.date32()),
        }
    )
    types = {"f": Type.NUMBER, "n": Type.TIME, "s": Type.TIME, "d": Type.TIME}
    rows = edge_rows(types, sample)
    assert [rows.schema.field(n).type for n in types] == [sample.schema.field(n).type for n in types]
    assert pa.scalar(3.4028234663852886e38, pa.float32()).as_py() in rows["f"].to_pylist()
    encode_batch(rows, types)


def test_dictionary_columns_stay_so() -> None:
    sample = pa.table({"t": pa.array(["a"]).dictionary_encode()})
    rows = edge_rows({"t": Type.TEXT}, sample)
    assert rows.schema.field("t").type == sample.schema.field("t").type
    assert set(TEXTS) <= set(rows["t"].to_pylist())


def test_an_empty_sample_gives_rows_on_a_null_row() -> None:
    rows = edge_rows(TYPES, SAMPLE.slice(0, 0))
    assert rows.num_rows == edge_rows(TYPES, SAMPLE).num_rows
    assert all(sum(v is not None for v in row.values()) <= 1 for row in rows.to_pylist())


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="tt: the column is missing"):
        edge_rows({"tt": Type.TEXT, "x": Type.NUMBER}, SAMPLE)
