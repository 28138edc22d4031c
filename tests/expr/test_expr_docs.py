"""docs/expressions.md tells of every function, part, unit and refusal; both emitters know every operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.expr import FUNCTIONS, to_sql
from headrace.expr.functions import REFUSED
from headrace.expr.nodes import OPS, PARTS, UNITS
from headrace.expr.to_onnx import ROOMS
from headrace.expr.to_sql import WRITE

PAGE = (Path(__file__).parents[2] / "docs" / "expressions.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_is_documented_as_it_is(name: str) -> None:
    function = FUNCTIONS[name]
    assert f"| `{function.signature}` | {function.meaning} |" in PAGE


def test_every_refusal_part_and_unit_is_documented() -> None:
    for name in (*REFUSED, *PARTS, *UNITS):
        assert f"`{name}" in PAGE, name
    for why, fix in REFUSED.values():
        assert f"| {why} | {fix} |" in PAGE


def test_nothing_is_both_offered_and_refused() -> None:
    assert not FUNCTIONS.keys() & REFUSED.keys()


def test_every_operation_has_both_emissions() -> None:
    assert callable(to_sql)
    assert set(WRITE) == set(OPS)
    assert {*ROOMS.numbers, *ROOMS.texts, *ROOMS.times, *ROOMS.yes} == set(OPS)
    assert set(ROOMS.yes) == set(ROOMS.no)
