"""Fitted features to one graph: raw columns in, the float32 feature matrix out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from headrace.core.codec import to_json
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import FIRST_CODE, MISSING, RARE, UNSEEN, FeatureKind
from headrace.expr import emit
from headrace.features.fitted import Fitted, FittedFeatures
from headrace.features.plan import MATRIX, Planned, raw_types
from headrace.features.values import value_of
from headrace.graph.build import GraphBuilder
from headrace.graph.texts import Prepare


def feature_graph(fitted: FittedFeatures, prepares: Mapping[str, Prepare] | None = None) -> bytes:
    """The graph from raw columns to "features", float32 [rows, features].

    Numbers are computed in double and rounded to float32 once, here; a number beyond float32's range is
    null (NaN), as infinity is everywhere. Booleans are 0, 1 or NaN, categories codes (`core.task`), never
    NaN. The metadata's "features" is the JSON of the matrix's columns. `prepares` says what is done to text
    columns before they enter.
    """
    builder, columns = _emitted(tuple(c.planned for c in fitted.columns), prepares, clean=False)
    doubles = [
        _codes(builder, tensor, column) if column.planned.kind is FeatureKind.CATEGORY else tensor
        for tensor, column in zip(columns, fitted.columns, strict=True)
    ]
    # [features * rows] and a transpose: three nodes, where a column axis would take one for every feature.
    flat = builder.node("Concat", *doubles, axis=0)
    rows_last = builder.node("Reshape", flat, builder.constant([len(doubles), -1], np.int64))
    single = builder.node("Cast", rows_last, to=TensorProto.FLOAT)
    # x - x is 0, or NaN where x is infinite or NaN
    finite = builder.node("Add", single, builder.node("Sub", single, single))
    matrix = builder.node("Transpose", finite, perm=[1, 0])
    builder.output(matrix, MATRIX, TensorProto.FLOAT, [None, len(doubles)])
    return builder.build({MATRIX: to_json(fitted.features).decode()})


def category_graph(planned: tuple[Planned, ...], prepares: Mapping[str, Prepare] | None = None) -> bytes:
    """The graph from raw columns to each category's values before coding, an output each, in order: text
    with NULL_TEXT, or double."""
    builder, columns = _emitted(planned, prepares, clean=True)
    for tensor, p in zip(columns, planned, strict=True):
        is_text = p.expr.type is Type.TEXT
        dtype = TensorProto.STRING if is_text else TensorProto.DOUBLE
        own = builder.node("Identity", tensor)  # equal features share a tensor, and it may be a raw column
        builder.output(own, f"{own}:out", dtype, [None])
    return builder.build()


def _emitted(
    planned: tuple[Planned, ...], prepares: Mapping[str, Prepare] | None, *, clean: bool
) -> tuple[GraphBuilder, list[str]]:
    """A builder with every raw column declared, and each feature as a vector [rows] in raw convention.

    A feature without columns takes its rows from the others' columns: hence these come first. Where no
    feature has one, every vector has one row, which the runner repeats.
    """
    types, prefix = raw_types(planned), "~"
    while any(name.startswith(prefix) for name in types):
        prefix += "~"  # no tensor may bear the name of a raw column
    builder = GraphBuilder(prefix)
    for name, kind in types.items():
        builder.input(name, kind, (prepares or {}).get(name))
    return builder, [emit(p.expr, builder, clean=clean).tensor for p in planned]


def _codes(builder: GraphBuilder, tensor: str, column: Fitted) -> str:
    """Codes of a category as doubles."""
    seen = (*column.vocabulary, *column.rare)
    codes = [*range(FIRST_CODE, FIRST_CODE + len(column.vocabulary)), *[RARE] * len(column.rare)]
    if column.planned.expr.type is Type.TEXT:
        return builder.lookup(tensor, [NULL_TEXT, *seen], [MISSING, *codes], UNSEEN)
    is_bool = column.planned.expr.type is Type.BOOL
    nulls, values = [np.nan, np.inf, -np.inf], [value_of(t, is_bool=is_bool) for t in seen]
    return builder.lookup(tensor, [*nulls, *values], [MISSING] * len(nulls) + codes, UNSEEN)
