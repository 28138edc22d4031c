"""Expressions to ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headrace.core.schema import Type
from headrace.expr.emitter import Emitter, Rooms
from headrace.expr.nodes import Expr, Node, walk
from headrace.expr.onnx_logic import NO, YES, truth
from headrace.expr.onnx_number import NUMBERS
from headrace.expr.onnx_text import TEXTS
from headrace.expr.onnx_time import NUMBERS_OF_TIMES, TIMES
from headrace.graph.build import INPUT_TYPES, GraphBuilder
from headrace.graph.texts import Prepare

ROOMS = Rooms(numbers={**NUMBERS, **NUMBERS_OF_TIMES}, yes=YES, no=NO, truth=truth, texts=TEXTS, times=TIMES)


@dataclass(frozen=True)
class Value:
    """A tensor [rows] in the form of a raw column of the type: numbers and truths (0, 1) as double with NaN
    for null, text as string with NULL_TEXT, times as int64 UTC microseconds with NULL_TIME."""

    tensor: str
    type: Type


def emit(expr: Expr, g: GraphBuilder, *, clean: bool = True) -> Value:
    """Add an expression to a graph; equal parts of expressions in one builder are computed once.

    The expression's columns become inputs. One without columns is repeated for every row of the builder's
    first raw column; in a builder that has none yet it has one row. Where not `clean`, a number that is null
    may be infinite instead of NaN: the caller applies the law.
    """
    e = Emitter(g, ROOMS)
    tensor = e.number(expr.node) if expr.type is Type.NUMBER and not clean else e.value(expr.node)
    if not expr.columns:
        tensor = _every_row(e, tensor)
    return Value(tensor, expr.type)


def compile_exprs(exprs: Mapping[str, Expr], prepares: Mapping[str, Prepare] | None = None) -> bytes:
    """An ONNX model with one output a name, in the order given. `prepares` says of text columns what is done
    to them before they enter."""
    g = GraphBuilder()
    inputs = {str(n.param): n.type for x in exprs.values() for n in _columns(x.node)}
    for name, kind in inputs.items():
        g.input(name, kind, (prepares or {}).get(name))
    for name, expr in exprs.items():
        g.output(emit(expr, g).tensor, name, INPUT_TYPES[expr.type], [None])
    return g.build()


def _columns(node: Node) -> list[Node]:
    return [n for n in walk(node) if n.op == "col"]


def _every_row(e: Emitter, tensor: str) -> str:
    like = e.g.rows_like()
    shape = e.g.constant([1], np.int64) if like is None else e.op("Shape", like)
    return e.op("Expand", tensor, shape)
