"""What `watch:` asks for, against the columns and the rest of the spec: every mistake before any work."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from headrace.core.clock import parse_duration
from headrace.core.errors import did_you_mean
from headrace.core.schema import Type
from headrace.engine.checking.checker import Checker
from headrace.engine.checking.evaluate import slice_expression


def check_watch(check: Checker, types: Mapping[str, Type]) -> None:
    """Columns and slices exist, spans are longer than nothing, prices have a currency.

    types: every raw column by the name that expressions use.
    """
    spec = check.parsed.spec
    watch = spec.watch
    zone = spec.data.zone or "UTC"
    for i, name in enumerate(watch.ignore):
        if name not in types:
            check.add(f"there is no column {name!r}", "watch", "ignore", i, fix=did_you_mean(name, types))
    for i, text in enumerate(watch.slices):
        expr = check.attempt(partial(slice_expression, text, types, zone), "watch", "slices", i)
        if (types.get(text) if text in types else expr.type if expr else None) == Type.TIME:
            check.add(
                f"slice {text!r} is a time, which has no groups",
                *("watch", "slices", i),
                fix=f"use parts of it, such as dayofweek({text}) or hour({text})",
            )
    for key in ("window", "keep"):
        if not parse_duration(getattr(watch, key)):
            check.add(f"watch.{key} is no time at all", "watch", key, fix="write a duration such as '1 day'")
    if parse_duration(watch.keep) < parse_duration(watch.window):
        check.add("counts are kept for less than a window", "watch", "keep", fix="keep them for some windows")
    _check_costs(check)


def _check_costs(check: Checker) -> None:
    """Prices have a currency, and what is bounded is made of something."""
    spec = check.parsed.spec
    costs = spec.watch.costs
    if costs is None:
        return
    if costs.per_1000 is not None and not (costs.machine_hour or costs.prediction or costs.review):
        check.add(
            "watch.costs.per_1000 bounds a cost that nothing adds to",
            *("watch", "costs", "per_1000"),
            fix="declare machine_hour, prediction or review",
        )
    if not costs.unit and spec.problem.value is None:
        check.add(
            "watch.costs has no currency",
            *("watch", "costs"),
            fix="write unit: EUR, or declare problem.value",
        )
