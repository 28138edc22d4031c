"""Join two model graphs end to end: features to model, model to calibration, and so to one graph.

`onnx.compose.merge_models` refuses graphs whose lists of opsets differ in any way and keeps no metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import onnx
from onnx import helper

from headrace.graph.build import IR

_Rename = Callable[[str], str]


def join(
    first: bytes,
    second: bytes,
    *,
    edges: Mapping[str, str],
    metadata: Mapping[str, str] | None = None,
    keep: Collection[str] = (),
) -> bytes:
    """One graph that feeds outputs of `first` into inputs of `second` (`edges`: output -> input).

    Its inputs are those of `first`, then the inputs of `second` that no edge feeds; an input that both read
    under one name is one input. Its outputs are those of `second`, before them the outputs of `first` named
    in `keep`. Tensors inside get prefixes, so that nothing collides. The metadata of both is carried on,
    below `metadata`.

    Raises:
        ValueError: an edge that doesn't exist or joins tensors of different type or shape, colliding names,
            metadata of both that disagrees, or operators that no one opset list can hold.
    """
    one, two = onnx.load_from_string(first), onnx.load_from_string(second)
    _check_edges(one, two, edges)
    fed = {value: key for key, value in edges.items()}
    raw = {i.name: i for i in one.graph.input}
    extra = [i for i in two.graph.input if i.name not in fed]
    for value in extra:
        if value.name in raw and _signature(raw[value.name]) != _signature(value):
            raise ValueError(f"both graphs read {value.name!r}, but not as the same type")
    kept = [o for o in one.graph.output if o.name in set(keep)]
    if len(kept) != len(set(keep)):
        raise ValueError(f"the first graph has no output {sorted(set(keep) - {o.name for o in kept})}")
    inputs = [*one.graph.input, *(i for i in extra if i.name not in raw)]
    outputs = [*kept, *two.graph.output]
    _check_names([v.name for v in [*inputs, *outputs]])

    public = {v.name for v in [*inputs, *outputs]}
    rename_first = _renamer("a/", {v.name: v.name for v in [*one.graph.input, *kept]}, public)
    second_fixed = {v.name: v.name for v in [*extra, *two.graph.output]}
    second_fixed.update({into: rename_first(out) for into, out in fed.items()})
    rename_second = _renamer("b/", second_fixed, public)
    _rename_graph(one.graph, rename_first)
    _rename_graph(two.graph, rename_second)

    graph = helper.make_graph(
        [*one.graph.node, *two.graph.node],
        "headrace",
        inputs,
        outputs,
        [*one.graph.initializer, *two.graph.initializer],
        sparse_initializer=[*one.graph.sparse_initializer, *two.graph.sparse_initializer],
    )
    model = helper.make_model(
        graph,
        opset_imports=_common_opsets(one, two),
        producer_name="headrace",
        ir_version=max(IR, one.ir_version, two.ir_version),
        functions=[*one.functions, *two.functions],
    )
    helper.set_model_props(model, _metadata(one, two, dict(metadata or {}), set(fed)))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _check_edges(one: onnx.ModelProto, two: onnx.ModelProto, edges: Mapping[str, str]) -> None:
    outputs, inputs = {o.name: o for o in one.graph.output}, {i.name: i for i in two.graph.input}
    if len(set(edges.values())) != len(edges):
        raise ValueError("two edges end at one input")
    for source, target in edges.items():
        if source not in outputs:
            raise ValueError(f"the first graph has no output {source!r}; it has {sorted(outputs)}")
        if target not in inputs:
            raise ValueError(f"the second graph has no input {target!r}; it has {sorted(inputs)}")
        out, into = _signature(outputs[source]), _signature(inputs[target])
        fits = out[0] == into[0] and len(out[1]) == len(into[1])
        if not fits or any(a != b for a, b in zip(out[1], into[1], strict=True) if None not in (a, b)):
            raise ValueError(f"{source!r} gives {_shown(out)}, {target!r} takes {_shown(into)}")


def _check_names(names: list[str]) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"inputs and outputs of the joined graph would share the name {twice}")


def _signature(value: onnx.ValueInfoProto) -> tuple[int, list[int | None]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]


def _shown(signature: tuple[int, list[int | None]]) -> str:
    shape = ", ".join("?" if d is None else str(d) for d in signature[1])
    return f"{onnx.TensorProto.DataType.Name(signature[0]).lower()}[{shape}]"


def _renamer(prefix: str, fixed: Mapping[str, str], public: Collection[str]) -> _Rename:
    while any(name.startswith(prefix) for name in public):
        prefix = "/" + prefix
    # An empty name is an optional input left out.
    return lambda name: fixed.get(name, prefix + name) if name else name


def _rename_graph(graph: onnx.GraphProto, rename: _Rename) -> None:
    """Rename tensors and nodes, also inside the bodies of If, Loop and Scan, which see the outer names."""
    for value in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        value.name = rename(value.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = rename(sparse.values.name)
    for node in graph.node:
        if node.name:
            node.name = rename(node.name)
        node.input[:] = [rename(n) for n in node.input]
        node.output[:] = [rename(n) for n in node.output]
        for body in _bodies(node):
            _rename_graph(body, rename)


def _bodies(node: onnx.NodeProto) -> Iterable[Any]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _operators(graph: onnx.GraphProto) -> set[tuple[str, str]]:
    found = set()
    for node in graph.node:
        found.add((node.domain, node.op_type))
        for body in _bodies(node):
            found |= _operators(body)
    return found


def _common_opsets(one: onnx.ModelProto, two: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    """The newest opset of each domain in which every operator means what it meant in its own graph."""
    mine, other = _opsets(one), _opsets(two)
    chosen = {}
    for domain in mine.keys() | other.keys():
        versions = [v[domain] for v in (mine, other) if domain in v]
        if len(set(versions)) == 1:
            chosen[domain] = versions[0]
            continue
        used = [
            (op, opsets[domain])
            for model, opsets in ((one, mine), (two, other))
            for where, op in _operators(model.graph)
            if _domain(where) == domain
        ]
        fitting = [
            version
            for version in range(min(versions), max(versions) + 1)
            if all(_schema(op, domain, own) == _schema(op, domain, version) for op, own in used)
        ]
        if not fitting:
            raise ValueError(
                f"opsets {versions} of {domain or 'ai.onnx'!r} can't be joined: an operator changed"
            )
        chosen[domain] = fitting[-1]
    return [helper.make_opsetid(domain, version) for domain, version in sorted(chosen.items())]


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    # Converters list a domain twice; the later and higher one counts.
    found: dict[str, int] = {}
    for opset in model.opset_import:
        domain = _domain(opset.domain)
        found[domain] = max(found.get(domain, 0), opset.version)
    return found


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _schema(op: str, domain: str, version: int) -> int:
    schema = onnx.defs.get_schema(op, max_inclusive_version=version, domain=domain)
    return -1 if schema.deprecated else int(schema.since_version)


def _metadata(
    one: onnx.ModelProto, two: onnx.ModelProto, over: dict[str, str], fed: set[str]
) -> dict[str, str]:
    gone = {f"type:{name}" for name in fed}
    mine = {p.key: p.value for p in one.metadata_props}
    other = {p.key: p.value for p in two.metadata_props if p.key not in gone}
    clash = sorted(k for k in mine.keys() & other.keys() if mine[k] != other[k] and k not in over)
    if clash:
        raise ValueError(f"both graphs carry metadata {clash}, but not the same: say which in `metadata`")
    return dict(sorted({**mine, **other, **over}.items()))
