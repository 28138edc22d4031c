"""What several readers share is made once, and forgotten when it is dropped."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.core.history import History
from headrace.core.schema import Type
from headrace.core.spec.tables import TableSpec
from headrace.data.history import index
from headrace.data.history.index import HistoryTable
from headrace.data.history.plan import plan_histories
from headrace.data.loaded import Loaded
from headrace.data.lookup import LookupTable

SECOND = 1_000_000


def test_what_is_there_is_not_made_again() -> None:
    loaded = Loaded()
    first = loaded.get(("a", 1), object)
    assert loaded.get(("a", 1), object) is first
    assert loaded.get(("a", 2), object) is not first
    loaded.drop()
    assert loaded.get(("a", 1), object) is not first


def test_many_who_ask_at_once_wait_for_one_who_makes_it() -> None:
    loaded, made, others = Loaded(), [], Event()

    def make() -> object:
        made.append(others.wait(10))
        return object()

    with ThreadPoolExecutor(5) as pool:
        same = [pool.submit(loaded.get, "slow", make) for _ in range(4)]
        # Another key is made meanwhile, or the four would wait for ever.
        pool.submit(loaded.get, "quick", others.set).result(10)
    assert made == [True]
    assert len({id(s.result()) for s in same}) == 1


def test_what_fails_is_tried_again() -> None:
    loaded = Loaded()
    with pytest.raises(ZeroDivisionError):
        loaded.get("x", lambda: 1 / 0)
    assert loaded.get("x", lambda: 2) == 2


def table(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    file = folder / "t.parquet"
    when = pa.array(np.sort(rng.integers(0, 500, 900)) * SECOND, pa.timestamp("us", tz="UTC"))
    shop = rng.choice(["a", "b", "c"], 900)
    pq.write_table(
        pa.table({"shop": shop, "at": when, "x": rng.normal(size=900), "n": np.arange(900.0)}), file
    )
    return file


def test_lookups_of_other_columns_share_index_and_columns(tmp_path: Path) -> None:
    file, loaded = table(tmp_path), Loaded()
    spec = TableSpec(read="t", key="shop", time="at")
    one = LookupTable.load("t", file, spec, ["x"], loaded=loaded)
    two = LookupTable.load("t", file, spec, ["x", "n"], loaded=loaded)
    other = LookupTable.load(
        "t", file, TableSpec(read="t", key="shop", time="at", ttl="1 s"), ["x"], loaded=loaded
    )
    assert two._index is one._index and two._values["x"] is one._values["x"]
    assert other._index is not one._index
    alone = LookupTable.load("t", file, spec, ["x", "n"])
    assert alone._index is not one._index
    for key in ("a", "b", "c", "d"):
        for moment in (0, 77 * SECOND, 900 * SECOND):
            assert two.find([key], moment) == alone.find([key], moment)


def history(name: str, value: str | None, where: str | None = None, **more: Any) -> History:
    kind = None if value is None else Type.NUMBER
    function = "count" if value is None else "sum"
    known: dict[str, Any] = {"by": ("shop",), "table": "t", "on": "at", "known_at": None, "window_us": None}
    return History(name, function, None, value, kind, where, type=Type.NUMBER, **{**known, **more})


def test_histories_share_what_is_the_same_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, loaded, columns = table(tmp_path), Loaded(), {"x": Type.NUMBER, "n": Type.NUMBER}
    wanted = [history("s", "x"), history("n", "n", "x > 0"), history("all", None, by=())]
    graph = plan_histories(wanted, {"t": columns}).graphs["t"]
    without = np.arange(900) % 7 == 0
    sorts: list[object] = []
    kept = index._View.of
    monkeypatch.setattr(index._View, "of", lambda *a: sorts.append(a) or kept(*a))

    def load(some: list[History], rows: np.ndarray | None = None, to: Loaded | None = None) -> HistoryTable:
        return HistoryTable.load(file, some, graph, without=rows, loaded=to)

    load(wanted, to=loaded)
    assert len(sorts) == 2  # by shop, and all rows
    shared = load(wanted[1:], to=loaded)
    assert len(sorts) == 2
    hidden = load(wanted, without, to=loaded)
    assert len(sorts) == 4
    keys = {"shop": pa.array(["a", "b", "zz", None])}
    moments = np.array([100, 400, 400, 400]) * SECOND
    for got, rows, some in ((shared, None, wanted[1:]), (hidden, without, wanted)):
        alone = load(some, rows).compute(keys, moments)
        found = got.compute(keys, moments)
        assert found.keys() == alone.keys()
        assert all(np.array_equal(found[n], alone[n], equal_nan=True) for n in alone)
    assert shared.compute(keys, moments)["all"][0] > hidden.compute(keys, moments)["all"][0]
