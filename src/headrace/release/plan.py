"""How a release wants to be served: what the spec says under `serve`, resolved. Part of the manifest.

Read where answers are given, so plain numbers and digests only: no pydantic, nothing to parse.
"""

from __future__ import annotations

from dataclasses import dataclass

Answer = str | float | bool | None


@dataclass(frozen=True)
class InputPolicy:
    """What becomes of odd values: reject, flag or default."""

    missing: str = "reject"
    unknown: str = "reject"
    range: str = "flag"
    unseen: str = "flag"


@dataclass(frozen=True)
class PlannedRule:
    """A rule around the model. graph: the artifact of the graph that computes its condition from raw columns
    (and, after the model, `prediction` and `probability`)."""

    name: str
    graph: str
    answer: Answer


@dataclass(frozen=True)
class PlannedFallback:
    """An answer without a release. graph: the artifact of a rule's graph; empty: `value` is the answer."""

    text: str
    graph: str = ""
    value: Answer = None


@dataclass(frozen=True)
class LogPlan:
    """What is kept of every answer."""

    mode: str = "buffered"
    window_us: int = 100_000
    full: str = "shed"
    keep_us: int | None = None
    subject: str = ""
    features: bool = False


@dataclass(frozen=True)
class CanaryPlan:
    """The ramp and its guardrails."""

    ramp: tuple[float, ...] = (0.05, 0.25, 0.5, 1.0)
    bake_us: int = 3_600_000_000
    guardrails: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All of it. p50_us, p99_us and throughput (a second) are targets; None: none is stated."""

    unit: str = ""
    p50_us: int | None = None
    p99_us: int | None = None
    throughput: float | None = None
    replicas: int | None = None
    deadline_us: int = 1_000_000
    queue: int = 1024
    rows: int = 10_000
    body: int = 32_000_000
    inputs: InputPolicy = InputPolicy()
    before: tuple[PlannedRule, ...] = ()
    after: tuple[PlannedRule, ...] = ()
    fallback: tuple[PlannedFallback, ...] = ()
    log: LogPlan = LogPlan()
    canary: CanaryPlan = CanaryPlan()
