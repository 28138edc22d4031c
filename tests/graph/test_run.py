"""The runner: loading, running, empty batches, graphs without inputs, threads, clear errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto

from headrace.core.errors import DataError, HeadraceError
from headrace.core.schema import Type
from headrace.graph.build import GraphBuilder
from headrace.graph.run import Runner


def doubling() -> bytes:
    b = GraphBuilder()
    x = b.input("x", Type.NUMBER)
    t = b.input("t", Type.TEXT)
    b.output(b.node("Add", x, x), "double", TensorProto.DOUBLE, [None])
    b.output(t, "text", TensorProto.STRING, [None])
    b.output(b.node("Unsqueeze", x, b.constant([1])), "matrix", TensorProto.DOUBLE, [None, 1])
    return b.build({"about": "doubling"})


def feeds(n: int) -> dict[str, np.ndarray]:
    return {"x": np.arange(float(n)), "t": np.array([str(i) for i in range(n)], dtype=object)}


def test_a_graph_says_what_it_takes_and_gives() -> None:
    runner = Runner(doubling())
    assert runner.inputs == {"x": Type.NUMBER, "t": Type.TEXT}
    assert runner.outputs == ("double", "text", "matrix")
    assert runner.metadata["about"] == "doubling"


def test_run_ignores_other_feeds(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(doubling())
    out = Runner(path).run({"other": np.zeros(3), **feeds(3)})
    assert out["double"].tolist() == [0, 2, 4]
    assert out["text"].tolist() == ["0", "1", "2"]
    assert out["matrix"].shape == (3, 1)


def test_one_tensor_under_two_names_and_read_on() -> None:
    b = GraphBuilder()
    double = b.node("Add", b.input("x", Type.NUMBER), "x")
    b.output(double, "first", TensorProto.DOUBLE, [None])
    b.output(double, "second", TensorProto.DOUBLE, [None])
    b.output(b.node("Neg", double), "less", TensorProto.DOUBLE, [None])
    model = b.build()
    assert b.build() == model
    assert [n.op_type for n in onnx.load_from_string(model).graph.node] == ["Add", "Neg", "Identity"]
    out = Runner(model).run({"x": np.array([1.0, 2.0])})
    assert {n: v.tolist() for n, v in out.items()} == {"first": [2, 4], "second": [2, 4], "less": [-2, -4]}


def test_a_lookup_tells_null_from_unknown() -> None:
    b = GraphBuilder()
    words = b.lookup(b.input("s", Type.TEXT), ["\x00", "", "é"], [1, 2, 3], -1)
    numbers = b.lookup(b.input("x", Type.NUMBER), [np.nan, np.inf, 0.0], [1, 2, 3], np.nan)
    times = b.lookup(b.input("t", Type.TIME), [-(2**63), 5], [1, 2], -1)
    for name, tensor in (("words", words), ("numbers", numbers), ("times", times)):
        b.output(tensor, name, TensorProto.DOUBLE, [None])
    out = Runner(b.build()).run(
        {
            "s": np.array(["\x00", "", "é", "e"], dtype=object),
            "x": np.array([np.nan, np.inf, -0.0, 7.0]),
            "t": np.array([-(2**63), 5, 6, 0]),
        }
    )
    assert out["words"].tolist() == [1, 2, 3, -1]
    assert out["numbers"][:3].tolist() == [1, 2, 3] and np.isnan(out["numbers"][3])
    assert out["times"].tolist() == [1, 2, -1, -1]


def test_an_empty_batch_gives_empty_outputs() -> None:
    out = Runner(doubling()).run(feeds(0))
    assert {n: (v.shape, v.dtype) for n, v in out.items()} == {
        "double": ((0,), np.float64),
        "text": ((0,), object),
        "matrix": ((0, 1), np.float64),
    }
    assert list(Runner(doubling()).run_batches([feeds(0)])) == []


def test_batches_are_cut_and_kept_in_order() -> None:
    runner = Runner(doubling())
    table = pa.table({"x": np.arange(7.0), "t": ["a"] * 7, "more": range(7)})
    for batches in ([table, feeds(2)], iter([table.to_batches()[0], feeds(2)])):
        parts = list(runner.run_batches(batches, rows=3))
        assert [len(p["double"]) for p in parts] == [3, 3, 1, 2]
        assert np.concatenate([p["double"] for p in parts]).tolist() == [0, 2, 4, 6, 8, 10, 12, 0, 2]


def test_a_graph_without_inputs_gives_every_row() -> None:
    b = GraphBuilder()
    b.output(b.constant([2.5]), "y", TensorProto.DOUBLE, [None])
    b.output(b.constant([[1.0, 2.0]]), "m", TensorProto.DOUBLE, [None, 2])
    runner = Runner(b.build())
    assert runner.run({}, 3)["y"].tolist() == [2.5, 2.5, 2.5]
    assert runner.run({"x": np.zeros(2)})["m"].tolist() == [[1, 2], [1, 2]]
    assert [p["m"].shape for p in runner.run_batches([pa.table({"z": range(5)})], rows=4)] == [(4, 2), (1, 2)]
    with pytest.raises(ValueError, match="n_rows"):
        runner.run({})


def test_threads_share_a_runner() -> None:
    runner = Runner(doubling(), threads=2)
    with ThreadPoolExecutor(4) as pool:
        sums = list(pool.map(lambda n: runner.run(feeds(n))["double"].sum(), range(200)))
    assert sums == [n * (n - 1) for n in range(200)]


def test_misfitting_feeds_are_all_named() -> None:
    runner = Runner(doubling())
    with pytest.raises(DataError) as caught:
        runner.run({"x": np.zeros(2, np.float32), "y": np.zeros(2)})
    assert [(p.where, p.what) for p in caught.value.problems] == [
        ("x", "expected float64 with 1 axes, found float32 with 1"),
        ("t", "the graph's input is missing"),
    ]
    with pytest.raises(DataError) as caught:
        runner.run({**feeds(2), "x": np.zeros((2, 1))})
    assert caught.value.problems[0].what == "expected float64 with 1 axes, found float64 with 2"
    # onnxruntime would broadcast a single value over the others in silence
    with pytest.raises(DataError, match="t: expected 2 rows, found 1"):
        runner.run({"x": np.zeros(2), "t": np.array(["a"], dtype=object)})


def test_no_graph(tmp_path: Path) -> None:
    path = tmp_path / "gone.onnx"
    with pytest.raises(DataError, match=r"gone\.onnx: onnxruntime can't load this model graph"):
        Runner(path)
    for junk in (b"", b"junk", doubling()[:-40]):
        with pytest.raises(DataError, match="can't load this model graph"):
            Runner(junk)


def test_a_failing_graph_is_our_fault() -> None:
    b = GraphBuilder()
    x = b.input("x", Type.NUMBER)
    b.output(b.node("Reshape", x, b.constant([2])), "y", TensorProto.DOUBLE, [None])
    with pytest.raises(HeadraceError, match="the model graph failed") as caught:
        Runner(b.build()).run({"x": np.zeros(3)})
    assert type(caught.value) is HeadraceError
