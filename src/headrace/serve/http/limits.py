"""What a worker bears of its callers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a worker bears. Times are in seconds.

    waiting: requests that are being answered at once (more get 429). bytes: of all bodies that are held at
    once (more get 429). connections: more get 503. head: bytes of a request line and headers, and fields:
    how many headers (431). patience: for a head, and for a body beside a second for every `pace` bytes
    (408). idle: between requests. ahead: requests of a connection that wait for the one before. slow: for a
    reader to take an answer, beside a second for every `pace` bytes. linger: to read what still comes after
    an answer that ends the connection.
    """

    waiting: int = 1024
    bytes: int = 128_000_000
    connections: int = 4096
    head: int = 65_536
    fields: int = 100
    patience: float = 10.0
    pace: float = 65_536.0
    idle: float = 75.0
    ahead: int = 16
    slow: float = 30.0
    linger: float = 2.0
