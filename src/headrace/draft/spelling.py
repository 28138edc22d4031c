"""How a file spells its values: decimal commas, what stands for "missing", dates with slips among them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace.core.schema import Type
from headrace.core.sql import quoted, sql_text
from headrace.data.times import FORMATS, Format
from headrace.draft.look import Look
from headrace.draft.names import listed
from headrace.expr.nodes import NUMBER_TEXT

MISSING = frozenset(listed("? - -- . * none missing unknown n.a. na n/a nil #n/a"))
"""Spellings of "no value" that the reader of files takes for text."""

_ANYWHERE = frozenset(listed("? -- n.a. na n/a nil #n/a"))
"""Those that are no category anywhere."""

_COMMA = r"[+-]?\d{1,15},\d{1,15}"
_MOST = 0.9
_VALUES = 1_000
_FEWEST = 3
"""So often a word stands among numbers before it is taken for "missing"."""


@dataclass(frozen=True)
class Dialect:
    """What the file's table needs beside its name: see `TableSpec.decimal` and `TableSpec.nulls`."""

    decimal: str = "."
    nulls: tuple[str, ...] = ()


def dialect_of(look: Look) -> Dialect:
    """How a CSV file spells fractions and what is missing, by its columns of text."""
    counts = {
        c.name: [(str(v), n) for v, n in look.top(c.name, limit=_VALUES)]
        for c in look.columns
        if c.type is Type.TEXT
    }
    points = any(p.type is Type.NUMBER and not p.whole for p in look.profiles().values())
    decimal = "," if not points and any(_has_commas(v) for v in counts.values()) else "."
    markers: dict[str, int] = {}
    others: set[str] = set()
    for values in counts.values():
        odd = _odd(values, decimal)
        if odd is None:
            others.update(v for v, _ in values)
            continue
        for value, n in odd:
            if value.strip().lower() in MISSING or (n >= _FEWEST and not re.search(r"\d", value)):
                markers[value] = markers.get(value, 0) + n
    kept = [v for v in sorted(markers) if v not in others or v.strip().lower() in _ANYWHERE]
    return Dialect(decimal, tuple(kept))


def _has_commas(values: Iterable[tuple[str, int]]) -> bool:
    """Whether most values are numbers with a comma before the fraction, not thousands parted by commas."""
    fractions = [(v, n) for v, n in values if re.fullmatch(_COMMA, v.strip())]
    whole = sum(n for v, n in values if re.fullmatch(r"[+-]?\d+", v.strip()))
    known = sum(n for _, n in values)
    if not fractions or all(len(v.strip().partition(",")[2]) == 3 for v, _ in fractions):
        return False
    return sum(n for _, n in fractions) + whole >= 0.5 * known


def _odd(values: list[tuple[str, int]], decimal: str) -> list[tuple[str, int]] | None:
    """The values that are no number (or no time of the column's format); None for a column of words."""
    known = sum(n for _, n in values)
    number = rf"\s*(?:{NUMBER_TEXT})\s*" if decimal == "." else rf"\s*(?:{_COMMA}|[+-]?\d+)\s*"
    for pattern in (number, *(f.pattern for f in FORMATS)):
        odd = [(v, n) for v, n in values if not re.fullmatch(pattern, v)]
        if sum(n for _, n in odd) <= 0.5 * known:
            return odd
    return None


@dataclass(frozen=True)
class Dated:
    """A column of text that holds dates but for a few values: the format for `clean.columns.parse`, how
    many values are others, and one of them."""

    form: str
    odd: int
    example: str


def dated(look: Look, column: str, relation: str = "rows") -> Dated | None:
    """Whether a text column is mostly dates of one format."""
    q = quoted(column)
    known = int(look.db.sql(f"select count({q}) from {relation}").fetchall()[0][0])
    fits = {f: _fits(look, q, f, relation) for f in FORMATS if not f.zoned}
    best = max(fits, key=lambda f: fits[f])
    if not known or fits[best] < _MOST * known:
        return None
    swapped = [f for f in fits if f is not best and fits[f] >= _MOST * known]
    if swapped and fits[swapped[0]] == fits[best]:
        return None  # day and month can't be told apart
    odd = look.db.sql(
        f"select {q} from {relation} where not regexp_full_match(trim({q}), {sql_text(best.pattern)}) "
        "group by 1 order by count(*) desc, 1 limit 1"
    ).fetchall()
    form = best.strptime or _iso(look, q, relation)
    return Dated(form, known - fits[best], str(odd[0][0]) if odd else "") if form else None


def _fits(look: Look, q: str, form: Format, relation: str) -> int:
    sql = f"select count(*) from {relation} where regexp_full_match(trim({q}), {sql_text(form.pattern)})"
    return int(look.db.sql(sql).fetchall()[0][0])


def _iso(look: Look, q: str, relation: str) -> str:
    """ISO 8601 as one format of `parse`, empty where values differ in their clocks."""
    clocks = {"%Y-%m-%d": "", "%Y-%m-%d %H:%M": r" \d\d:\d\d", "%Y-%m-%d %H:%M:%S": r" \d\d:\d\d:\d\d"}
    known = int(look.db.sql(f"select count({q}) from {relation}").fetchall()[0][0])
    for form, clock in clocks.items():
        pattern = sql_text(r"\d{4}-\d\d-\d\d" + clock)
        sql = f"select count(*) from {relation} where regexp_full_match(trim({q}), {pattern})"
        if int(look.db.sql(sql).fetchall()[0][0]) >= _MOST * known:
            return form
    return ""


@dataclass(frozen=True)
class Words:
    """How a column of words is spelled: whether space and case make the same word several, how many words
    are left without, and what looks mistyped."""

    trim: bool
    case: bool
    spellings: int
    folded: int
    slips: tuple[tuple[str, str], ...] = ()


def words_of(look: Look, column: str, relation: str = "train") -> Words:
    """Spellings of the words in a column of text, and rare ones that one letter parts from a frequent one."""
    q = quoted(column)
    plain, trimmed, lowered, both = look.db.sql(
        f"select count(distinct {q}), count(distinct trim({q})), count(distinct lower({q})), "
        f"count(distinct lower(trim({q}))) from {relation}"
    ).fetchall()[0]
    del lowered
    spaces = int(look.db.sql(f"select count(*) from {relation} where {q} <> trim({q})").fetchall()[0][0])
    trim = spaces > 0 and both < plain
    counts: Mapping[str, int] = {
        str(v): int(n)
        for v, n in look.db.sql(
            f"select lower(trim({q})), count(*) from {relation} where {q} is not null group by 1 "
            "order by 2 desc, 1 limit 200"
        ).fetchall()
    }
    return Words(trim, both < (trimmed if trim else plain), int(plain), int(both), _slips(counts))


def _slips(counts: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """(rare word, the frequent one it resembles)."""
    total = sum(counts.values())
    found = []
    for word, n in counts.items():
        if n > 0.01 * total or len(word) < 4 or re.search(r"\d", word):
            continue
        near = [w for w, m in counts.items() if m >= 20 * n and not re.search(r"\d", w) and _near(word, w)]
        if near:
            found.append((word, near[0]))
    return tuple(found)


def _near(a: str, b: str) -> bool:
    """Whether one letter more, less or other turns one word into the other, or two neighbours swapped."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    left, right = a[start:], b[start:]
    swapped = left[:2] == right[:2][::-1] and left[2:] == right[2:]
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped


def sentinel(look: Look, column: str, relation: str = "rows") -> tuple[float, int] | None:
    """A number that stands for "missing", such as -999 among values that are never negative: the value and
    its rows."""
    q = quoted(column)
    for value in (-9, -99, -999, -9999, -99999, 999, 9999, 99999, 999999):
        if value < 0:
            apart = f"min({q}) filter ({q} <> {value}) >= 0"
        else:
            apart = f"max({q}) = {value} and max({q}) filter ({q} <> {value}) < {value / 5}"
        found = look.db.sql(f"select count(*) filter ({q} = {value}), {apart} from {relation}").fetchall()[0]
        if int(found[0]) >= 2 and found[1]:
            return float(value), int(found[0])
    return None
