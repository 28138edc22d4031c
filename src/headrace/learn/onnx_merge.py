"""Copy the nodes of a converted model into a graph under construction."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper, numpy_helper

from headrace.graph.build import GraphBuilder
from headrace.learn.old_trees import emit_classifier, emit_regressor

_REWRITTEN = {"TreeEnsembleClassifier": emit_classifier, "TreeEnsembleRegressor": emit_regressor}


def merge(g: GraphBuilder, model: Any, tensor: str) -> list[str]:
    """Add the model's nodes behind `tensor`, which feeds its only input; its outputs' names, in order.

    Subgraphs (Scan, Loop, If) are copied as they stand: those that converters write read nothing from
    outside but their own inputs. Tree ensembles of older opsets are rewritten (see `old_trees`).

    Raises:
        ValueError: a tree ensemble can't be rewritten.
    """
    graph = model.graph
    names = {graph.input[0].name: tensor, "": ""}
    for initializer in graph.initializer:
        names[initializer.name] = _constant(g, initializer)
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = [names[i] for i in node.input]
        rewrite = _REWRITTEN.get(node.op_type) if node.domain == "ai.onnx.ml" else None
        if rewrite is not None:
            made = rewrite(g, inputs[0], attributes)
        else:
            made = g.nodes(node.op_type, *inputs, outputs=len(node.output), domain=node.domain, **attributes)
        names.update({old: new for old, new in zip(node.output, made, strict=True) if old})
    return [names[output.name] for output in graph.output]


def _constant(g: GraphBuilder, initializer: onnx.TensorProto) -> str:
    value = numpy_helper.to_array(initializer)
    if value.dtype.kind in "OSU":
        return g.constant([v.decode() if isinstance(v, bytes) else str(v) for v in value.ravel()])
    return g.constant(value)
