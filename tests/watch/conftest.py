"""The projects of these tests."""

from spine import clock, finished, fresh

__all__ = ["clock", "finished", "fresh"]
