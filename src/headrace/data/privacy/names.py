"""What personal thing a column's name alone speaks of."""

from __future__ import annotations

import re

_NAME, _MAIL, _PHONE = "a person's name", "an e-mail address", "a phone number"
_BIRTH, _PLACE, _ACCOUNT = "a date of birth", "a postal address", "a bank account"
_NOUNS = {
    "email": _MAIL,
    "mail": _MAIL,
    "phone": _PHONE,
    "telephone": _PHONE,
    "telefon": _PHONE,
    "mobile": _PHONE,
    "cellphone": _PHONE,
    "fax": _PHONE,
    "ssn": "a social security number",
    "nino": "a national insurance number",
    "iban": _ACCOUNT,
    "passport": "a passport number",
    "surname": _NAME,
    "firstname": _NAME,
    "forename": _NAME,
    "lastname": _NAME,
    "fullname": _NAME,
    "username": _NAME,
    "vorname": _NAME,
    "nachname": _NAME,
    "birthdate": _BIRTH,
    "birthday": _BIRTH,
    "dob": _BIRTH,
    "geburtsdatum": _BIRTH,
    "street": _PLACE,
    "address": _PLACE,
    "strasse": _PLACE,
    "adresse": _PLACE,
    "ip": "an internet address",
}
_PAIRS = {
    **{
        (whose, "name"): _NAME
        for whose in (
            "first", "last", "full", "user", "customer", "patient", "family", "given", "middle", "maiden",
            "contact", "employee", "client", "person", "member", "student", "passenger", "owner",
        )
    },
    ("birth", "date"): _BIRTH,
    ("date", "birth"): _BIRTH,
    ("social", "security"): "a social security number",
    ("credit", "card"): "a card number",
    ("card", "number"): "a card number",
    ("account", "number"): _ACCOUNT,
    ("tax", "id"): "a tax number",
    ("national", "id"): "a national identity number",
    ("e", "mail"): _MAIL,
}  # fmt: skip
_FILLERS = frozenset({"of"})
_BEHIND = frozenset(
    {"address", "number", "no", "nr", "num", "value", "text", "raw", "home", "work", "private", "primary",
     "secondary", "main", "line", "line1", "line2", "1", "2", "3", "id", "hash", "key"}
)  # fmt: skip
"""Words that may follow without changing what is spoken of: an `email_address` is one, an `email_domain` or
a `phone_model` is not."""
_BEFORE_NOT = frozenset({"has", "is", "no", "num", "n", "count", "days", "mac"})


def words(name: str) -> tuple[str, ...]:
    """The words of a column's name in lower case.

    >>> words("CustomerID"), words("sched_dep_time")
    (('customer', 'id'), ('sched', 'dep', 'time'))
    """
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", name))
    return tuple(w for w in re.split(r"[\W_]+", parted.lower()) if w)


def names_personal(name: str) -> str:
    """What personal thing a column's name speaks of; empty for none.

    >>> names_personal("Customer Name"), names_personal("date_of_birth"), names_personal("email_domain")
    ("a person's name", 'a date of birth', '')
    """
    parts = tuple(w for w in words(name) if w not in _FILLERS)
    if not parts or parts[0] in _BEFORE_NOT:
        return ""
    for at in range(len(parts)):
        rest, found = parts[at + 1 :], _NOUNS.get(parts[at].rstrip("0123456789"), "")
        if parts[at : at + 2] in _PAIRS:
            rest, found = parts[at + 2 :], _PAIRS[parts[at], parts[at + 1]]
        if found and all(w in _BEHIND for w in rest):
            return found
    return ""
