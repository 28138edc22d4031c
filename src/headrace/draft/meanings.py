"""What a column's name alone tells about it."""

from __future__ import annotations

from headrace.data.privacy.names import words
from headrace.draft.names import listed

_ID_WORDS = frozenset(listed("id ids uid uuid guid key pk rowid idx index nr"))
_ENTITIES = listed(
    """patient customer client user person member subject account household driver player student employee
    borrower tenant visitor session device machine engine sensor vehicle store shop hospital company
    merchant supplier seller group cluster family"""
)
_MOMENT_WORDS = frozenset(listed("ts timestamp time date epoch unix created updated at utc"))


def names_an_id(name: str) -> bool:
    """Whether a column is called like an identifier: `customer_id`, `OrderID`, `uuid`, `patientid`."""
    parts = words(name)
    return bool(parts) and (parts[-1] in _ID_WORDS or parts[0] in _ID_WORDS or _glued(parts[-1]) != "")


def names_an_entity(name: str) -> int:
    """How likely a column names whom or what its rows are about: 0 no, else larger for persons."""
    parts = [_glued(w) or w for w in words(name)]
    ranks = [len(_ENTITIES) - _ENTITIES.index(w) for w in parts if w in _ENTITIES]
    if ranks and (len(parts) == 1 or names_an_id(name)):
        return max(ranks) + 1
    return 1 if names_an_id(name) else 0


def _glued(word: str) -> str:
    """`customer` of `customerid`, else empty."""
    stem = word.removesuffix("id")
    return stem if stem != word and stem in _ENTITIES else ""


def names_a_moment(name: str) -> bool:
    """Whether a column is called like a moment: `created_at`, `ts`, `unix_time`."""
    return bool(_MOMENT_WORDS & set(words(name)))
