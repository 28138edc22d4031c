"""Slices that are expressions: what logged values are to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from watch_world import START, LiveWorld

from headrace.core.schema import Type
from headrace.expr import compile_exprs, parse
from headrace.graph.run import Runner
from headrace.graph.zones import Zone
from headrace.summary.bins import FIRST, NULL, make_bins
from headrace.summary.counts import Counter
from headrace.watch.chunks import of_entries
from headrace.watch.slicing import Slicer

TYPES = {"distance": Type.NUMBER, "at": Type.TIME, "port": Type.TEXT, "weather.temp": Type.NUMBER}
NO, YES = FIRST, FIRST + 1


def slicer(text: str) -> Slicer:
    bins = make_bins({text: np.array([0.0, 1.0])}, {text: Type.BOOL})
    runner = Runner(compile_exprs({"=" + text: parse(text, TYPES, zone="America/New_York")}))
    return Slicer(runner, Counter(bins), frozenset({"weather.temp"}), Zone("America/New_York"))


@pytest.mark.parametrize(
    ("text", "name", "values", "codes"),
    [
        ("distance > 25", "distance", [30, 10.5, None], [YES, NO, NULL]),
        ("distance > 25", "distance", [30, "far", True], [YES, NULL, NULL]),
        ("distance > 25", "distance", ["30", "far", ""], [NULL] * 3),
        ("port == 'JFK'", "port", ["JFK", "EWR", None], [YES, NO, NULL]),
        (
            "hour(at) < 12",
            "at",
            ["2026-03-02T15:00:00Z", "2026-03-02T11:00", "2026-03-02T18:00Z"],
            [YES, YES, NO],
        ),
        ("hour(at) < 12", "at", ["2026-03-02T15:00:00Z", "soon", 7], [YES, NULL, NULL]),
        ("weather.temp > 5", "weather.temp", [10, 0, None], [YES, NO, NULL]),
        ("distance > 25", "another", [1, 2, 3], [NULL] * 3),
    ],
)
def test_values_of_another_type_and_none_are_null(
    tmp_path: Path, text: str, name: str, values: list[Any], codes: list[int]
) -> None:
    world = LiveWorld(tmp_path / ".headrace")
    part = "filled" if name == "weather.temp" else "inputs"
    entries = [msgspec.structs.replace(world.answers(START, 1)[0], **{part: {name: v}}) for v in values]
    assert slicer(text).codes(of_entries(entries))[:, 0].tolist() == codes
