"""The scalars that the spec's models are made of: sizes, shares, durations, rules; and their base."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from headrace.core.clock import parse_duration
from headrace.core.errors import UserError
from headrace.core.evidence import parse_rule
from headrace.core.goal import parse_goal, parse_limit

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(kB|KB|MB|GB)\s*")
_SIZES = {"kB": 1_000, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def parse_size(text: str) -> int:
    """Read a size in bytes such as `200 MB`. Raises ValueError where the text is none."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size; write a number and kB, MB or GB, such as '200 MB'")
    return round(float(match[1]) * _SIZES[match[2]])


def parse_share(text: str) -> float:
    """Read `15%` as 0.15. Raises ValueError where the text is no percentage between 0 and 100."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text)
    if match is None or not 0 < float(match[1]) < 100:
        raise ValueError(f"{text!r} is no share; write a percentage such as '15%'")
    return float(match[1]) / 100


_RATE = re.compile(r"\s*(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?\s*(?:/|an?|per)\s*(s|min|h|hour|day|week)\s*")
_SECONDS = {"s": 1, "min": 60, "h": 3_600, "hour": 3_600, "day": 86_400, "week": 604_800}


def split_rate(text: str) -> tuple[float, int]:
    """Read `5,000 / day` as a number and the seconds that it is for. Raises ValueError where the text is no
    rate above zero."""
    match = _RATE.fullmatch(text)
    number = float(match[1].replace(",", "") + (match[2] or "")) if match else 0.0
    if match is None or number <= 0:
        raise ValueError(
            f"{text!r} is no rate; write a number and s, min, h, day or week, such as '1,000 / day'"
        )
    return number, _SECONDS[match[3]]


def parse_rate(text: str) -> float:
    """Read `5,000 / day` as a number a second. Raises ValueError where the text is no rate above zero.

    >>> parse_rate("120 / min")
    2.0
    """
    number, seconds = split_rate(text)
    return number / seconds


def _rate(text: str) -> str:
    parse_rate(text)
    return text


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def _size(text: str) -> str:
    parse_size(text)
    return text


def _amount(value: str | float) -> str | float:
    if isinstance(value, str):
        if value.strip().endswith("%"):
            parse_share(value)
        else:
            parse_duration(value)
    elif not 0 < value < 1:
        raise ValueError(f"{value!r} is no share; write one between 0 and 1, or a percentage such as '15%'")
    return value


def _moment(text: str) -> str:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise ValueError(f"{text!r} is no moment; write one with its offset, such as '2026-01-31T00:00:00Z'")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write one such as 'UTC' or 'Europe/Berlin'") from None
    return name


def _rule(text: str) -> str:
    try:
        parse_rule(text)
    except UserError as error:
        raise ValueError(f"{error.problems[0].what}; {error.problems[0].fix}") from None
    return text


def _limit(text: str) -> str:
    try:
        parse_limit(text)
    except UserError as error:
        raise ValueError(f"{error.problems[0].what}; {error.problems[0].fix}") from None
    return text


def _goal(text: str) -> str:
    try:
        parse_goal(text)
    except UserError as error:
        told = [p.what for p in error.problems]
        raise ValueError(f"{', '.join(told)}; {error.problems[0].fix}") from None
    return text


def shape_of(value: Any) -> str:
    """The tag of a value that may be written short or as a mapping."""
    return "mapping" if isinstance(value, dict | BaseModel) else "plain"


Duration = Annotated[str, AfterValidator(_duration), Field(examples=["60 min", "14 days"])]
Size = Annotated[str, AfterValidator(_size), Field(examples=["200 MB"])]
Amount = Annotated[str | float, AfterValidator(_amount), Field(examples=["15%", "14 days"])]
Moment = Annotated[str, AfterValidator(_moment), Field(examples=["2026-01-31T00:00:00Z"])]
Zone = Annotated[str, AfterValidator(_zone), Field(examples=["UTC", "America/New_York"])]
Rate = Annotated[str, AfterValidator(_rate), Field(examples=["50 / s", "1,000 / day"])]
RuleText = Annotated[str, AfterValidator(_rule), Field(examples=[">= 0.95"])]
LimitText = Annotated[str, AfterValidator(_limit), Field(examples=[">= 0.95", "<= 0.8 * today"])]
GoalText = Annotated[str, AfterValidator(_goal), Field(examples=["minimise fpr subject to recall >= 0.95"])]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_\-]*$")]
Level = Annotated[float, Field(gt=0, lt=1, examples=[0.9])]


class Model(BaseModel):
    """Base of the spec's models: frozen, no unknown key, no silent coercion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
