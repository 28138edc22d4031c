"""Names of rows: equal for equal values however they are stored, and pinned for good."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.core.errors import DataError
from headrace.data.identity import parquet_row_ids, row_ids

PINNED = ["0x9a62bbb9e383a297", "0x31515b5f1248d238", "0xf2c61a8e16eff9e4"]
PINNED_TEXT = ["0x554fffaffca2772b", "0xcac6def1fc035bdc", "0xb54cda58fbbee87e"]
PINNED_NUMBER = ["0xf80a07838228f8ba", "0x275aebb92c306552", "0xb54cda58fbbee87e"]


def names(**columns):
    table = pa.table(columns)
    return row_ids(table.to_batches(), table.column_names)


def test_names_are_pinned():
    """If this fails, every budget of every ledger is lost: make a new version, don't change the numbers."""
    found = names(
        i=pa.array([1, -7, None]),
        x=pa.array([0.5, float("nan"), 1e300]),
        b=pa.array([True, False, None]),
        s=pa.array(["a", "", None]),
        t=pa.array([datetime(2013, 1, 1), None, datetime(1900, 1, 1)], pa.timestamp("us")),
    )
    assert found.dtype == np.uint64
    assert [hex(v) for v in found] == PINNED
    assert [hex(v) for v in names(id=pa.array(["AA1", "Ä", None]))] == PINNED_TEXT
    assert [hex(v) for v in names(id=pa.array([1, 2**62 + 1, None]))] == PINNED_NUMBER


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1, 2, None]), pa.array([1.0, 2.0, float("nan")])),
        (pa.array([1, 2, None], pa.int8()), pa.array([1, 2, None], pa.uint64())),
        (pa.array([3, 4, None]), pa.array([Decimal("3.00"), Decimal("4.00"), None])),
        (pa.array([0.0, 1.0, None]), pa.array([-0.0, 1.0, None])),
        (pa.array([2**60, 1, 2**63 - 1024]), pa.array([2.0**60, 1.0, float(2**63 - 1024)])),
        (pa.array(["a", "b", None]), pa.array(["a", "b", None]).dictionary_encode()),
        (pa.array(["a", "b", None]), pa.array(["a", "b", None], pa.large_string())),
        (
            pa.array([datetime(2013, 1, 1), datetime(2014, 1, 1), None], pa.timestamp("us")),
            pa.array([datetime(2013, 1, 1), datetime(2014, 1, 1), None], pa.timestamp("ns", "UTC")),
        ),
        (pa.array([datetime(2013, 1, 1), None], pa.timestamp("s")), pa.array([date(2013, 1, 1), None])),
        (pa.array([None, None], pa.float64()), pa.array([None, None], pa.string())),
    ],
)
def test_storage_does_not_matter(one, other):
    assert names(id=one).tolist() == names(id=other).tolist()


def test_different_values_have_different_names():
    numbers = [0, 1, -1, *(2**53 + k for k in range(-1, 6)), *(2**62 + k for k in range(3)), 2**63 - 1]
    numbers += [-k for k in numbers if k > 2**50] + [2**63 - 2, -(2**63)]
    values = [
        pa.array(numbers),
        pa.array([2**64 - 1, 2**64 - 2, 2**63 + 1], pa.uint64()),
        pa.array([0.1, 0.5, 1e-300, float("inf"), float("-inf")]),
        pa.array(["", "0", "1", "a", "A", "ä"]),
        pa.array([True, False, None]),
        pa.array([datetime(1970, 1, 1), datetime(1970, 1, 1, 0, 0, 0, 1)], pa.timestamp("us")),
    ]
    found = np.concatenate([names(id=v) for v in values])
    assert np.unique(found).size == found.size == sum(len(v) for v in values)


def test_the_order_of_columns_does_not_matter_and_their_names_do():
    a, b = pa.array([1, 2, 3]), pa.array([2, 1, 3])
    assert names(a=a, b=b).tolist() == names(b=b, a=a).tolist()
    swapped = names(a=b, b=a)
    assert names(a=a, b=b)[0] != swapped[0] and names(a=a, b=b)[2] == swapped[2]
    assert names(a=a, b=b)[0] != names(a=a, c=b)[0]
    assert names(a=a).tolist() == names(renamed=a).tolist()


def test_a_declared_id_outlives_new_columns_and_mended_values(tmp_path):
    old = pa.table({"id": ["x", "y"], "value": [1.0, 2.0]})
    new = pa.table({"extra": [True, None], "id": ["x", "y"], "value": [1.0, 2.5]})
    for name, table in (("old", old), ("new", new)):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    by_id = [parquet_row_ids(tmp_path / f"{n}.parquet", ["id"]).tolist() for n in ("old", "new")]
    by_all = [parquet_row_ids(tmp_path / f"{n}.parquet").tolist() for n in ("old", "new")]
    assert by_id[0] == by_id[1]
    assert not set(by_all[0]) & set(by_all[1])


def test_a_million_names_do_not_collide_and_are_spread_evenly():
    found = names(a=np.arange(1_000_000), b=np.zeros(1_000_000))
    assert np.unique(found).size == 1_000_000
    for shift in (0, 28, 56):
        counts = np.bincount(((found >> np.uint64(shift)) & np.uint64(255)).astype(int), minlength=256)
        chi2 = float(((counts - 3906.25) ** 2 / 3906.25).sum())
        assert 150 < chi2 < 380  # 255 degrees of freedom: mean 255, standard deviation 22.6


def test_a_mask_picks_rows_over_batches(tmp_path):
    n = 300_000
    rng = np.random.default_rng(0)
    table = pa.table({"a": rng.integers(0, 10**12, n), "s": rng.choice(["x", "y", "z"], n)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=70_000)
    rows = rng.random(n) < 0.3
    rows[100_000:250_000] = False
    every = parquet_row_ids(tmp_path / "t.parquet")
    assert np.array_equal(parquet_row_ids(tmp_path / "t.parquet", rows=rows), every[rows])
    assert np.array_equal(row_ids(table.to_batches(max_chunksize=999), ["s", "a"]), every)
    with pytest.raises(ValueError, match="a mask of 5 for 300000 rows"):
        parquet_row_ids(tmp_path / "t.parquet", rows=np.ones(5, dtype=bool))


def test_mistakes_are_named(tmp_path):
    pq.write_table(pa.table({"flight_id": [1], "l": [[1, 2]]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="there is no column 'fligt_id' to tell rows apart by") as error:
        parquet_row_ids(tmp_path / "t.parquet", ["fligt_id"])
    assert "did you mean 'flight_id'?" in str(error.value)
    with pytest.raises(DataError, match="column 'l' is of type list<"):
        parquet_row_ids(tmp_path / "t.parquet")


def test_no_rows_have_no_names():
    assert row_ids([], ["a"]).size == 0
    assert names(a=pa.array([], pa.int64()), s=pa.array([], pa.string())).size == 0
