"""The encoders that a spec declares: which form is made by what."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.spec.features import EncodeFeature, FeatureSpec, NeighboursFeature
from headrace.expr.nodes import Expr
from headrace.features.encode.count import CountEncoder
from headrace.features.encode.hash import HashEncoder
from headrace.features.encode.target import TargetEncoder
from headrace.features.encode.tfidf import TfidfEncoder
from headrace.features.encoder import Encoder
from headrace.features.neighbours.encoder import NeighboursEncoder, asked_of
from headrace.features.neighbours.shared import Shared, shared_of

Inputs = Mapping[str, Mapping[str, Expr]]
"""By feature: what it reads of a row, by the text of the SQL expression."""


def encoders_of(specs: Mapping[str, FeatureSpec], inputs: Inputs) -> tuple[Encoder, ...]:
    """The encoders among a spec's features, by name. `inputs` are their expressions, typed."""
    near = {n: s.neighbours for n in inputs if isinstance(s := specs[n], NeighboursFeature)}
    shared = shared_of({n: asked_of(s) for n, s in near.items()})
    return tuple(_encoder(name, specs[name], read, shared) for name, read in sorted(inputs.items()))


def _encoder(
    name: str, spec: FeatureSpec, inputs: Mapping[str, Expr], shared: Mapping[str, Shared]
) -> Encoder:
    if isinstance(spec, EncodeFeature):
        match spec.encode:
            case "target":
                return TargetEncoder(name, inputs, spec.smooth)
            case "count":
                return CountEncoder(name, inputs)
            case "hash":
                return HashEncoder(name, inputs, spec.size)
            case "tfidf":
                return TfidfEncoder(name, inputs, spec.size)
    if isinstance(spec, NeighboursFeature):
        return NeighboursEncoder(name, inputs, asked_of(spec.neighbours), shared.get(name, Shared(1, 0)))
    raise ValueError(f"{name} is no encoder")
