"""One fault of a kind, planted into a clean world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .worlds import World, clean_worlds

Rng = np.random.Generator
LEAKS = frozenset({"target-copy", "known-later", "too-good"})


@dataclass(frozen=True, eq=False)
class Planted:
    """A world with a fault. `column` is what a finding has to name ("" for faults of the whole table)."""

    kind: str
    world: World
    column: str
    accepts: frozenset[str]


Plant = Callable[[Rng, World], "Planted | None"]


def clean(seed: int, housing: Path | None = None) -> World:
    """A world without a planted fault."""
    g = np.random.default_rng([seed, 1])
    makers = clean_worlds(housing)
    return makers[g.choice(sorted(makers))](g)


def draw(seed: int, more: Mapping[str, Plant] | None = None, housing: Path | None = None) -> Planted:
    """One plant: kind (of `KINDS` and `more`), world and place are drawn from the seed."""
    g = np.random.default_rng([seed, 2])
    known = {**KINDS, **(more or {})}
    kind = str(g.choice(sorted(known)))
    plant = known[kind]
    makers = clean_worlds(housing)
    while True:  # not every fault can live in every world
        made = plant(g, makers[str(g.choice(sorted(makers)))](g))
        if made is not None:
            return replace(made, kind=kind)


def with_column(world: World, name: str, values: NDArray[Any], accepts: frozenset[str] = LEAKS) -> Planted:
    """A further feature."""
    columns = {**world.columns, name: values}
    return Planted("", replace(world, columns=columns, features=(*world.features, name)), name, accepts)


def codes_of(world: World) -> NDArray[np.float64]:
    """The target as numbers."""
    y = world.columns[world.target]
    if world.task == "regression":
        return y.astype(np.float64)
    return np.unique(y.astype(str), return_inverse=True)[1].astype(np.float64)


def name_of(g: Rng) -> str:
    return str(g.choice(["score_2", "flag", "status_code", "amount_b", "field_7", "ref_value"]))


def copy(g: Rng, w: World) -> Planted | None:
    """The target under another name, now and then with nulls."""
    values = w.columns[w.target].copy()
    if values.dtype == bool:
        values = values.astype(np.float64)
    if g.random() < 0.5:
        gone = g.random(w.rows) < 0.05
        values = np.where(gone, None, values) if values.dtype == object else np.where(gone, np.nan, values)
    return with_column(w, name_of(g), values)


def near_copy(g: Rng, w: World) -> Planted | None:
    """The target with a little noise, or one label in fifty wrong."""
    codes = codes_of(w)
    if w.task == "regression":
        return with_column(w, name_of(g), codes + g.normal(0, 0.02 * codes.std(), w.rows))
    wrong = g.random(w.rows) < 0.02
    return with_column(w, name_of(g), np.where(wrong, g.permutation(codes), codes))


def renamed_classes(g: Rng, w: World) -> Planted | None:
    """The classes under other names."""
    if w.task == "regression":
        return None
    labels = np.array(g.permutation([f"k{i}" for i in range(40)]), object)
    return with_column(w, name_of(g), labels[codes_of(w).astype(int)])


def later_moment(g: Rng, w: World) -> Planted | None:
    """A moment after the event, from which the outcome can be read."""
    if w.time is None:
        return None
    codes = codes_of(w)
    minutes = 5 + 60 * codes + g.gamma(2, 4, w.rows)
    after = w.columns[w.time] + (minutes * 60e6).astype("timedelta64[us]")
    columns = {**w.columns, "closed_at": after, "minutes_open": minutes}
    made = replace(w, columns=columns, features=(*w.features, "minutes_open"))
    return Planted("", made, "minutes_open", LEAKS)


def group_mean(g: Rng, w: World) -> Planted | None:
    """A category's mean of the target over all rows, these rows' own among them, for tiny categories."""
    codes = codes_of(w)
    if w.rows < 800 or w.task == "multiclass":
        return None
    cell = g.integers(0, w.rows // 2, w.rows)
    sums = np.bincount(cell, codes, minlength=w.rows)
    counts = np.bincount(cell, minlength=w.rows)
    return with_column(w, "cell_rate", sums[cell] / counts[cell])


def repeated_rows(g: Rng, w: World) -> Planted | None:
    """Rows of train again in validation."""
    train, other = np.flatnonzero(w.part == "train"), np.flatnonzero(w.part == "validation")
    many = max(8, int(len(other) * g.uniform(0.05, 0.3)))
    if w.split != "random" or many > min(len(other), len(train)):
        return None
    to, of = g.choice(other, many, replace=False), g.choice(train, many, replace=False)
    columns = {n: v.copy() for n, v in w.columns.items()}
    for values in columns.values():
        values[to] = values[of]
    return Planted("", replace(w, columns=columns), "", frozenset({"crossing-rows"}))


def torn_groups(g: Rng, w: World) -> Planted | None:
    """A split by group whose groups stand on both sides."""
    if w.split != "group":
        return None
    part = w.part.copy()
    moved = g.random(w.rows) < g.uniform(0.05, 0.5)
    part[moved] = g.permutation(part[moved])
    return Planted("", replace(w, part=part), "", frozenset({"group-overlap"}))


def shuffled_time(g: Rng, w: World) -> Planted | None:
    """A split by time that was shuffled."""
    if w.split != "time":
        return None
    part = w.part.copy()
    moved = g.random(w.rows) < g.uniform(0.1, 1.0)
    part[moved] = g.permutation(part[moved])
    return Planted("", replace(w, part=part), "", frozenset({"time-shuffled"}))


def text_id(g: Rng, w: World) -> Planted | None:
    """An id as a category."""
    ids = g.permutation(w.rows * 3)[: w.rows]
    style = ["C-{:06d}", "{:x}", "user{}"][int(g.integers(3))]
    return with_column(
        w, str(g.choice(["customer_id", "code", "ref"])), objects([style.format(i) for i in ids]), ID
    )


def capped_target(g: Rng, w: World) -> Planted | None:
    """A quantity that was measured up to a limit."""
    if w.task != "regression":
        return None
    y = codes_of(w)
    share = g.uniform(0.03, 0.12)
    limits = np.quantile(y, [share, 1 - share])
    capped = np.minimum(y, limits[1]) if g.random() < 0.7 else np.maximum(y, limits[0])
    columns = {**w.columns, w.target: capped}
    return Planted("", replace(w, columns=columns), "", frozenset({"capped-target"}))


def lone_category(g: Rng, w: World) -> Planted | None:
    """Values of a category that stand in one row each."""
    names = [f for f in w.features if w.columns[f].dtype == object]
    train = np.flatnonzero(w.part == "train")
    if not names:
        return None
    name = str(g.choice(names))
    values = w.columns[name].copy()
    for i, row in enumerate(g.choice(train, int(g.integers(1, 4)), replace=False)):
        values[row] = f"zz_{i}"
    return Planted("", replace(w, columns={**w.columns, name: values}), name, frozenset({"rare-category"}))


def rescaled(g: Rng, w: World) -> Planted | None:
    """From the validation rows on, a number in another unit."""
    names = [f for f in w.features if w.columns[f].dtype == float and np.nanstd(w.columns[f]) > 0]
    name = str(g.choice(names))
    values = w.columns[name].copy()
    later = w.part != "train"
    spread, middle = np.nanstd(values), np.nanmean(values)
    if abs(middle) < spread / 2:
        values[later] += 1.5 * spread
    else:
        values[later] *= float(g.choice([2.54, 0.4, 1.6, 100.0]))
    return Planted("", replace(w, columns={**w.columns, name: values}), name, frozenset({"skew"}))


def gone_missing(g: Rng, w: World) -> Planted | None:
    """From the validation rows on, a column that is mostly null."""
    names = [f for f in w.features if w.columns[f].dtype == float and np.nanstd(w.columns[f]) > 0]
    name = str(g.choice(names))
    values = w.columns[name].copy()
    values[(w.part != "train") & (g.random(w.rows) < g.uniform(0.4, 0.9))] = np.nan
    return Planted("", replace(w, columns={**w.columns, name: values}), name, frozenset({"skew"}))


def imbalanced(g: Rng, w: World) -> Planted | None:
    """Two positives in a hundred, measured by accuracy."""
    if w.task != "binary":
        return None
    codes = codes_of(w)
    positives = np.flatnonzero(codes == 1)
    keep_n = int(g.uniform(0.015, 0.04) * np.sum(codes == 0))
    if keep_n < 12:
        return None
    kept = np.sort(np.r_[np.flatnonzero(codes == 0), g.choice(positives, keep_n, replace=False)])
    columns = {n: v[kept] for n, v in w.columns.items()}
    made = replace(w, columns=columns, part=w.part[kept], metric="accuracy")
    return Planted("", made, "", frozenset({"imbalance"}))


def objects(values: list[str]) -> NDArray[Any]:
    made = np.empty(len(values), object)
    made[:] = values
    return made


ID = frozenset({"id"})
_ALL = (
    copy,
    near_copy,
    renamed_classes,
    later_moment,
    group_mean,
    repeated_rows,
    torn_groups,
    shuffled_time,
    text_id,
    capped_target,
    lone_category,
    rescaled,
    gone_missing,
    imbalanced,
)
KINDS: Mapping[str, Plant] = {f.__name__: f for f in _ALL}
"""The kinds that may be looked at while a linter is tuned."""
