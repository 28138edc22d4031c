"""A finished project, and what it is exported as."""

from __future__ import annotations

from spine import clock, finished

__all__ = ["clock", "finished"]
