"""Every kind of finding, and the one function that looks for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from headrace.checks.lint import copies, crossing, ids, late, order, rare, skew, target, too_good
from headrace.checks.lint.alone import Alone
from headrace.checks.lint.record import Dataset, Finding, Severity

Find = Callable[[Dataset, Alone], Iterator[Finding]]

LEAKAGE = (copies.KIND, late.KIND, too_good.KIND, crossing.ROWS, crossing.GROUPS, order.SHUFFLED)
"""Kinds that make every number too good."""

FAULTS = (order.RANDOM, ids.KIND, target.CAPPED, rare.KIND, skew.KIND, target.IMBALANCE)
"""Kinds that make a model or its measure worse than it looks."""

KINDS: Mapping[str, str] = {
    copies.KIND: "A feature is a copy, or near-copy, of the target.",
    late.KIND: "A feature is known only after the moment of prediction.",
    too_good.KIND: "A feature alone predicts implausibly well.",
    crossing.ROWS: "Identical rows stand on both sides of the split, more than chance lets them.",
    crossing.GROUPS: "Groups that the split promises to keep apart stand on both sides.",
    order.SHUFFLED: "A split by time whose training rows are later than validation.",
    order.RANDOM: "A random split of rows that depend on their neighbours in time.",
    ids.KIND: "An identifier is used as a feature.",
    target.CAPPED: "The target was cut off at an end.",
    rare.KIND: "A category has a single row.",
    skew.KIND: "A feature is distributed differently in train and validation.",
    target.IMBALANCE: "The metric does not see the rare class.",
}
"""Kinds of findings with what they say."""

FEWEST = 10

_FINDERS: tuple[Find, ...] = (
    crossing.find_rows,
    crossing.find_groups,
    order.find_shuffled,
    order.find_random,
    ids.find,
    target.find_capped,
    target.find_imbalance,
    rare.find,
    skew.find,
)


def lint(data: Dataset) -> tuple[Finding, ...]:
    """Everything that is, or looks, wrong with these rows; what blocks first, then by kind and feature.
    Of fewer than `FEWEST` training rows nothing can be said.

    What looks at the target looks at training rows alone; parts are compared on both. The same data give the
    same findings.
    """
    if int(data.train.sum()) < FEWEST:
        return ()
    alone = Alone(data.fit)
    found = list(copies.find(data, alone))
    copied = {f.subject for f in found}
    found += late.find(data, alone)
    found += too_good.find(data, alone, copied)
    for find in _FINDERS:
        found += find(data, alone)
    place = {kind: i for i, kind in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda f: (f.severity is Severity.WARNS, place[f.kind], f.subject)))
