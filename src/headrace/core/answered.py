"""An answer as the prediction log keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MODEL = "model"
"""What `Answered.by` is where the arm's own release answered."""


@dataclass(frozen=True)
class Answered:
    """One row's answer.

    id: of the prediction, unique, and greater than those of earlier milliseconds. time: when it was
    answered, microseconds since 1970 UTC. release: that gave the answer (empty: none did). arm: the role of
    the arm that the unit drew (champion, canary, treatment; shadow: nobody was given this answer). unit: what
    was drawn by (empty: the row itself). by: `model`, `rule: NAME`, or `fallback: champion|rule|value` and
    why. inputs: what was sent, by column, after the privacy policy of the release. answer: prediction,
    probability, lower, upper, set, as the caller had them. flags: what was odd about the inputs. took_us:
    from the first byte to the answer. review: whether a person is to look. of: a shadow's is the id of the
    answer that was returned. experiment: that the unit takes part in. features: a row of the matrix, where it
    is kept.
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
    experiment: str = ""
    features: tuple[float, ...] = field(default=())
