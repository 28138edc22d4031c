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
    """A rule around the model: its name, its condition in words, and the prediction where that is true."""

    name: str
    text: str
    answer: Answer


@dataclass(frozen=True)
class RuleSet:
    """Rules in their order: the first that is true counts. graph: the artifact of the graph whose outputs
    `0`, `1`, … are their conditions (empty: there are no rules). reads: what it reads: raw columns and, after
    the model, `prediction`, `probability` (of the positive class, or of the predicted one), `lower`,
    `upper`."""

    rules: tuple[PlannedRule, ...] = ()
    graph: str = ""
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedFallback:
    """An answer without a release. graph: the artifact of the graph whose output `0` gives the prediction (a
    condition: of the positive class), from the events' own columns `reads`; empty: `value` is the answer."""

    text: str
    graph: str = ""
    value: Answer = None
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogPlan:
    """What is kept of every answer."""

    mode: str = "buffered"
    window_us: int = 100_000
    full: str = "shed"
    keep_us: int | None = None
    subject: str = ""


@dataclass(frozen=True)
class CanaryPlan:
    """The ramp and its guardrails."""

    ramp: tuple[float, ...] = (0.05, 0.25, 0.5, 1.0)
    bake_us: int = 3_600_000_000
    guardrails: tuple[str, ...] = ()


@dataclass(frozen=True)
class Speed:
    """How fast a release answers on the machine that promoted it: rows through the desk, from the bytes of a
    request to the bytes of its answer, without a socket. capacity: answers a second that one core can give.
    rows: in each request; requests: that were timed; sent: `recorded` traffic, or rows of `validation`."""

    p50_us: float
    p99_us: float
    capacity: float
    rows: int = 1
    requests: int = 0
    sent: str = "validation"


@dataclass(frozen=True)
class Plan:
    """All of it. p50_us, p99_us and throughput (a second) are targets; None: none is stated. replicas: as
    stated (None: as many as the throughput needs). speed: as measured before promotion (None: it was not).
    """

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
    before: RuleSet = RuleSet()
    after: RuleSet = RuleSet()
    fallback: tuple[PlannedFallback, ...] = ()
    log: LogPlan = LogPlan()
    canary: CanaryPlan = CanaryPlan()
    speed: Speed | None = None

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The digests of the graphs that it needs."""
        graphs = [self.before.graph, self.after.graph, *(f.graph for f in self.fallback)]
        return tuple(dict.fromkeys(g for g in graphs if g))
