"""Slices that are expressions: their values in logged rows, as the release's own graph of them gives them."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.errors import DataError
from headrace.core.schema import Type
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner
from headrace.graph.zones import Zone
from headrace.summary.coding import raw
from headrace.summary.counts import Counter
from headrace.watch.chunks import Chunk


@dataclass(frozen=True, eq=False)
class Slicer:
    """runner: gives the values, in the order of the bins that `counter` has. looked_up: columns that the
    server fills in; all others are sent. clocks: the zone of times without an offset."""

    runner: Runner
    counter: Counter
    looked_up: Set[str]
    clocks: Zone

    def codes(self, chunk: Chunk) -> NDArray[np.uint8]:
        """The codes of the values, uint8 [rows, expressions]. A value of another type than its column's is
        null to an expression, as one that is missing is.

        Raises:
            HeadraceError: the graph failed.
        """
        feeds = {name: self._fed(chunk, name, kind) for name, kind in self.runner.inputs.items()}
        values = self.runner.run(feeds, chunk.rows).values()
        return self.counter.codes(dict(zip(self.counter.bins.names, values, strict=True)), chunk.rows)

    def _fed(self, chunk: Chunk, name: str, kind: Type) -> NDArray[Any]:
        part = "filled" if name in self.looked_up else "input"
        values = chunk.values(part, name, kind, self.clocks.name)
        if isinstance(values, np.ndarray):
            return values
        if isinstance(values, pa.Array | pa.ChunkedArray):
            try:
                return encode_batch(pa.table({name: values}), {name: kind})[name]
            except DataError:  # of another type: one by one
                values = values.to_pylist()
        return raw([None] * chunk.rows if values is None else values, kind, self.clocks)[0]
