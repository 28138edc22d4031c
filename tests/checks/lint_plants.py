"""Planted worlds as the linter's input, and whether a plant was found."""

from __future__ import annotations

from typing import Any

import numpy as np
from faults import Planted, World

from headrace.checks.lint import Column, Dataset, Finding, Unlabelled
from headrace.core.schema import NULL_TIME, Type
from headrace.core.task import Kind, Task

HOUR = 3_600_000_000


def column(name: str, values: Any) -> Column:
    """A world's column in the linter's convention."""
    values = np.asarray(values)
    if values.dtype.kind == "M":
        whole = values.astype("datetime64[us]")
        return Column(name, Type.TIME, np.where(np.isnat(whole), NULL_TIME, whole.astype(np.int64)))
    if values.dtype.kind in "OUS":
        return Column.of_text(name, values)
    kind = Type.BOOL if values.dtype.kind == "b" else Type.NUMBER
    return Column(name, kind, values.astype(np.float64))


def dataset(world: World, *, seed: int = 0) -> Dataset:
    """The training and validation rows of a world; rows without a target are counted aside."""
    columns = {n: column(n, v) for n, v in world.columns.items()}
    y = columns[world.target]
    use = (np.asarray(world.part) != "test") & ~y.null
    blank = y.null
    raw = [n for n in world.columns if n != world.target]
    task, codes = _task(world, y.at(use))
    times = columns[world.time].values if world.time else None
    group = columns[world.group] if world.group else None
    if world.split == "group" and group is not None:
        units = np.unique(group.at(use).values, return_inverse=True)[1]
    elif world.split == "time" and times is not None:
        units = times[use] // (24 * HOUR)
    else:
        units = np.arange(int(use.sum()))
    return Dataset(
        task,
        codes,
        (np.asarray(world.part) == "train")[use],
        units.astype(np.int64),
        tuple(columns[n].at(use) for n in world.features),
        tuple(columns[n].at(use) for n in raw),
        {n: (n,) for n in world.features},
        world.split,
        world.metric,
        None if times is None else times[use],
        None if times is None else times[use],
        None if group is None else group.at(use),
        Unlabelled(int(blank.sum()), {n: int((columns[n].null & blank).sum()) for n in raw}),
        seed=seed,
    )


def _task(world: World, y: Column) -> tuple[Task, Any]:
    if world.task == "regression":
        return Task(Kind.REGRESSION), y.values
    if y.type is Type.TEXT:
        order = np.argsort(y.levels, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return Task(Kind(world.task), tuple(y.levels[i] for i in order)), rank[y.values].astype(np.float64)
    classes, codes = np.unique(y.values, return_inverse=True)
    return Task(Kind(world.task), tuple(classes.tolist())), codes.astype(np.float64)


def hits(plant: Planted, findings: tuple[Finding, ...]) -> bool:
    """Whether a finding of an accepted family names the plant."""
    return any(f.kind in plant.accepts and (not plant.column or f.subject == plant.column) for f in findings)
