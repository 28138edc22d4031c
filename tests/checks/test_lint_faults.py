"""The linter against a generator of faults that was written apart from it.

A fifth of the kinds were set aside while the linter was tuned. In full: 200 plants over all kinds, at least
90% found; over clean tables at most 2% of the pairs of table and kind of finding are flagged.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from faults import KINDS as PLANTS
from faults import clean, clean_worlds, draw
from faults.heldout import HELD_OUT
from lint_plants import dataset, hits

from headrace.checks.lint import KINDS, lint

SHORT = 50
FULL = 200


def caught(seeds: range, housing: Path) -> tuple[Counter[str], Counter[str]]:
    """How many plants of each kind were drawn, and how many found."""
    drawn: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for seed in seeds:
        plant = draw(seed, more=HELD_OUT, housing=housing)
        drawn[plant.kind] += 1
        told[plant.kind] += hits(plant, lint(dataset(plant.world, seed=seed)))
    return drawn, told


def flagged(seeds: range, housing: Path) -> tuple[int, int, list[str]]:
    """Flagged pairs of clean table and kind, pairs examined, and what was flagged."""
    said = []
    for seed in seeds:
        world = clean(seed, housing=housing)
        kinds = {f.kind for f in lint(dataset(world, seed=seed))}
        said += [f"{world.name} (seed {seed}): {kind}" for kind in sorted(kinds)]
    return len(said), len(seeds) * len(KINDS), said


def test_plants_are_found(housing: Path) -> None:
    drawn, told = caught(range(10_000, 10_000 + SHORT), housing)
    assert told.total() >= 0.9 * drawn.total(), drawn - told


def test_clean_tables_are_not_flagged(housing: Path) -> None:
    found, pairs, said = flagged(range(20_000, 20_000 + SHORT // 2), housing)
    assert found <= 0.02 * pairs, said
    assert len({line.partition(" (")[0] for line in said}) < len(clean_worlds(housing)) / 2, said


@pytest.mark.deep
def test_two_hundred_plants_over_all_kinds(housing: Path) -> None:
    """The figure of the documentation: at least 90% of all, and of the kinds that were set aside."""
    drawn, told = caught(range(FULL), housing)
    assert drawn.total() == FULL
    assert set(drawn) == {*PLANTS, *HELD_OUT}
    assert told.total() >= 0.9 * FULL, drawn - told
    aside = sum(drawn[k] for k in HELD_OUT)
    assert sum(told[k] for k in HELD_OUT) >= 0.8 * aside, {k: (told[k], drawn[k]) for k in HELD_OUT}


@pytest.mark.deep
def test_two_hundred_clean_tables(housing: Path) -> None:
    """At most 2% of the pairs of table and kind, and at most one table in twenty has any finding."""
    found, pairs, said = flagged(range(30_000, 30_000 + FULL), housing)
    assert found <= 0.02 * pairs, said
    assert len({line.rpartition(":")[0] for line in said}) <= 0.05 * FULL, said
