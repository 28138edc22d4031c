"""Identifiers used as features: what names a row says nothing about the next one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from headrace.checks.lint.alone import Alone, ranks
from headrace.checks.lint.copies import pearson
from headrace.checks.lint.record import Column, Dataset, Finding, Floats, Severity
from headrace.core.schema import Type

KIND = "id"
FEWEST = 30
NEARLY = 0.95
"""Share of different values from which a column names its rows."""

REMEDY = "leave it out of the features; declare it as data.id (or split.group) if it names rows or entities"
_ID = frozenset(
    ["id", "ids", "uid", "uuid", "guid", "key", "pk", "rowid", "idx", "index", "no", "number", "nr"]
)


def find(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """Features that are, or read nothing but, an identifier."""
    del alone
    for feature in data.features:
        raw = data.columns_of(feature.name)
        # A number that is read out of text (a cast, a parsed date) was looked at as the number that it is.
        spelled = [c for c in raw if c.type is not Type.TEXT or feature.type is Type.TEXT]
        looked = [feature, *(spelled if len(raw) == 1 else [])]
        for column in looked:
            found = named_row(column, data)
            if found:
                rows = np.linspace(0, data.rows - 1, 4).astype(np.int64)
                yield Finding(
                    KIND, feature.name, _severity(column), found, REMEDY, {"rows": data.rows},
                    tuple(column.shown(int(r)) for r in rows),
                )  # fmt: skip
                break


def _severity(column: Column) -> Severity:
    """Text that half of the rows share with another row may be a name of something; it is a warning."""
    if column.type is not Type.TEXT:
        return Severity.BLOCKS
    known = column.values[~column.null]
    return Severity.BLOCKS if len(np.unique(known)) >= NEARLY * len(known) else Severity.WARNS


def named_row(column: Column, data: Dataset) -> str:
    """Why a column looks like an identifier; empty where it does not."""
    known = ~column.null
    n = int(known.sum())
    if n < FEWEST or n < 0.5 * data.rows or column.type in (Type.TIME, Type.BOOL):
        return ""
    values = column.values[known]
    distinct = len(np.unique(values))
    if column.type is Type.TEXT:
        if distinct >= 0.5 * n:
            return (
                f"{distinct:,} different values in {n:,} rows: it names rows, and tells nothing of new ones"
            )
        return ""
    if distinct < NEARLY * n:
        return ""
    orders = [("of the table", values)]
    if data.times is not None:
        orders.append(("of time", values[np.argsort(data.times[known], kind="stable")]))
    for what, ordered in orders:
        if _rises(ordered):
            return f"it rises or falls from row to row in the order {what}, as a counter does"
    if not np.all(values == np.floor(values)):
        return ""
    called = calls_an_id(column.name)
    if called and distinct == n:
        return f"it is called like an identifier, and has {distinct:,} different whole values in {n:,} rows"
    return _drawn_without_replacement(values, distinct, called)


def calls_an_id(name: str) -> bool:
    """Whether a column is called like an identifier: `customer_id`, `OrderID`, `row_no`."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.rpartition(".")[2])
    words = [w for w in re.split(r"[\W_]+", parts.casefold()) if w]
    return bool(words) and (words[-1] in _ID or words[0] in {"id", "uid", "uuid", "idx"})


def _rises(values: Floats) -> bool:
    """Rank correlation with the order, and hardly a step the other way."""
    steps = np.diff(values)
    one_way = max(np.mean(steps > 0), np.mean(steps < 0))
    return bool(one_way >= 0.99) and abs(pearson(ranks(values), np.arange(len(values), dtype=float))) > 0.999


def _drawn_without_replacement(values: Floats, distinct: int, called: bool) -> str:
    """Whole numbers that never meet although chance would have them meet: a key, not a measurement.

    Among n independent draws from a distribution with collision probability c, n² c / 2 pairs are equal; c is
    at least that of a uniform distribution over the range.
    """
    n = len(values)
    if distinct != n:
        return ""
    low, high = float(values.min()), float(values.max())
    width = high - low + 1
    expected = n * (n - 1) / 2 / width
    if expected >= 5:
        return (
            f"its {n:,} whole values between {low:.0f} and {high:.0f} are all different, where "
            f"{expected:.0f} equal pairs would be chance: a key"
        )
    if n >= 100 and high >= 1e5 and (called or width >= 1e6) and _uniform(values, low, width):
        digits = len(f"{high:.0f}")
        return f"its whole values of up to {digits} digits are all different and evenly spread: a key"
    return ""


def _uniform(values: Floats, low: float, width: float) -> bool:
    """Kolmogorov's distance from an even spread below its 10% bound."""
    u = (np.sort(values) - low) / width
    n = len(u)
    gap = max(np.max(np.arange(1, n + 1) / n - u), np.max(u - np.arange(n) / n))
    return bool(gap < 1.22 / np.sqrt(n))
