"""Representativeness: the shares of groups among rows against those of a declared population."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.evidence import Interval
from headrace.core.schema import NULL_TEXT, Type
from headrace.data.draw import Values, encode

MIN_UNITS = 5
"""With fewer independent units there is no interval."""
NONE = "null"
"""What rows without a value are counted as."""


@dataclass(frozen=True)
class Share:
    """A group's share of the rows and of the population; `declared` is 0 for a group that is not named."""

    group: str
    observed: float
    declared: float
    rows: int

    @property
    def difference(self) -> float:
        return self.observed - self.declared


@dataclass(frozen=True)
class Represented:
    """Groups, the one that is furthest off first. `interval` is that of its difference, None with fewer than
    5 units. `units` are the independent units among the rows."""

    shares: tuple[Share, ...]
    rows: int
    units: int
    interval: Interval | None

    @property
    def largest(self) -> float:
        """The largest absolute difference of a share."""
        return abs(self.shares[0].difference)


def represent(
    groups: NDArray[np.str_] | NDArray[np.object_],
    units: NDArray[np.int64],
    declared: Mapping[str, float],
    *,
    level: float = 0.95,
) -> Represented:
    """Compare shares. `groups` name each row's group (`names_of`), `units` its independent unit; both [rows].

    The interval is that of the difference furthest from zero: a share is a ratio of two totals over units,
    whose variance is linearised over whole units (Cochran 1977, Sampling Techniques, section 11.8), with a t
    quantile of units - 1 degrees of freedom. As the worst of several groups was chosen, it is no test.
    """
    present, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    rows = len(groups)
    seen = {str(g): int(n) for g, n in zip(present, counts, strict=True)}
    shares = [Share(g, seen.get(g, 0) / rows, s, seen.get(g, 0)) for g, s in declared.items()]
    shares += [Share(g, n / rows, 0.0, n) for g, n in seen.items() if g not in declared]
    shares.sort(key=lambda s: (-abs(s.difference), s.group))
    _, unit = np.unique(units, return_inverse=True)
    count = int(unit.max()) + 1 if rows else 0
    worst = shares[0]
    at = np.flatnonzero(present == worst.group)
    inside = codes == at[0] if len(at) else np.zeros(rows, np.bool_)
    return Represented(tuple(shares), rows, count, _interval(inside, unit, count, worst.difference, level))


def _interval(
    inside: NDArray[np.bool_], unit: NDArray[np.int64], count: int, difference: float, level: float
) -> Interval | None:
    if count < MIN_UNITS:
        return None
    from scipy.stats import t

    rows = len(inside)
    residuals = np.bincount(unit, inside, minlength=count) - inside.mean() * np.bincount(
        unit, minlength=count
    )
    error = math.sqrt(count / (count - 1) * float(np.sum(residuals**2))) / rows
    reach = float(t.ppf((1 + level) / 2, count - 1)) * error
    return Interval(difference - reach, difference + reach, level)


def names_of(values: Values, kind: Type) -> NDArray[np.object_]:
    """Each row's group by name: text as it is, whole numbers without a fraction, `true` and `false`."""
    coded = encode(values)
    names = np.array([_name(coded.label(i), kind) for i in range(len(coded))] + [NONE], dtype=object)
    return names[coded.codes]


def _name(value: object, kind: Type) -> str:
    if value is None or value == NULL_TEXT or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if kind is Type.BOOL:
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else f"{float(value):.17g}"
    return str(value)
