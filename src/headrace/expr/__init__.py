"""The expression language: SQL over one row, to ONNX and to DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.expr.functions import FUNCTIONS
from headrace.expr.nodes import Expr
from headrace.expr.parse import parse
from headrace.expr.to_sql import to_sql

if TYPE_CHECKING:
    from headrace.expr.to_onnx import Value
    from headrace.graph.build import GraphBuilder
    from headrace.graph.texts import Prepare

__all__ = ["FUNCTIONS", "Expr", "compile_exprs", "emit", "parse", "to_sql"]


def emit(expr: Expr, g: GraphBuilder, *, clean: bool = True) -> Value:
    """Add an expression to a graph: see `headrace.expr.to_onnx.emit`."""
    from headrace.expr import to_onnx  # onnx is not needed to parse

    return to_onnx.emit(expr, g, clean=clean)


def compile_exprs(exprs: Mapping[str, Expr], prepares: Mapping[str, Prepare] | None = None) -> bytes:
    """An ONNX model with one output a name: see `headrace.expr.to_onnx.compile_exprs`."""
    from headrace.expr import to_onnx  # onnx is not needed to parse

    return to_onnx.compile_exprs(exprs, prepares)
