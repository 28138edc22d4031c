"""What is done to a raw text before it enters a graph: space trimmed, times read by a format.

ONNX has no exact operator for either. So a graph says in its metadata, under `prepare:NAME`, what its input
NAME expects, and `graph.run.Runner`, which training, parity and serving all go through, does it. Needs numpy
alone: serving imports it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.graph.zones import Zone

SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What trimming takes away at both ends: Unicode's White_Space."""

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

DIRECTIVES: Mapping[str, tuple[str, str]] = {
    "Y": ("[0-9]{4}", "year, four digits"),
    "y": ("[0-9]{2}", "year, two digits: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068"),
    "m": ("1[0-2]|0[1-9]|[1-9]", "month, one or two digits"),
    "b": ("|".join(m[:3] for m in _MONTHS), "month, English, three letters in any case"),
    "B": ("|".join(_MONTHS), "month, English, in full in any case"),
    "d": ("3[01]|[12][0-9]|0[1-9]|[1-9]", "day of the month, one or two digits"),
    "H": ("2[0-3]|[01][0-9]|[0-9]", "hour, 0 to 23"),
    "I": ("1[0-2]|0[1-9]|[1-9]", "hour, 1 to 12, with %p"),
    "p": ("am|pm", "AM or PM in any case"),
    "M": ("[0-5][0-9]|[0-9]", "minute"),
    "S": ("[0-5][0-9]|[0-9]", "second"),
    "f": ("[0-9]{1,6}", "fraction of a second, one to six digits"),
    "a": ("|".join(d[:3] for d in _DAYS), "day of the week, English, three letters: read over"),
    "A": ("|".join(_DAYS), "day of the week, English, in full: read over"),
    "z": ("z|[+-][0-9]{2}:?[0-5][0-9]", "offset from UTC: Z, +0100 or +01:00"),
}
"""What a format may hold: its pattern and its meaning. Everything else stands for itself, `%%` for `%`."""

_PIVOT = 69
_EPOCH = datetime(1970, 1, 1)
_MICRO = timedelta(microseconds=1)


@dataclass(frozen=True)
class Prepare:
    """How a raw text becomes a graph's input: a text, or (with `parse`, a format) a time.

    A time without an offset is wall-clock time of `zone`: the earlier moment where clocks show it twice, the
    end of the gap where they never show it, as ingest and requests have it.
    """

    trim: bool = False
    parse: str = ""
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises ValueError for a format that can't be read."""
        if self.parse:
            format_pattern(self.parse)

    @property
    def type(self) -> Type:
        """The type of what comes out."""
        return Type.TIME if self.parse else Type.TEXT

    @property
    def plain(self) -> str:
        """As it stands in a graph's metadata."""
        return json.dumps({"trim": self.trim, "parse": self.parse, "zone": self.zone}, sort_keys=True)

    @classmethod
    def of(cls, plain: str) -> Prepare:
        """`plain` undone."""
        return cls(**json.loads(plain))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Texts (object [rows], `NULL_TEXT` for null) as the graph takes them: the same, or int64
        microseconds with `NULL_TIME`. A text of nothing but space is null once trimmed; so is one that
        doesn't follow the format."""
        texts = values.tolist()
        distinct = dict.fromkeys(texts)
        if self.trim:
            trimmed = {t: t if t == NULL_TEXT else t.strip(SPACE) or NULL_TEXT for t in distinct}
            texts = [trimmed[t] for t in texts]
            distinct = dict.fromkeys(texts)
        if not self.parse:
            made = np.empty(len(texts), dtype=object)
            made[:] = texts
            return made
        moments = dict(zip(distinct, self._moments(list(distinct)), strict=True))
        return np.array([moments[t] for t in texts], dtype=np.int64)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return format_pattern(self.parse)

    @cached_property
    def _zone(self) -> Zone:
        return Zone(self.zone)

    def _moments(self, texts: list[str]) -> list[int]:
        read = [_read(self._pattern, t) for t in texts]
        micros = np.array([NULL_TIME if r is None else r[0] for r in read], dtype=np.int64)
        local = np.array([r is not None and r[1] for r in read], dtype=np.bool_)
        if local.any():
            micros[local] = self._zone.to_utc(micros[local])
        found: list[int] = micros.tolist()
        return found


def format_pattern(text: str) -> re.Pattern[str]:
    """The pattern of a format such as `%d/%m/%Y`.

    Raises:
        ValueError: it holds a directive that is not among `DIRECTIVES`, one twice, no year, a day without a
            month, minutes without an hour, or `%I` and `%p` not together.
    """
    pattern, used, position = "", [], 0
    while position < len(text):
        letter = text[position]
        position += 1
        if letter != "%":
            pattern += re.escape(letter)
            continue
        directive = text[position : position + 1]
        position += 1
        if directive == "%":
            pattern += "%"
        elif directive in DIRECTIVES and directive:
            used.append(directive)
            pattern += f"(?P<{directive}>{DIRECTIVES[directive][0]})"
        else:
            raise ValueError(
                f"%{directive} is no part of a format; there are %{', %'.join(DIRECTIVES)} and %%"
            )
    _check_format(text, used)
    return re.compile(pattern, re.IGNORECASE | re.ASCII)


def _check_format(text: str, used: list[str]) -> None:
    twice = sorted({d for d in used if used.count(d) > 1})
    if twice:
        raise ValueError(f"{text!r} has %{twice[0]} twice")
    for group in ("Yy", "mbB", "HI"):
        both = [d for d in used if d in group]
        if len(both) > 1:
            raise ValueError(f"{text!r} has both %{both[0]} and %{both[1]}")
    have = set(used)
    if not have & {"Y", "y"}:
        raise ValueError(f"{text!r} has no year: write %Y or %y")
    if "d" in have and not have & {"m", "b", "B"}:
        raise ValueError(f"{text!r} has a day and no month")
    if have & {"M", "p"} and not have & {"H", "I"}:
        raise ValueError(f"{text!r} has minutes or %p and no hour")
    if ("S" in have and "M" not in have) or ("f" in have and "S" not in have):
        raise ValueError(f"{text!r} leaves out the minutes or the seconds")
    if ("I" in have) != ("p" in have):
        raise ValueError(f"{text!r} needs %I and %p together")


def _read(pattern: re.Pattern[str], text: str) -> tuple[int, bool] | None:
    """Microseconds since 1970, and whether they are wall-clock time; None where the text isn't so."""
    found = pattern.match(text)
    if found is None or found.end() != len(text):
        return None
    parts = {name: value.lower() for name, value in found.groupdict().items()}
    try:
        micros = (datetime(_year(parts), _month(parts), int(parts.get("d", 1))) - _EPOCH) // _MICRO
    except ValueError:
        return None  # the thirty-first of February, or the year 0
    seconds = _hour(parts) * 3600 + int(parts.get("M", 0)) * 60 + int(parts.get("S", 0))
    micros += seconds * 1_000_000 + int(parts.get("f", "0").ljust(6, "0"))
    if "z" not in parts:
        return micros, True
    return micros - _offset(parts["z"]) * 60_000_000, False


def _year(parts: Mapping[str, Any]) -> int:
    if "Y" in parts:
        return int(parts["Y"])
    short = int(parts["y"])
    return short + (1900 if short >= _PIVOT else 2000)


def _month(parts: Mapping[str, str]) -> int:
    if "m" in parts:
        return int(parts["m"])
    name = parts.get("b") or parts.get("B")
    return 1 if name is None else [m[:3] for m in _MONTHS].index(name[:3]) + 1


def _hour(parts: Mapping[str, str]) -> int:
    if "I" in parts:
        return int(parts["I"]) % 12 + (12 if parts["p"] == "pm" else 0)
    return int(parts.get("H", 0))


def _offset(text: str) -> int:
    """Minutes east of UTC."""
    if text == "z":
        return 0
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return -minutes if text[0] == "-" else minutes
