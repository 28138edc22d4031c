"""Names as they are written: of columns in SQL, of features, and any text in YAML."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

import yaml

from headrace.core.errors import ExprError
from headrace.core.schema import Type
from headrace.core.sql import quoted
from headrace.expr import parse


def listed(text: str) -> tuple[str, ...]:
    """The words of a text: a long list that stays readable."""
    return tuple(text.split())


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset(
    listed(
        """all analyse analyze and any array as asc asymmetric both case cast check collate column constraint
    create default deferrable desc describe distinct do else end except false fetch for foreign from
    group having in initially intersect into lambda lateral leading limit not null offset on only or
    order pivot placing primary qualify references returning select show some summarize symmetric table
    then to trailing true union unique unpack unpivot pivot_longer pivot_wider by using variadic when
    where window with asof at anti authorization binary collation concurrently cross freeze full
    generated glob ilike inner is isnull join left like map natural notnull outer overlaps positional
    right semi similar struct tablesample try_cast verbose between bigint bit boolean char character
    coalesce columns dec decimal exists extract float grouping_id grouping inout int integer interval
    merge_action national nchar none nullif numeric out overlay position precision real row setof
    smallint substring time timestamp treat trim values varchar xmlattributes"""
    )
)
"""Words that DuckDB keeps for itself (its categories reserved, type_function and column_name)."""


@lru_cache(maxsize=4096)
def sql_name(name: str) -> str:
    """The column as people would write it: in quotes only where it needs them.

    >>> sql_name("distance"), sql_name("my col"), sql_name("order")
    ('distance', '"my col"', '"order"')
    """
    if _PLAIN.fullmatch(name) is None or name.lower() in _RESERVED:
        return quoted(name)
    try:
        return name if parse(name, {name: Type.NUMBER}).node.op == "col" else quoted(name)
    except ExprError:
        return quoted(name)


def usable(name: str) -> bool:
    """Whether expressions can name the column at all: a dot means a side table's column, and a line break
    or a NUL can't be written down."""
    if "." in name or not name.isprintable():
        return False
    try:
        return parse(sql_name(name), {name: Type.NUMBER}).node.op == "col"
    except ExprError:
        return False


def slug(name: str, *, fallback: str) -> str:
    """A short ASCII name for a feature, table or project.

    >>> slug("mean radius (mm)", fallback="x"), slug("größe", fallback="x"), slug("価格", fallback="x")
    ('mean_radius_mm', 'grosse', 'x')
    """
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    text = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    if not text:
        return fallback
    return text if text[0].isalpha() else f"n_{text}"


def distinct_slug(name: str, taken: Collection[str], *, fallback: str) -> str:
    """A slug that is not taken yet: a number is put behind it where it is."""
    base = slug(name, fallback=fallback)
    number = 2
    found = base
    while found in taken:
        found = f"{base}_{number}"
        number += 1
    return found


def scalar(value: str) -> str:
    """A text as YAML reads it back: plain where that is safe, in quotes where it isn't.

    >>> print(scalar("hour(t) >= 17"), scalar('"my col"'), scalar("yes"), scalar("a: b"))
    hour(t) >= 17 '"my col"' 'yes' 'a: b'
    """
    if not value.isprintable():  # escaped: breaks and invisible characters come back as they were
        return yaml.safe_dump(value, width=10**9, default_style='"').strip("\n")
    return yaml.safe_dump(value, width=10**9, allow_unicode=True).removesuffix("...\n").strip("\n")


def flow_scalar(value: str) -> str:
    """A text as YAML reads it back inside `{…}` or `[…]`, where more characters end a plain scalar."""
    text = scalar(value)
    if text[:1] in "'\"" or not set(text) & set(",[]{}?:#"):
        return text
    return "'" + value.replace("'", "''") + "'"


def shown(value: object, limit: int = 40) -> str:
    """A value for a comment: on one line, cut where it is long."""
    text = " ".join(str(value).split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
