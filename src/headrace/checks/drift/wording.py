"""What moved, and how far, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import Type
from headrace.summary.bins import FIRST, LOW, NULL, WRONG, ColumnBins

_OF_SHARES = {
    "missing": "null",
    "type": "of another type",
    "range": "outside the reference's range",
    "new": "never seen before",
}


def moved(check: str, column: ColumnBins, reference: NDArray[Any], window: NDArray[Any]) -> str:
    """What a column's counts `[codes]` say, for a check's name."""
    if check in _OF_SHARES:
        part = _codes(check, column)
        was, now = _share(reference, part), _share(window, part)
        return f"{column.name}: share {_OF_SHARES[check]} went from {_percent(was)} to {_percent(now)}"
    old, new = (np.asarray(c, np.float64)[LOW:] for c in (reference, window))
    if old.sum() == 0 or new.sum() == 0:
        return f"{column.name}: no value on one side"
    old, new = old / old.sum(), new / new.sum()
    if column.ordered:
        return f"{column.name}: {_ordered(column, old, new)}"
    at = int(np.abs(new - old).argmax())
    told = f"from {_percent(old[at])} to {_percent(new[at])}"
    return f"{column.name}: share of {_value(column, at + LOW)} went {told}"


def _codes(check: str, column: ColumnBins) -> list[int]:
    if check == "range":
        return [LOW, column.high]
    return [{"missing": NULL, "type": WRONG, "new": column.high}[check]]


def _ordered(column: ColumnBins, old: NDArray[np.float64], new: NDArray[np.float64]) -> str:
    """Where the median was and is, and the share beyond the edge at which most has moved."""
    before, after = np.cumsum(old), np.cumsum(new)
    middle = [int(np.searchsorted(c, 0.5)) + LOW for c in (before, after)]
    at = int(np.abs(before - after)[:-1].argmax())
    edge = column.edges[min(at + LOW + 1 - FIRST, len(column.edges) - 1)]
    word = "from" if at + 1 < len(old) - 1 else "above"
    told = f"share {word} {edge:.4g} {'on ' if word == 'from' else ''}went from "
    told += f"{_percent(1 - before[at])} to {_percent(1 - after[at])}"
    if middle[0] == middle[1]:
        return told
    return f"median bin moved from {_bin(column, middle[0])} to {_bin(column, middle[1])}; {told}"


def _bin(column: ColumnBins, code: int) -> str:
    """A bin of a number, short.

    >>> _bin(ColumnBins("x", Type.NUMBER, edges=(1.0, 2.123456, 5.0)), 4)
    '2.123–5'
    """
    at = code - FIRST
    if not 0 <= at < len(column.edges) - 1:
        return column.told(code)
    low, high = f"{column.edges[at]:.4g}", f"{column.edges[at + 1]:.4g}"
    return low if low == high else f"{low}–{high}"


def _value(column: ColumnBins, code: int) -> str:
    word = column.told(code)
    if column.type is not Type.TEXT:
        return word
    return repr(word) if FIRST <= code < column.high else f"{word} values"


def _share(counts: NDArray[Any], codes: list[int]) -> float:
    return float(counts[codes].sum() / max(counts.sum(), 1))


def _percent(share: float) -> str:
    """A share with as many digits as tell it from nothing.

    >>> _percent(0.0004), _percent(0.051), _percent(0.0)
    ('0.04%', '5.1%', '0%')
    """
    return "0%" if share <= 0 else f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%"
