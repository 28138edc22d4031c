"""Joining graphs: same numbers as one after the other, names, metadata, opsets, refusals."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from headrace.core.schema import Type
from headrace.graph.build import GraphBuilder
from headrace.graph.join import join
from headrace.graph.run import Runner


def features() -> bytes:
    b = GraphBuilder()
    columns = [b.input("x", Type.NUMBER), b.input("a/z", Type.NUMBER)]
    wide = [b.node("Unsqueeze", c, b.constant([1])) for c in columns]
    matrix = b.node("Cast", b.node("Concat", *wide, axis=1), to=TensorProto.FLOAT)
    b.output(matrix, "features", TensorProto.FLOAT, [None, 2])
    b.output(b.node("Neg", columns[0]), "minus", TensorProto.DOUBLE, [None])
    return b.build({"features": "[x, z]"})


def model(width: int = 2, extra: Type | None = None) -> bytes:
    b = GraphBuilder()
    m = b.matrix_input("features", width)
    total = b.node("ReduceSum", m, b.constant([1]), keepdims=0)
    if extra is not None:
        total = b.node("Add", total, b.node("Cast", b.input("x", extra), to=TensorProto.FLOAT))
    b.output(total, "sum", TensorProto.FLOAT, [None])
    return b.build({"model": "sum"})


FEEDS = {"x": np.array([1.0, 2.0]), "a/z": np.array([10.0, np.nan])}
EDGE = {"features": "features"}


def test_a_joined_graph_is_one_after_the_other() -> None:
    middle = Runner(features()).run(FEEDS)
    last = Runner(model()).run({"features": middle["features"]})["sum"]
    joined = Runner(join(features(), model(), edges=EDGE))
    assert joined.outputs == ("sum",)
    assert joined.inputs == {"x": Type.NUMBER, "a/z": Type.NUMBER}
    np.testing.assert_array_equal(joined.run(FEEDS)["sum"], last)


def test_outputs_to_keep_and_a_raw_column_that_both_read() -> None:
    joined = Runner(join(features(), model(extra=Type.NUMBER), edges=EDGE, keep=["features", "minus"]))
    assert joined.outputs == ("features", "minus", "sum")
    out = joined.run(FEEDS)
    assert out["minus"].tolist() == [-1, -2]
    assert out["sum"][0] == 12.0
    assert out["features"].shape == (2, 2)


def step(into: str, out: str) -> bytes:
    b = GraphBuilder()
    x = b.matrix_input(into, 1)
    b.output(b.node("Add", x, x), out, TensorProto.FLOAT, [None, 1])
    return b.build()


def test_joining_again_and_again() -> None:
    ends = join(step("p", "q"), step("q", "r"), edges={"q": "q"})
    both = join(ends, join(step("p", "q"), step("q", "s"), edges={"q": "q"}), edges={"r": "p"}, keep=["r"])
    out = Runner(join(step("o", "p"), both, edges={"p": "p"})).run({"o": np.array([[1.0]], np.float32)})
    assert {n: v.tolist() for n, v in out.items()} == {"r": [[8.0]], "s": [[32.0]]}


def test_metadata_of_both_is_carried_on() -> None:
    meta = Runner(join(features(), model(), edges=EDGE, metadata={"release": "r1"})).metadata
    assert meta == {
        "features": "[x, z]",
        "model": "sum",
        "release": "r1",
        "type:x": "number",
        "type:a/z": "number",
    }


def test_joining_is_deterministic() -> None:
    assert join(features(), model(), edges=EDGE) == join(features(), model(), edges=EDGE)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="first graph has no output 'nope'"):
        join(features(), model(), edges={"nope": "features"})
    with pytest.raises(ValueError, match="second graph has no input 'nope'"):
        join(features(), model(), edges={"features": "nope"})
    with pytest.raises(ValueError, match=r"gives float\[\?, 2\], 'features' takes float\[\?, 3\]"):
        join(features(), model(3), edges=EDGE)
    with pytest.raises(ValueError, match=r"gives double\[\?\], 'features' takes float\[\?, 2\]"):
        join(features(), model(), edges={"minus": "features"})
    with pytest.raises(ValueError, match="both graphs read 'x'"):
        join(features(), model(extra=Type.TIME), edges=EDGE)
    with pytest.raises(ValueError, match="share the name"):
        join(features(), _renamed_output(model(), "x"), edges=EDGE)
    with pytest.raises(ValueError, match="no output"):
        join(features(), model(), edges=EDGE, keep=["gone"])
    with pytest.raises(ValueError, match="metadata"):
        join(features(), _with_metadata(model(), "features", "other"), edges=EDGE)


def _renamed_output(graph: bytes, name: str) -> bytes:
    proto = onnx.load_from_string(graph)
    proto.graph.output[0].name = name
    proto.graph.node[-1].output[0] = name
    return bytes(proto.SerializeToString())


def _with_metadata(graph: bytes, key: str, value: str) -> bytes:
    proto = onnx.load_from_string(graph)
    proto.metadata_props.add(key=key, value=value)
    return bytes(proto.SerializeToString())


def _with_opsets(graph: bytes, *opsets: tuple[str, int]) -> bytes:
    proto = onnx.load_from_string(graph)
    del proto.opset_import[:]
    proto.opset_import.extend(helper.make_opsetid(d, v) for d, v in opsets)
    return bytes(proto.SerializeToString())


def test_opset_lists_that_differ_are_brought_together() -> None:
    # converters list a domain twice, leave one out, or use an older one
    other = _with_opsets(model(), ("ai.onnx.ml", 1), ("", 18), ("", 20))
    joined = join(features(), other, edges=EDGE)
    proto = onnx.load_from_string(joined)
    assert {o.domain: o.version for o in proto.opset_import} == {"": 20, "ai.onnx.ml": 5}
    assert Runner(joined).run(FEEDS)["sum"][0] == 11.0


def test_an_operator_that_is_gone_holds_the_opset_back() -> None:
    tree = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["sum"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0],
        nodes_nodeids=[0],
        nodes_featureids=[0],
        nodes_values=[0.0],
        nodes_modes=["LEAF"],
        nodes_truenodeids=[0],
        nodes_falsenodeids=[0],
        target_treeids=[0],
        target_nodeids=[0],
        target_ids=[0],
        target_weights=[4.5],
    )
    graph = helper.make_graph(
        [tree],
        "t",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    second = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    joined = join(features(), second, edges=EDGE)
    assert {o.domain: o.version for o in onnx.load_from_string(joined).opset_import}["ai.onnx.ml"] == 4
    assert Runner(joined).run(FEEDS)["sum"].tolist() == [[4.5], [4.5]]


def test_bodies_of_loops_see_renamed_tensors() -> None:
    info = helper.make_tensor_value_info
    yes = helper.make_graph(
        [helper.make_node("Neg", ["features"], ["y_yes"])], "yes", [], [info("y_yes", 1, None)]
    )
    no = helper.make_graph(
        [helper.make_node("Identity", ["features"], ["y_no"])], "no", [], [info("y_no", 1, None)]
    )
    nodes = [
        helper.make_node(
            "Constant", [], ["cond"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True])
        ),
        helper.make_node("If", ["cond"], ["y"], then_branch=yes, else_branch=no),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [info("features", TensorProto.FLOAT, [None, 2])],
        [info("y", TensorProto.FLOAT, [None, 2])],
    )
    second = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    joined = Runner(join(features(), second.SerializeToString(), edges=EDGE))
    assert joined.run(FEEDS)["y"][0].tolist() == [-1.0, -10.0]
