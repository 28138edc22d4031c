"""Fitted features to one graph: raw columns in, the float32 feature matrix out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from headrace.core.codec import to_json
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import FIRST_CODE, MISSING, RARE, UNSEEN, FeatureKind
from headrace.expr import emit
from headrace.features.fitted import Encoded, Fitted, FittedFeatures
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
    builder, columns = _emitted(fitted.types, tuple(c.planned for c in fitted.columns), prepares, clean=False)
    doubles = [
        _codes(builder, tensor, column) if column.planned.kind is FeatureKind.CATEGORY else tensor
        for tensor, column in zip(columns, fitted.columns, strict=True)
    ]
    made = []
    if doubles:
        # [features * rows] and a transpose: three nodes, where a column axis would take one for every feature
        flat = builder.node("Concat", *doubles, axis=0)
        rows_last = builder.node("Reshape", flat, builder.constant([len(doubles), -1], np.int64))
        made.append(builder.node("Transpose", rows_last, perm=[1, 0]))
    made += [_encoded(builder, e) for e in fitted.encoded]
    double = builder.node("Concat", *made, axis=1) if len(made) > 1 else made[0]
    single = builder.node("Cast", double, to=TensorProto.FLOAT)
    # x - x is 0, or NaN where x is infinite or NaN
    matrix = builder.node("Add", single, builder.node("Sub", single, single))
    builder.output(matrix, MATRIX, TensorProto.FLOAT, [None, len(fitted.features)])
    return builder.build({MATRIX: to_json(fitted.features).decode()})


def _encoded(builder: GraphBuilder, encoded: Encoded) -> str:
    """An encoder's columns, [rows, features] double."""
    inputs = {text: emit(expr, builder).tensor for text, expr in encoded.inputs.items()}
    return encoded.encoder.emit(builder, inputs)


def category_graph(planned: tuple[Planned, ...], prepares: Mapping[str, Prepare] | None = None) -> bytes:
    """The graph from raw columns to each category's values before coding, an output each, in order: text
    with NULL_TEXT, or double."""
    builder, columns = _emitted(raw_types(planned), planned, prepares, clean=True)
    for tensor, p in zip(columns, planned, strict=True):
        is_text = p.expr.type is Type.TEXT
        dtype = TensorProto.STRING if is_text else TensorProto.DOUBLE
        own = builder.node("Identity", tensor)  # equal features share a tensor, and it may be a raw column
        builder.output(own, f"{own}:out", dtype, [None])
    return builder.build()


def _emitted(
    types: Mapping[str, Type],
    planned: tuple[Planned, ...],
    prepares: Mapping[str, Prepare] | None,
    *,
    clean: bool,
) -> tuple[GraphBuilder, list[str]]:
    """A builder with every raw column declared, and each feature as a vector [rows] in raw convention.

    A feature without columns takes its rows from the others' columns: hence these come first. Where no
    feature has one, every vector has one row, which the runner repeats.
    """
    prefix = "~"
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
