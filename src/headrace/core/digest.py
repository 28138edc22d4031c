"""Content names: canonical JSON and SHA-256, with a format version.

An artifact is named by the SHA-256 of its bytes alone, so that `sha256sum FILE` agrees with headrace.
A record (spec, stage key, event) is named by the SHA-256 of its canonical JSON behind a versioned prefix.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

FORMAT = b"headrace/1\n"
_encode = msgspec.json.Encoder(order="sorted").encode


def canonical(value: Any) -> bytes:
    """Canonical JSON: keys sorted, no spaces, UTF-8, shortest floats. NaN and infinity become null."""
    return _encode(value)


def digest(value: Any) -> str:
    """The name of a record: hex SHA-256 of its canonical JSON behind the format's version."""
    return hashlib.sha256(FORMAT + _encode(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """The name of an artifact: hex SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """`digest_bytes` of a file's content, read in blocks (bounded memory)."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
