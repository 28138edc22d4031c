"""Frames: entries in a row as bytes that tell whether they are whole.

A segment is `HEADER`, then frames. A frame is the mark `HRF1`, the length of its body and the body's CRC-32
(4 bytes each, little endian), then the body: a MessagePack list of entries, each a map of their fields.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.core.answered import Answered

HEADER = b"headrace log 1\n\0"
_MARK = b"HRF1"
_HEAD = struct.Struct("<4sII")
_DEEPEST = 16

_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
_decode = msgspec.msgpack.Decoder(list[Answered]).decode
_decode_one = msgspec.msgpack.Decoder(Answered).decode
_part = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def frame(entries: Sequence[Answered]) -> bytes:
    """Entries as one frame: it is read whole or not at all.

    What MessagePack can't hold is kept as near as can be: whole numbers beyond 64 bits as doubles or text,
    halves of surrogate pairs as `?`, other objects and what is nested too deeply as text.
    """
    try:
        body = _encode(entries)
    except (OverflowError, UnicodeEncodeError, TypeError, RecursionError):
        fields = Answered.__struct_fields__
        body = _encode([{f: _mended(getattr(e, f)) for f in fields} for e in entries])
    return _HEAD.pack(_MARK, len(body), zlib.crc32(body)) + body


def _mended(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, dict):
        return {str(_mended(k)): _mended(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(v, depth + 1) for v in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        try:
            return value if abs(value) < 1 << 63 else float(value)
        except OverflowError:
            return hex(value)  # str() refuses more than 4,300 digits
    return str(value)


@dataclass(frozen=True)
class Frame:
    """A whole frame: where its bytes end, and its entries."""

    end: int
    entries: list[Answered]


@dataclass(frozen=True)
class Gap:
    """Bytes from `start` to `end` that are no whole frame."""

    start: int
    end: int


def scan(data: bytes, start: int = 0) -> Iterator[Frame | Gap]:
    """The whole frames of bytes in their order. Bytes between or behind them are told as a gap: what was
    being written when a process died or the bytes were read, or damage."""
    at = start
    while at < len(data):
        found = _frame(data, at)
        if found is not None:
            yield found
            at = found.end
            continue
        behind = _next(data, at + 1)
        yield Gap(at, behind)
        at = behind


def written(data: bytes) -> bytes:
    """A segment's bytes without the room behind its last frame: zeros. All of them stay where bytes that are
    no frame keep from knowing which is the last."""
    end = len(data.rstrip(b"\0"))
    if end == len(data):
        return data
    at = len(HEADER)
    while at < end and data.startswith(_MARK, at) and len(data) - at >= _HEAD.size:
        at += _HEAD.size + _HEAD.unpack_from(data, at)[1]
    return data[:at] if end <= at <= len(data) else data


def every(data: bytes, start: int, step: int) -> Iterator[Answered]:
    """One entry in so many of the whole frames, the first of them first; the others are not decoded."""
    at, skip = start, 0
    while at < len(data):
        body = _body(data, at)
        try:
            parts = None if body is None else _part(body)
            if parts is not None:
                yield from map(_decode_one, parts[skip::step])
        except msgspec.DecodeError:  # of another version
            parts = None
        if body is None or parts is None:
            at = _next(data, at + 1)
            continue
        skip = (skip - len(parts)) % step
        at += _HEAD.size + len(body)


def _body(data: bytes, at: int) -> bytes | None:
    """The body of the frame at a place; None where there is none that is whole."""
    if len(data) - at < _HEAD.size:
        return None
    mark, length, crc = _HEAD.unpack_from(data, at)
    end = at + _HEAD.size + length
    if mark != _MARK or end > len(data):
        return None
    body = data[at + _HEAD.size : end]
    return body if zlib.crc32(body) == crc else None


def _frame(data: bytes, at: int) -> Frame | None:
    """The whole frame at a place; None where there is none."""
    body = _body(data, at)
    if body is None:
        return None
    try:
        return Frame(at + _HEAD.size + len(body), _decode(body))
    except msgspec.DecodeError:  # of another version
        return None


def _next(data: bytes, at: int) -> int:
    """Where the next whole frame begins, else the end."""
    while (at := data.find(_MARK, at)) >= 0:
        if _frame(data, at) is not None:
            return at
        at += 1
    return len(data)
