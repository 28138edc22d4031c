"""Rows of a lookup as the online store gives them: by column, fresh or not, whatever columns are called."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headrace.core.feed import Newest
from headrace.core.online import Fact, Place
from headrace.data.online.ask import MISSING, STALE, Rows
from headrace.data.online.facts import key_of
from headrace.stores import SqliteOnlineStore

PLAIN = ("temp", "sky")
ODD = ("air temp", "class", "__init__")


def filled(folder: Path, columns: tuple[str, ...], values: list[object] | None = None) -> Rows:
    """Three stations with rows at 10 and 20, each known 5 later; a row is fresh for 12."""
    store = SqliteOnlineStore(folder / "online.db")
    newest = Newest("weather", ("station",), columns, "at", "told")
    store.declare([newest.stream])
    facts = []
    for n, (station, on) in enumerate((s, o) for s in ("a", "b", "c") for o in (10, 20)):
        key = key_of([station])
        assert key is not None
        cells = values if values is not None else [float(n), station, None][: len(columns)]
        place = Place(newest.stream.name, key, on, on + 5, msgspec.msgpack.encode(cells))
        facts.append(Fact(n.to_bytes(16, "little"), b"12345678", on + 5, (place,)))
    store.put("weather", facts, start=0)
    return Rows(store, newest, 12)


@pytest.mark.parametrize("columns", [PLAIN, ODD])
def test_rows_come_by_column_at_their_moment(tmp_path: Path, columns: tuple[str, ...]) -> None:
    rows = filled(tmp_path, columns)

    def row(number: float, station: str) -> tuple[object, str]:
        return dict(zip(columns, [number, station, None], strict=False)), ""

    assert rows.find([["a"], ["b"], ["c"]], [30, 30, 30]) == [row(1, "a"), row(3, "b"), row(5, "c")]
    assert rows.find([["c"], ["a"], ["c"]], [16, 16, 16]) == [row(4, "c"), row(0, "a"), row(4, "c")]
    assert rows.find([["b"]], [25]) == [row(3, "b")]
    assert rows.find([], []) == []


@pytest.mark.parametrize("columns", [PLAIN, ODD])
def test_each_row_that_is_missing_or_stale_is_told_beside_the_others(
    tmp_path: Path, columns: tuple[str, ...]
) -> None:
    rows = filled(tmp_path, columns)
    asked: list[list[str | None]] = [["a"], ["nobody"], [None], ["b"], ["c"], ["a"]]
    found = rows.find(asked, [30, 30, 30, 33, None, 14])
    assert [why for _, why in found] == ["", MISSING, MISSING, STALE, MISSING, MISSING]
    assert [values is None for values, _ in found] == [False, True, True, True, True, True]
    assert [why for _, why in rows.find([["a"], ["b"]], [33, 30])] == [STALE, ""]


@pytest.mark.parametrize("columns", [PLAIN, ODD])
@pytest.mark.parametrize("values", [[], [1.0], [1.0, "x", None, 3.0]])
def test_a_row_of_another_width_is_no_row(
    tmp_path: Path, columns: tuple[str, ...], values: list[object]
) -> None:
    rows = filled(tmp_path, columns, values)
    with pytest.raises((ValueError, msgspec.ValidationError)):
        rows.find([["a"]], [30])
