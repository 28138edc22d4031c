"""What is told of features: what they are, whether they are used, what they gain, how their values lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from headrace.core.codec import to_plain
from headrace.core.spec.lock import Gain


@dataclass(frozen=True)
class Spread:
    """How a column of the feature matrix lies over the training rows of a run.

    missing: the share of nulls. Of a number `quantiles` are those of `LEVELS`, `edges` and `counts` a
    histogram (one edge more than counts). Of a category `values` are the most frequent with their shares.
    """

    column: str
    kind: str
    rows: int
    missing: float
    mean: float | None = None
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    values: tuple[tuple[str, float], ...] = ()


LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class FeatureTold:
    """A feature of the spec or of its lock, or a proposal that was not kept.

    state: named (in the spec), kept or pinned (in the lock), dropped. form: expression, history, neighbours,
    encoding, function, or what kind of proposal it is. type: of its values, where the tables could be read.
    measured: what it gained when it was tried. risk: of leakage, with the reason. why: it was dropped.
    spreads: its columns in the newest run that has them. releases: those that use this definition, the
    oldest first.
    """

    name: str
    form: str
    type: str
    source: tuple[str, ...]
    state: str
    definition: str
    description: str
    owner: str
    risk: str
    measured: Gain | None = None
    why: str = ""
    spreads: tuple[Spread, ...] = ()
    run: str = ""
    releases: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        measured = self.measured.model_dump(mode="json") if self.measured is not None else None
        return {**to_plain(replace(self, measured=None)), "measured": measured}
