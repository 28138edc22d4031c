"""The gate `represents`: the training rows' groups against the declared population."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.core.evidence import Evidence, Interval, Rule
from headrace.core.schema import Type
from headrace.data.population import Represented, names_of, represent
from headrace.engine.checking.data import population_of
from headrace.engine.columns import evaluate
from headrace.engine.context import Context

_SHOWN = 4


def represents(
    ctx: Context, path: Path, types: Mapping[str, Type], train: NDArray[np.int64], units: NDArray[np.int64]
) -> list[Evidence]:
    """One evidence an entry of `data.population`, measured on the rows `train` of the events at `path`;
    `units` [rows] are the split's independent units."""
    wanted = ctx.spec.data.population
    if not wanted:
        return []
    parsed = {text: population_of(text, types, ctx.zone) for text in wanted}
    values = evaluate(parsed, path, types)
    return [
        _evidence(
            text,
            represent(names_of(values[text][train], parsed[text].type), units[train], entry.shares),
        )
        for text, entry in wanted.items()
    ]


def _evidence(text: str, found: Represented) -> Evidence:
    worst, interval = found.shares[0], found.interval
    if interval is not None and worst.difference < 0:
        interval = Interval(-interval.high, -interval.low, interval.level)
    told = [
        f"{s.group}: {s.observed:.1%} of the training rows, {s.declared:.1%} declared"
        for s in found.shares[:_SHOWN]
    ]
    missing = [s.group for s in found.shares if not s.rows]
    unknown = [s.group for s in found.shares if not s.declared]
    told += [f"no row of {', '.join(missing[:_SHOWN])}"] if missing else []
    told += [f"not declared: {', '.join(unknown[:_SHOWN])}"] if unknown else []
    return Evidence(
        f"represents: {text}",
        found.largest,
        unit="largest difference of a share",
        n=found.units,
        interval=interval,
        where="; ".join(told),
        details={"shares": [[s.group, s.observed, s.declared, s.rows] for s in found.shares[:100]]},
    )


def represents_rules(ctx: Context) -> dict[str, Rule]:
    """Each entry's `within`."""
    return {f"represents: {t}": Rule("<=", entry.within) for t, entry in ctx.spec.data.population.items()}
