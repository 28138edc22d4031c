"""Drop, hash or mask columns. The same functions treat a source's columns and a request's fields.

- `hash`: HMAC-SHA256 (FIPS 198-1) of the value's text under a secret key, its first 128 bits in hexadecimal.
  Equal values have equal hashes, so that a hashed column can still join, group and split. The text of a
  number is its shortest decimal form (3 and 3.0 are one), of a time its UTC microseconds.
- `mask`: letters become x, digits 0; all else stays. With a length, every value is cut or filled to it.

Null stays null. Needs numpy and pyarrow alone.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.lazy import lazily
from headrace.core.schema import Column, Type
from headrace.graph.buffers import Array, fixed, known, texts

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = lazily("pyarrow")
    pc = lazily("pyarrow.compute")

HASH_LENGTH = 32
_LETTERS, _DIGITS = r"[\p{L}\p{M}]", r"\p{N}"


@dataclass(frozen=True)
class Treatment:
    """What becomes of one column: drop, hash, mask or keep. `length` is that of every masked value (None:
    as long as it was)."""

    do: str
    why: str = ""
    length: int | None = None

    @property
    def changes(self) -> bool:
        """Whether values are replaced."""
        return self.do in ("hash", "mask")


@dataclass(frozen=True)
class Redaction:
    """The treatments of one table's columns, by name; `key` is the secret of hashes, empty where only the
    columns' types matter."""

    columns: Mapping[str, Treatment] = field(default_factory=dict)
    key: bytes = field(default=b"", repr=False)

    def drops(self, name: str) -> bool:
        """Whether the column is left out."""
        return name in self.columns and self.columns[name].do == "drop"

    def changes(self, name: str) -> bool:
        """Whether the column's values are replaced (and so are text afterwards)."""
        return name in self.columns and self.columns[name].changes

    def column(self, column: Column) -> Column:
        """The column as it is afterwards."""
        if not self.changes(column.name):
            return column
        return Column(column.name, Type.TEXT, column.source_type, before=column.type)

    def apply(self, name: str, values: Array) -> Array:
        """A column's values after its treatment (as they are where it has none)."""
        if not self.changes(name):
            return values
        return treat(values, self.columns[name], self.key)

    def table(self, table: pa.Table) -> pa.Table:
        """A table with every treatment done: dropped columns gone, changed ones text."""
        nested = {f.name for f in table.schema if pa.types.is_nested(f.type)}  # no column of a snapshot
        names = [n for n in table.column_names if not (self.drops(n) or (self.changes(n) and n in nested))]
        arrays = [
            pa.chunked_array([self.apply(n, c) for c in table.column(n).chunks], pa.string())
            if self.changes(n)
            else table.column(n)
            for n in names
        ]
        return pa.table(arrays, names=names)


def type_before(kind: pa.DataType) -> Type | None:
    """The headrace type of values of an Arrow type; None for nulls and what has no place in headrace."""
    t = pa.types
    if t.is_dictionary(kind):
        return type_before(kind.value_type)
    if t.is_boolean(kind):
        return Type.BOOL
    if t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
        return Type.NUMBER
    if t.is_timestamp(kind) or t.is_date(kind):
        return Type.TIME
    return Type.TEXT if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind) else None


def treat(values: Array, how: Treatment, key: bytes) -> Array:
    """An array of any type as text: hashed or masked."""
    words = _as_text(values)
    return _masked(words, how.length) if how.do == "mask" else _hashed(words, key)


def treat_one(value: Any, kind: Type, how: Treatment, key: bytes) -> str | None:
    """A request's value, of the type that the column had in its source; times as UTC microseconds."""
    if value is None:
        return None
    text = value if kind is Type.TEXT else _number_text(value)
    return mask_text(text, how.length) if how.do == "mask" else hash_text(text, key)


def hash_text(text: str, key: bytes) -> str:
    """The keyed hash of a text: 32 hexadecimal digits."""
    return hmac.digest(key, text.encode(), hashlib.sha256)[: HASH_LENGTH // 2].hex()


def mask_text(text: str, length: int | None = None) -> str:
    """The shape of a text.

    >>> mask_text("Ada.Lovelace+1@Example.org"), mask_text("Ada", 8)
    ('xxx.xxxxxxxx+0@xxxxxxx.xxx', 'xxxxxxxx')
    """
    shape = "".join(_shape(c) for c in text)
    return shape if length is None else shape[:length].ljust(length, "x")


def _shape(character: str) -> str:
    group = unicodedata.category(character)[0]
    return "x" if group in "LM" else "0" if group == "N" else character


def untreated(values: Array, how: Treatment) -> int:
    """How many of an array's texts lack the form that the treatment leaves."""
    if how.do == "hash":
        right = pc.match_substring_regex(values, f"^[0-9a-f]{{{HASH_LENGTH}}}$")
        count = int(np.count_nonzero(fixed(right) & known(right)))
        return len(values) - int(values.null_count) - count
    wrong = pc.match_substring_regex(values, r"[^x0\P{L}]|[^x0\P{M}]|[^0\P{N}]")
    count = int(np.count_nonzero(fixed(wrong) & known(wrong)))
    if how.length is None:
        return count
    off = pc.not_equal(pc.utf8_length(values), pa.scalar(how.length, pa.int32()))
    return count + int(np.count_nonzero(fixed(off) & known(off)))


def _masked(words: Array, length: int | None) -> Array:
    shapes = pc.replace_substring_regex(words, _LETTERS, "x")
    shapes = pc.replace_substring_regex(shapes, _DIGITS, "0")
    if length is None:
        return shapes
    return pc.utf8_rpad(pc.utf8_slice_codeunits(shapes, 0, length), width=length, padding="x")


def _hashed(words: Array, key: bytes) -> Array:
    """Each distinct value is hashed once."""
    coded: Any = words.dictionary_encode()
    hashes = pa.array(
        [None if t is None else hash_text(t, key) for t in texts(coded.dictionary)], pa.string()
    )
    return hashes.take(coded.indices)


def _as_text(values: Array) -> Array:
    """Values as the text that is hashed: `_number_text` of numbers, UTC microseconds of times."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _as_text(values.dictionary_decode())
    if pa.types.is_boolean(kind):
        return values.cast(pa.string())
    if pa.types.is_integer(kind):
        return values.cast(pa.string())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = values.cast(pa.float64())
        listed = zip(fixed(numbers).tolist(), known(numbers).tolist(), strict=True)
        return pa.array([_number_text(v) if k and np.isfinite(v) else None for v, k in listed], pa.string())
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp("us")).view(pa.int64()).cast(pa.string())
    if pa.types.is_date(kind):
        return _as_text(values.cast(pa.timestamp("s")).cast(pa.timestamp("us")))
    return values.cast(pa.string())


def _number_text(value: Any) -> str:
    """The shortest decimal form of a number; whole ones without a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else repr(value)
