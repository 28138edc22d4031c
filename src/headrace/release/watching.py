"""What is watched of a release, resolved: all that a tick needs, so that it reads manifests and no spec.

Spans and times are microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HealthBounds:
    """What the service keeps to, by window. p99_us: all but one in a hundred answers come within this (None:
    no target was stated). errors: share of answers that no release could give; fallback: share that something
    else than the arm's release gave. silent_us: no answer for so long is a fault (None: not watched)."""

    p99_us: int | None = None
    errors: float = 0.01
    fallback: float = 0.05
    silent_us: int | None = None


@dataclass(frozen=True)
class Prices:
    """Declared prices, in `unit`: of an hour of a serving process, of a prediction, of a review. per_1000:
    what 1,000 predictions may cost (None: not watched)."""

    machine_hour: float = 0.0
    prediction: float = 0.0
    review: float = 0.0
    per_1000: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class WatchPlan:
    """All of it.

    reference, rows: the artifacts of `summary.reference.Reference` and `ReferenceRows`. window_us: length of
    a window; window_rows: or how many answers it is (None: by time). least: windows with fewer are judged
    together with the next. labels_us: how long after its answer a label may come. zone: in which windows
    begin. budget: false alarms a month (of 30.4375 days). cool_down_us: the same thing is not told again
    within this. keep_us: how long counts are kept. off: families of checks that are not run. ignore: raw
    columns that may change. slices: what is watched apart: columns, and expressions that `graph` gives the
    values of (outputs `=TEXT`; empty: there are none). not_sliced: slices that can't be watched, and why.
    fair: columns whose groups have to be treated alike. worth: what each outcome of a decision is worth, in
    `worth_unit` (empty: nothing was stated).
    """

    reference: str
    rows: str
    window_us: int = 86_400_000_000
    window_rows: int | None = None
    least: int = 100
    labels_us: int = 86_400_000_000
    zone: str = "UTC"
    budget: float = 1.0
    cool_down_us: int = 86_400_000_000
    keep_us: int = 400 * 86_400_000_000
    off: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    graph: str = ""
    not_sliced: Mapping[str, str] = field(default_factory=dict)
    fair: tuple[str, ...] = ()
    worth: Mapping[str, float] = field(default_factory=dict)
    worth_unit: str = ""
    health: HealthBounds = HealthBounds()
    prices: Prices | None = None

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The digests of what it needs."""
        return tuple(d for d in (self.reference, self.rows, self.graph) if d)
