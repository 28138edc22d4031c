"""Build an ONNX graph, one node at a time.

Fixed at opset 20, ai.onnx.ml opset 5, IR 9: the newest that onnxruntime and onnxruntime-web both run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from headrace.core.schema import Type
from headrace.graph.texts import Prepare

OPSET, ML_OPSET, IR = 20, 5, 9

RUNTIME, RUNTIME_OPSET = "com.microsoft", 1
"""Operators that onnxruntime has beside ONNX's own."""

INPUT_TYPES = {
    Type.NUMBER: TensorProto.DOUBLE,
    Type.BOOL: TensorProto.DOUBLE,
    Type.TEXT: TensorProto.STRING,
    Type.TIME: TensorProto.INT64,
}
"""How a raw column enters a graph, as a vector [rows]: numbers and booleans (0, 1) as double with NaN for
null, text as string with `NULL_TEXT` for null, times as UTC
microseconds with `NULL_TIME` for null (both in `core.schema`)."""


class GraphBuilder:
    """Collects inputs, constants, nodes and outputs; `build` checks and serialises them.

    Equal constants are kept once. Not safe for use by several threads.
    """

    def __init__(self, prefix: str = "~") -> None:
        self._prefix = prefix
        self._count = 0
        self._inputs: dict[str, onnx.ValueInfoProto] = {}
        self._types: dict[str, Type | None] = {}
        self._prepares: dict[str, Prepare] = {}
        self._outputs: dict[str, onnx.ValueInfoProto] = {}
        self._sources: dict[str, str] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self.memo: dict[Any, Any] = {}
        """For emitters: what they made already, by what it means, so that equal work is done once."""

    def _name(self, hint: str) -> str:
        self._count += 1
        return f"{self._prefix}{hint}_{self._count}"

    def input(self, name: str, kind: Type, prepare: Prepare | None = None) -> str:
        """Declare the raw column `name` (once; again is the same tensor). Returns its tensor's name.

        With `prepare` callers send text, and whoever runs the graph makes of it what enters (of type
        `kind`): the metadata says so.
        """
        if name not in self._inputs:
            self._inputs[name] = helper.make_tensor_value_info(name, INPUT_TYPES[kind], [None])
            self._types[name] = kind
            if prepare is not None:
                self._prepares[name] = prepare
        return name

    def rows_like(self) -> str | None:
        """The tensor of some raw column, whose length is the number of rows; None before the first."""
        return next((name for name, kind in self._types.items() if kind is not None), None)

    def matrix_input(self, name: str, width: int, dtype: int = TensorProto.FLOAT) -> str:
        """Declare a matrix [rows, width] as input, float32 or of another type: where a model graph joins a
        feature graph."""
        self._inputs[name] = helper.make_tensor_value_info(name, dtype, [None, width])
        self._types[name] = None
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A constant tensor (numbers, bools; `dtype=object` or a list of str for text)."""
        if isinstance(value, str) or (isinstance(value, Sequence) and value and isinstance(value[0], str)):
            texts = [value] if isinstance(value, str) else list(value)
            shape: tuple[int, ...] = () if isinstance(value, str) else (len(texts),)
            key = ("str", shape, "\x01".join(texts).encode())
            if key not in self._constants:
                name = self._name("c")
                # field by field: make_tensor goes through numpy's bytes, which lose NULL_TEXT
                tensor = TensorProto(name=name, data_type=TensorProto.STRING, dims=shape)
                tensor.string_data.extend(t.encode() for t in texts)
                self._initializers.append(tensor)
                self._constants[key] = name
            return self._constants[key]
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._name("c")
            self._initializers.append(
                numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            )
            self._constants[key] = name
        return self._constants[key]

    def lookup(
        self, tensor: str, keys: Sequence[str | float], values: Sequence[float], default: float
    ) -> str:
        """Double: values[i] where the tensor is keys[i] (all texts, all int or all float; NaN equals NaN),
        else `default`."""
        found = TensorProto(name="keys", data_type=TensorProto.STRING, dims=[len(keys)])
        if isinstance(keys[0], str):
            found.string_data.extend(str(k).encode() for k in keys)
        else:
            found = numpy_helper.from_array(np.array(keys), "keys")
        return self.node(
            "LabelEncoder",
            tensor,
            domain="ai.onnx.ml",
            keys_tensor=found,
            values_tensor=numpy_helper.from_array(np.array(values, np.float64), "values"),
            default_tensor=numpy_helper.from_array(np.array([default], np.float64), "default"),
        )

    def node(self, op: str, *inputs: str, domain: str = "", hint: str = "", **attributes: Any) -> str:
        """Add a node with one output; returns the output tensor's name."""
        return self.nodes(op, *inputs, outputs=1, domain=domain, hint=hint, **attributes)[0]

    def nodes(
        self, op: str, *inputs: str, outputs: int, domain: str = "", hint: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs; returns the output tensors' names."""
        names = [self._name(hint or op.lower()) for _ in range(outputs)]
        self._nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names

    def output(self, tensor: str, name: str, dtype: int, shape: Sequence[int | None]) -> None:
        """Make a tensor an output of the graph under `name` (dtype: an onnx.TensorProto data type)."""
        self._sources[name] = tensor
        self._outputs[name] = helper.make_tensor_value_info(name, dtype, list(shape))

    def _named(self) -> list[onnx.NodeProto]:
        """The nodes, with their tensors called as the outputs that they are. What is an output already, an
        input or a constant is copied instead."""
        made = {name for node in self._nodes for name in node.output}
        names: dict[str, str] = {}
        copies = []
        for name, tensor in self._sources.items():
            if tensor in made and tensor not in names:
                names[tensor] = name
            else:
                copies.append(helper.make_node("Identity", [names.get(tensor, tensor)], [name]))
        nodes = []
        for node in self._nodes:
            renamed = onnx.NodeProto()
            renamed.CopyFrom(node)
            renamed.input[:] = [names.get(n, n) for n in node.input]
            renamed.output[:] = [names.get(n, n) for n in node.output]
            nodes.append(renamed)
        return [*nodes, *copies]

    def build(self, metadata: Mapping[str, str] | None = None) -> bytes:
        """The serialised model, checked by onnx. Input types of raw columns travel in its metadata."""
        graph = helper.make_graph(
            self._named(),
            "headrace",
            list(self._inputs.values()),
            list(self._outputs.values()),
            self._initializers,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        if any(node.domain == RUNTIME for node in self._nodes):
            opsets.append(helper.make_opsetid(RUNTIME, RUNTIME_OPSET))
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            producer_name="headrace",
            ir_version=IR,
        )
        types = {f"type:{n}": t.value for n, t in self._types.items() if t is not None}
        types |= {f"type:{n}": Type.TEXT.value for n in self._prepares}
        types |= {f"prepare:{n}": p.plain for n, p in self._prepares.items()}
        helper.set_model_props(model, dict(sorted({**types, **dict(metadata or {})}.items())))
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
