"""Records to JSON and back."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import pytest

from headrace.core.codec import from_json, from_plain, to_json, to_plain
from headrace.core.evidence import Evidence, Interval, Outcome, Verdict


@dataclass(frozen=True)
class Part:
    name: str
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    by_name: Mapping[str, Part] = field(default_factory=dict)
    best: Part | None = None


WHOLE = Whole((Part("a", (1, 2)), Part("b")), {"é": Part("c")}, None)
VERDICT = Verdict(
    "g", "test", Outcome.FAIL, Evidence("g", 0.5, n=3, interval=Interval(0.1, 0.9)), ">= 1", "no"
)


@pytest.mark.parametrize("record", [WHOLE, VERDICT, Part("x")])
def test_records_come_back(record: object) -> None:
    kind = type(record)
    assert from_json(to_json(record), kind) == record
    assert from_plain(to_plain(record), kind) == record


def test_plain_is_plain() -> None:
    """The standard library's JSON can write it. Tuples stay tuples, which JSON writes as lists."""
    assert to_plain(WHOLE) == {
        "parts": ({"name": "a", "sizes": (1, 2)}, {"name": "b", "sizes": ()}),
        "by_name": {"é": {"name": "c", "sizes": ()}},
        "best": None,
    }
    assert json.loads(json.dumps(to_plain(WHOLE))) == json.loads(to_json(WHOLE))


def test_json_is_canonical() -> None:
    assert to_json({"b": 1, "a": Part("x", (1,))}) == b'{"a":{"name":"x","sizes":[1]},"b":1}'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"name": 1}', "Expected `str`, got `int` - at `$.name`"),
        (b'{"sizes": []}', "missing required field `name`"),
        (b'{"name": "a", "sizes": ["x"]}', "Expected `int`, got `str` - at `$.sizes[0]`"),
        (b"[]", "Expected `object`, got `array`"),
    ],
)
def test_types_are_checked_on_the_way_in(data: bytes, says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=re.escape(says)):
        from_json(data, Part)
    with pytest.raises(msgspec.ValidationError):
        from_plain(msgspec.json.decode(data), Part)


def test_what_is_no_json_at_all() -> None:
    with pytest.raises(msgspec.DecodeError):
        from_json(b"{", Part)
