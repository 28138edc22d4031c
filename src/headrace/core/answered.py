"""An answer as the prediction log keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MODEL = "model"
"""What `Answered.by` is where the arm's own release answered."""
INSTEAD = "fallback"
"""What `Answered.by` begins with where another had to answer; in brackets behind it is why."""
FAILED = ("error", "timeout", "circuit open")
"""What that reason begins with where the arm's own release failed: it raised, took too long, or was left
alone because it had done so again and again."""


class Answered(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One row's answer. Whoever hands one to the log changes neither it nor what is in it afterwards.

    id: of the prediction, unique, and greater than those of earlier milliseconds. time: when it was
    answered, microseconds since 1970 UTC. release: that gave the answer (empty: none did). arm: the role of
    the arm that the unit drew (champion, canary, treatment; shadow: nobody was given this answer). unit: what
    was drawn by (empty: the row itself). by: `model`, `rule: NAME`, or `fallback: champion|rule|value` and
    why. inputs: what was sent, by column, after the privacy policy of the release. answer: prediction,
    probability, lower, upper, set, as the caller had them. flags: what was odd about the inputs. took_us:
    from the first byte to the answer. review: whether a person is to look. of: a shadow's is the id of the
    answer that was returned. filled: raw columns that the server filled in, by name: what was looked up,
    histories, what functions of the release's gave, as they were at that moment; empty where nothing is.
    Features are not among them: the release computes the same from inputs and `filled` again.

    A struct and no dataclass: there is one for every row that is answered, and a frozen dataclass of as many
    fields takes fourteen times as long to make (5.6 µs against 0.4) and twice as long to encode.
    """

    id: str
    time: int
    route: str
    release: str
    arm: str
    unit: str
    by: str
    inputs: Mapping[str, Any]
    answer: Mapping[str, Any]
    flags: tuple[str, ...] = ()
    took_us: int = 0
    review: bool = False
    of: str = ""
    filled: Mapping[str, Any] = {}
