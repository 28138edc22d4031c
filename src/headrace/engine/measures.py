"""The metrics that a spec speaks of: which are measured, and which bars the test has to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headrace.core.evidence import Rule, parse_rule
from headrace.core.spec import Spec
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import metric, names
from headrace.metrics.record import Metric


@dataclass(frozen=True)
class Bar:
    """A metric that the test measures, and the rule it is held to (None: measured only)."""

    name: str
    metric: Metric
    rule: Rule | None
    main: bool

    @property
    def gate(self) -> str:
        """The judged name."""
        return f"ship-at: {self.name}"


def find_metric(spec: Spec, name: str) -> Metric:
    """A metric of the catalog, or `value` with the worth that the spec gives outcomes."""
    worth = spec.problem.value
    return metric(
        name,
        Task(Kind(spec.problem.task)),
        value=worth.model_dump(exclude={"unit"}) if worth else None,
        unit=worth.unit if worth else "",
    )


def metrics_of(spec: Spec) -> dict[str, Metric]:
    """Every metric that fits the task, the declared one first."""
    fitting = [n for n in names(Kind(spec.problem.task)) if n != "value" or spec.problem.value is not None]
    return {n: find_metric(spec, n) for n in dict.fromkeys([spec.problem.metric, *fitting])}


def bars_of(spec: Spec) -> tuple[Bar, ...]:
    """The declared metric, then every other that `ship_at` names."""
    main, ship_at = spec.problem.metric, spec.problem.ship_at
    rules: dict[str, Rule] = {}
    if isinstance(ship_at, Mapping):
        rules = {n: replace(parse_rule(r), safe_end=True) for n, r in ship_at.items()}
    elif ship_at is not None:
        op = ">=" if find_metric(spec, main).higher_is_better else "<="
        rules = {main: Rule(op, ship_at, safe_end=True)}
    wanted = dict.fromkeys([main, *rules])
    return tuple(Bar(n, find_metric(spec, n), rules.get(n), n == main) for n in wanted)
