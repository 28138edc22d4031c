"""Graph nodes that go through the rows in blocks: for models that compare each row with many kept ones.

A matrix of 65,536 rows by 5,000 kept ones would take 2.6 GB; in blocks of 256 rows it takes 10 MB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from headrace.graph.build import GraphBuilder

BLOCK = 256


def emit_in_blocks(
    g: GraphBuilder,
    x: str,
    width: int,
    outputs: int,
    body: Callable[[GraphBuilder, str], str],
    *,
    size: int = BLOCK,
    dtype: int = TensorProto.FLOAT,
) -> str:
    """Double [rows, outputs] of the matrix `x` [rows, width] of type `dtype`, at most `size` rows at a time.

    `body` adds its nodes to a graph of its own: it gets the name of a matrix of some rows and returns that of
    their answers. It must treat rows apart from each other: the last block is filled up.
    """
    rows, one = g.node("Shape", x, start=0, end=1), g.constant([1], np.int64)
    block = g.node("Max", one, g.node("Min", rows, g.constant([size], np.int64)))
    upwards = g.node("Add", rows, g.node("Sub", block, one))
    count = g.node("Max", one, g.node("Div", upwards, block))
    short = g.node("Sub", g.node("Mul", count, block), rows)
    zero, two = g.constant([0], np.int64), g.constant([0, 0], np.int64)
    filled = g.node("Pad", x, g.node("Concat", two, short, zero, axis=0))
    shape = g.node("Concat", count, block, g.constant([width], np.int64), axis=0)
    blocks = g.node("Reshape", filled, shape)
    made = g.node("Scan", blocks, num_scan_inputs=1, body=_body(blocks, width, outputs, body, dtype))
    flat = g.node("Reshape", made, g.constant([-1, outputs], np.int64))
    return g.node("Slice", flat, zero, rows, zero)


def _body(
    unique: str, width: int, outputs: int, body: Callable[[GraphBuilder, str], str], dtype: int
) -> onnx.GraphProto:
    """The inner graph; `unique` keeps its names apart from those outside."""
    inner = GraphBuilder(f"{unique}/")
    answer = body(inner, inner.matrix_input(f"{unique}/block", width, dtype))
    inner.output(answer, f"{unique}/answer", TensorProto.DOUBLE, [None, outputs])
    return onnx.load_model_from_string(inner.build()).graph
