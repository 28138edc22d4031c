"""The record of a profile: plain values, to JSON and back."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.data.profile.blind import Part


@dataclass(frozen=True)
class TableProfile:
    """A table: `whose` rows were looked at (`train`, or `all`), and the parts that were seen from outside."""

    table: str
    whose: str
    rows: int
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Profile:
    """What the tables of a project hold."""

    tables: tuple[TableProfile, ...]
