"""Immutable bytes under their digest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Artifact:
    """Bytes that never change. `digest` is their hex SHA-256, `size` their length in bytes.

    What an artifact was made from is recorded once, in the `stage.finished` event that made it.
    """

    digest: str
    size: int
