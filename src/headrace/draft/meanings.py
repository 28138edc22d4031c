"""What a column's name alone tells about it."""

from __future__ import annotations

from headrace.draft.names import listed, words

_ID_WORDS = frozenset(listed("id ids uid uuid guid key pk rowid idx index"))
_ENTITIES = listed(
    """patient customer client user person member subject account household driver player student employee
    borrower tenant visitor session device machine engine sensor vehicle store shop hospital company
    merchant supplier seller group cluster family"""
)
_MOMENT_WORDS = frozenset(listed("ts timestamp time date epoch unix created updated at utc"))
_PERSONAL = {
    "email": "an e-mail address",
    "mail": "an e-mail address",
    "phone": "a phone number",
    "telephone": "a phone number",
    "mobile": "a phone number",
    "ssn": "a social security number",
    "iban": "a bank account",
    "passport": "a passport number",
    "surname": "a person's name",
    "firstname": "a person's name",
    "lastname": "a person's name",
    "fullname": "a person's name",
    "username": "a person's name",
    "birthdate": "a date of birth",
    "birthday": "a date of birth",
    "dob": "a date of birth",
    "street": "a postal address",
    "address": "a postal address",
    "ip": "an internet address",
}
_PERSONAL_PAIRS = {
    ("first", "name"): "a person's name",
    ("last", "name"): "a person's name",
    ("full", "name"): "a person's name",
    ("user", "name"): "a person's name",
    ("customer", "name"): "a person's name",
    ("patient", "name"): "a person's name",
    ("family", "name"): "a person's name",
    ("given", "name"): "a person's name",
    ("birth", "date"): "a date of birth",
    ("date", "birth"): "a date of birth",
    ("social", "security"): "a social security number",
    ("credit", "card"): "a card number",
    ("card", "number"): "a card number",
    ("account", "number"): "a bank account",
    ("tax", "id"): "a tax number",
    ("national", "id"): "a national identity number",
}


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


def names_personal(name: str) -> str:
    """What personal thing a column's name speaks of; empty for none."""
    parts = words(name)
    for pair in zip(parts, (*parts[1:], ""), strict=True):
        if pair in _PERSONAL_PAIRS:
            return _PERSONAL_PAIRS[pair]
    if "birth" in parts and "date" in parts:
        return "a date of birth"
    return next((_PERSONAL[w] for w in parts if w in _PERSONAL), "")
