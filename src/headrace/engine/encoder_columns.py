"""Where encoders are in a run's feature matrix, and what the spec says of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from headrace.core.codec import from_plain
from headrace.core.spec import Spec
from headrace.core.spec.features import EncodeFeature, NeighboursFeature
from headrace.engine.compile import Compiled
from headrace.engine.context import Made


@dataclass(frozen=True)
class EncoderColumns:
    """An encoder's place in the matrix: `count` columns from number `first` on. reads: the raw columns behind
    them. supervised: whether they were learned of the target. compared: training rows that the graph compares
    each row with."""

    name: str
    first: int
    count: int
    reads: tuple[str, ...]
    supervised: bool
    compared: int = 0


def declared_encoders(spec: Spec) -> dict[str, Any]:
    """What the spec says of its encoders, but for what is told of them: part of stages' keys."""
    return {
        n: f.model_dump(mode="json", exclude={"description", "owner"})
        for n, f in spec.feature_specs().items()
        if isinstance(f, EncodeFeature | NeighboursFeature)
    }


def encoder_columns(made: Made) -> tuple[EncoderColumns, ...]:
    """Where the encoders of a run are in its matrix."""
    return tuple(from_plain(e, EncoderColumns) for e in made["features"].facts.get("encoders", ()))


def learned_of(made: Made, features: Iterable[str]) -> frozenset[str]:
    """The columns of the matrix that encoders make, by name."""
    names = list(features)
    places = encoder_columns(made)
    return frozenset(n for e in places for n in names[e.first : e.first + e.count])


def reads_of(compiled: Compiled, made: Made, features: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The raw columns behind each column of the matrix, by name; none where it is not known."""
    names = list(features)
    found = {n: tuple(sorted(e.columns)) for n, e in compiled.features.items()}
    for encoder in encoder_columns(made):
        found |= dict.fromkeys(names[encoder.first : encoder.first + encoder.count], encoder.reads)
    return {n: found.get(n, ()) for n in names}
