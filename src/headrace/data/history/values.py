"""The graph of a table's histories: the values of their expressions over its rows, training and serving
alike, offline and at intake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.core.history import History
from headrace.core.schema import Type
from headrace.data.history.index import OUTPUT
from headrace.expr import compile_exprs, parse


def value_graph(
    histories: Sequence[History], columns: Mapping[str, Type], *, zone: str = "UTC"
) -> bytes | None:
    """One output for every distinct expression of the histories of one table, named `OUTPUT` and its text;
    None where they have none.

    Raises:
        ExprError: an expression doesn't fit these columns.
    """
    texts = sorted({t for h in histories for t in (h.value, h.where) if t is not None})
    if not texts:
        return None
    return compile_exprs({OUTPUT + t: parse(t, columns, zone=zone) for t in texts})
