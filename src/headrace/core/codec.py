"""Frozen records to JSON and back. Types are checked on the way in."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def to_json(record: Any) -> bytes:
    """A record (frozen dataclass, or plain dicts and lists) as canonical JSON bytes."""
    return msgspec.json.encode(record, order="sorted")


def to_plain(record: Any) -> Any:
    """A record as plain dicts, lists, strings and numbers, ready for JSON."""
    return msgspec.to_builtins(record)


def from_json(data: bytes, kind: type[T]) -> T:
    """Read a record of type `kind`.

    Raises:
        msgspec.ValidationError: the bytes are no such record.
    """
    return msgspec.json.decode(data, type=kind)


def from_plain(value: Any, kind: type[T]) -> T:
    """`to_plain` undone. Raises `msgspec.ValidationError` where the value is no such record."""
    return msgspec.convert(value, type=kind)
