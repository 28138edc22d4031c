"""What a script's run logged: params, series of metrics, artifacts. One artifact a run, saved as it grows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.errors import UserError

Scalar = bool | int | float | str | None


@dataclass(frozen=True)
class Point:
    """A metric at a step. `value` is None where it was not finite; `seconds` since the run began."""

    step: int
    value: float | None
    seconds: float


@dataclass(frozen=True)
class Kept:
    """Something that was kept: its digest, its size in bytes, what it is (file, table, plot) and its name's
    ending."""

    digest: str
    size: int
    kind: str
    ending: str


@dataclass(frozen=True)
class Given:
    """A model that was given, and what it scored.

    graph: the digest of its ONNX bytes. codes: the classes' codes in the order of its columns. probe: its
    native scores of the probe rows; validation: of the validation rows. features: the digest of the feature
    graph that it was fitted behind.
    """

    name: str
    graph: str
    codes: tuple[int, ...]
    probe: str
    validation: str
    features: str


@dataclass(frozen=True)
class Tracked:
    """Everything that a script logged."""

    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    artifacts: Mapping[str, Kept] = field(default_factory=dict)
    model: Given | None = None

    def last(self) -> dict[str, float | None]:
        """The newest value of each metric."""
        return {n: points[-1].value for n, points in self.metrics.items() if points}


def scalar(name: str, value: Any) -> Scalar:
    """A value that a parameter may have; numpy's become Python's.

    Raises:
        UserError: it is none.
    """
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UserError(
        f"parameter {name!r} is a {type(value).__name__}",
        fix="log numbers, texts, true or false; keep anything else with log_artifact or log_table",
    )


def number(name: str, value: Any) -> float | None:
    """A metric's value; None where it is not finite.

    Raises:
        UserError: it is no number.
    """
    plain = scalar(name, value)
    if isinstance(plain, str) or plain is None:
        raise UserError(f"metric {name!r} is {value!r}, which is no number", fix="log a number")
    return float(plain) if math.isfinite(plain) else None
