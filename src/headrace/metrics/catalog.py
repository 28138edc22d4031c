"""Every metric by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from headrace.core.errors import SpecError, did_you_mean
from headrace.core.task import Kind, Task
from headrace.metrics import binary, multiclass, regression
from headrace.metrics.record import Bools, Metric, Predictions, Support, every_row


def _registry() -> Mapping[str, Metric]:
    named = {m.name: m for m in binary.METRICS}
    for name, statistic in multiclass.SHARED.items():
        m = named[name]
        named[name] = replace(m, how={**m.how, Kind.MULTICLASS: statistic}, support=_support(m))
    for m in (*multiclass.METRICS, *regression.METRICS):
        named[m.name] = m
    return MappingProxyType(named)


def _support(m: Metric) -> Support:
    """The two-class support where there are two classes; every row where there are more."""

    def support(p: Predictions) -> list[Bools]:
        return m.support(p) if p.task.kind is Kind.BINARY else every_row(p)

    return support


METRICS: Mapping[str, Metric] = _registry()
"""Metrics by name. `value` is not among them: it is made by `value_metric` from what outcomes are worth."""

DEFAULT: Mapping[Kind, str] = MappingProxyType(
    {Kind.BINARY: "f1", Kind.MULTICLASS: "f1_macro", Kind.REGRESSION: "rmse"}
)
"""The metric of a task that declares none."""


def names(kind: Kind) -> tuple[str, ...]:
    """The names of metrics that fit a kind of task, `value` included where it does."""
    fitting = tuple(name for name, m in METRICS.items() if kind in m.how)
    return (*fitting, "value") if kind is Kind.BINARY else fitting


def metric(
    name: str, task: Task, *, value: Mapping[str, float] | None = None, unit: str = "", where: str = ""
) -> Metric:
    """The metric `name` for `task`. `value` says what each outcome is worth, in `unit`, for the metric
    named `value`.

    Raises:
        SpecError: no metric has that name, it does not fit the task, or `value` needs worths.
    """
    fitting = names(task.kind)
    if name == "value" and task.kind is Kind.BINARY:
        if value is None:
            raise SpecError(
                "metric 'value' needs to know what each outcome is worth",
                where=where,
                fix="add problem.value, such as {true_positive: 4.0, false_positive: -1.0, unit: USD}",
            )
        return binary.value_metric(value, unit=unit)
    if name in fitting:
        return METRICS[name]
    known = name in METRICS or name == "value"
    if known:
        raise SpecError(
            f"metric {name!r} does not fit a {task.kind} task",
            where=where,
            fix="choose from: " + ", ".join(fitting),
        )
    raise SpecError(
        f"no metric is named {name!r}",
        where=where,
        fix=f"{did_you_mean(name, fitting)} (a {task.kind} task has: {', '.join(fitting)})",
    )
