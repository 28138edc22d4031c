"""What every reader gives: a source as a stream of Arrow batches, with types that it had and positions
that people can find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from headrace.core.schema import Type
from headrace.data.times import Format


@dataclass(frozen=True)
class Raw:
    """An opened source. `formats` are the spellings of time that a text column's sample follows.

    `batches` may be asked for more than once, each time from the first row; it raises DataError where the
    source breaks, and `Retyped` where its types turn out to be others. `where` finds row `i` (from 0) for
    people: `flights.csv:18`. `name` is the source as messages call it. `redacted` are the columns whose
    personal data was treated before its rows were spooled to disk, with the types that they had.
    """

    name: str
    schema: pa.Schema
    formats: Mapping[str, tuple[Format, ...]]
    batches: Callable[[], Iterator[pa.RecordBatch]]
    where: Callable[[int], str]
    redacted: Mapping[str, Type] = field(default_factory=dict)


class Retyped(Exception):
    """The sample was too small to see a column's type: begin again with `raw`."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        super().__init__(raw.name)
