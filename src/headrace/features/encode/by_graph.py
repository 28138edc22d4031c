"""What an encoding's nodes answer, in training: so that nothing is written twice that could differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from headrace.core.schema import Type
from headrace.core.task import Feature
from headrace.features.encoder import Columns, Inputs
from headrace.graph.build import GraphBuilder
from headrace.graph.encode import encode_chunks
from headrace.graph.run import Runner

Emit = Callable[[GraphBuilder, Mapping[str, str]], str]
ROWS = 8_192
"""At once: texts of many words make wide tensors."""


def answered(emit: Emit, inputs: Inputs, dtype: int, width: int | None = None) -> list[NDArray[Any]]:
    """What nodes answer of these rows, a piece [rows, …] for each stretch of rows. `emit` adds them and names
    their tensor, of the ONNX type `dtype` and `width` columns (None: as many as the rows need)."""
    g = GraphBuilder()
    names = {text: f"x{i}" for i, text in enumerate(inputs)}
    for text, column in inputs.items():
        g.input(names[text], Type.TEXT if column.dtype == np.object_ else Type.NUMBER)
    g.output(emit(g, names), "made", dtype, [None, width])
    runner = Runner(g.build())
    feeds = {names[text]: column for text, column in inputs.items()}
    types = runner.inputs
    return [runner.run(part)["made"] for part, _ in encode_chunks(feeds, types, ROWS)]


@dataclass(frozen=True, eq=False)
class FittedByGraph(ABC):
    """A fitted encoding of which nodes are the one definition. inputs: of the rows that it was fitted on,
    which count as any others do."""

    features: tuple[Feature, ...]
    inputs: Inputs

    def own(self) -> Columns:
        """As any other rows'."""
        return self.values(self.inputs)

    def values(self, inputs: Inputs) -> Columns:
        """What the nodes answer."""
        parts = answered(self.emit, inputs, TensorProto.DOUBLE, len(self.features))
        return np.concatenate(parts).astype(np.float32)

    @abstractmethod
    def emit(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """See `FittedEncoder.emit`."""
