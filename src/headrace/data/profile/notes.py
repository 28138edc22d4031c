"""What to look at in a column, said with its figures."""

from __future__ import annotations

from dataclasses import replace

from headrace.core.schema import Type
from headrace.data.profile.moments import Ends
from headrace.data.profile.record import ColumnProfile, Mass, Note

SPARSE = 0.5
CAPPED_ROWS, CAPPED_SHARE, CAPPED_TIMES = 10, 0.002, 5
"""An end is heavy with at least so many rows, this share of the known values, and so many times the rows of
any of the five values next to it."""
_MIXED = (0.01, 0.99)
_UNIQUE_ROWS = 20


def masses(ends: Ends) -> tuple[Mass, ...]:
    """The rows at either end with those of the five values next to it; nothing of fewer than six values."""
    found = []
    for name, values in (("low", ends.low), ("high", ends.high)):
        if len(values) > 5:
            (value, rows), *rest = values
            found.append(Mass(name, float(value), rows, tuple(n for _, n in rest)))
    return tuple(found)


def heavy(mass: Mass, known: int) -> bool:
    """Whether far more rows lie at the end than the values next to it suggest."""
    enough = mass.rows >= max(CAPPED_ROWS, CAPPED_SHARE * known)
    return enough and mass.rows >= CAPPED_TIMES * max(mass.neighbours)


def notes(column: ColumnProfile) -> ColumnProfile:
    """The column with its notes."""
    known = column.rows - column.missing
    found: list[Note] = []
    if not column.rows:
        return column
    if not known:
        return replace(column, notes=(Note("empty", "every value is missing"),))
    if column.missing > SPARSE * column.rows:
        found.append(Note("sparse", f"{share(column.missing, column.rows)} missing"))
    if column.distinct == 1:
        value = column.top[0].value if column.top else column.low
        found.append(Note("constant", f"every known value is {value!r}"))
    elif column.type is not Type.BOOL and _unique(column, known):
        found.append(
            Note(
                "unique",
                "no value occurs twice" if not column.distinct_error else "hardly a value occurs twice",
            )
        )
    found += [_mass(m, known) for m in column.masses if heavy(m, known)]
    found += _spelling(column, known)
    return replace(column, notes=tuple(found))


def _unique(column: ColumnProfile, known: int) -> bool:
    if known < _UNIQUE_ROWS or (column.type is Type.NUMBER and not _whole(column)):
        return False
    if not column.distinct_error:
        return column.distinct == known
    return (
        column.distinct >= known * (1 - 3 * column.distinct_error)
        and column.top_error < known / 100
        and not column.top
    )


def _whole(column: ColumnProfile) -> bool:
    ends = [v for v in (column.low, column.high, *column.quantiles) if isinstance(v, float)]
    return all(v == int(v) for v in ends)


def _mass(mass: Mass, known: int) -> Note:
    most = max(mass.neighbours)
    told = (
        f"{mass.rows:,} rows ({share(mass.rows, known)}) are exactly {mass.value:g}, "
        f"the five values next to it have at most {most:,} each"
    )
    if mass.value == 0:
        return Note("heavy-zero", told)
    which = "largest" if mass.end == "high" else "smallest"
    return Note("capped", f"{told}: the {which} value looks like a cap")


def _spelling(column: ColumnProfile, known: int) -> list[Note]:
    texts = column.texts
    if texts is None:
        return []
    found = []
    low, high = _MIXED
    for count, what in ((texts.numbers, "numbers"), (texts.dates, "dates")):
        if count == known:
            found.append(Note("mixed", f"every text looks like one of {what}: read as text"))
        elif low * known <= count:
            rest = known - count
            odd = f"; {rest:,} do not" if count >= high * known or rest < count else ""
            found.append(Note("mixed", f"{count:,} of {known:,} texts look like {what}{odd}"))
    if texts.spaced:
        found.append(Note("spaces", f"{texts.spaced:,} texts begin or end with space"))
    if texts.empty:
        found.append(Note("blank", f"{texts.empty:,} texts are empty, and not missing"))
    if texts.variants:
        group = texts.variants[0]
        example = " / ".join(repr(c.value) for c in group[:3])
        others = "" if len(texts.variants) == 1 else f", and {len(texts.variants) - 1} more"
        found.append(Note("variants", f"spellings of one thing: {example}{others}"))
    return found


def share(part: int, whole: int) -> str:
    """A share in per cent, with as many digits as it needs to be told from 0 and 100.

    >>> share(1, 3), share(1, 100_000), share(99_999, 100_000)
    ('33%', '0.001%', '99.999%')
    """
    value = 100 * part / whole if whole else 0.0
    if value in (0, 100) or 1 <= value <= 99:
        return f"{value:.0f}%"
    near = min(value, 100 - value)
    digits = 1 if near >= 0.1 else 2 if near >= 0.01 else 3
    return f"{value:.{digits}f}%"
