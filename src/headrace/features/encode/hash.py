"""One of so many buckets for each value, by a hash that needs no vocabulary: a value never seen has one, too.

MurmurHash3 x86 32 bits with seed 0 (Appleby; public domain) of the text's UTF-8 bytes, or of the number's
eight bytes, modulo the number of buckets: what scikit-learn's `murmurhash3_32` gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import FIRST_CODE, MISSING, Feature, FeatureKind, Task
from headrace.expr.nodes import Expr
from headrace.features.encode.by_graph import FittedByGraph
from headrace.features.encoder import Inputs
from headrace.graph.build import RUNTIME, GraphBuilder


@dataclass(frozen=True)
class HashEncoder:
    """`encode: hash`. One category whose values are the buckets' numbers, from 0; null is missing."""

    name: str
    inputs: Mapping[str, Expr]
    size: int
    supervised: bool = False

    def fit(
        self,
        inputs: Inputs,
        y: NDArray[np.float64],
        *,
        units: NDArray[np.int64],
        task: Task,
        seed: int,
    ) -> FittedHash:
        """Learns nothing: hashes these rows."""
        del y, units, task, seed
        ((text, expr),) = self.inputs.items()
        feature = Feature(
            self.name,
            FeatureKind.CATEGORY,
            tuple(str(i) for i in range(self.size)),
            f"hash of {text}, {self.size} buckets",
        )
        return FittedHash((feature,), inputs, expr.type is Type.TEXT, self.size)


@dataclass(frozen=True, eq=False)
class FittedHash(FittedByGraph):
    """Buckets of a text, or of a number."""

    is_text: bool
    size: int

    def emit(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """onnxruntime's own operator."""
        (tensor,) = inputs.values()
        if not self.is_text:
            # Minus zero is zero. (Adding zero would do, but an optimizer takes that for nothing.)
            zero = builder.constant(0.0, np.float64)
            tensor = builder.node("Where", builder.node("Equal", tensor, zero), zero, tensor)
        found = builder.node("MurmurHash3", tensor, domain=RUNTIME, positive=1)
        whole = builder.node("Cast", found, to=TensorProto.INT64)
        bucket = builder.node("Mod", whole, builder.constant(self.size, np.int64))
        code = builder.node("Add", bucket, builder.constant(FIRST_CODE, np.int64))
        if self.is_text:
            missing = builder.node("Equal", tensor, builder.constant(NULL_TEXT))
        else:
            missing = builder.node("IsNaN", tensor)
        told = builder.node("Where", missing, builder.constant(MISSING, np.int64), code)
        column = builder.node("Reshape", told, builder.constant([-1, 1], np.int64))
        return builder.node("Cast", column, to=TensorProto.DOUBLE)
