"""Personal data by its looks: patterns and check digits on a sample of a column's values."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
_PHONE = re.compile(r"(\+|00)\d{1,3}[\s./-]?(\(\d{1,4}\)[\s./-]?)?\d{1,4}([\s./-]?\d{2,4}){2,4}")
_LOCAL_PHONE = re.compile(r"\(?\d{3,5}\)?[\s./-]\d{3,4}[\s.-]\d{3,4}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_CARD = re.compile(r"[3-6]\d{12,18}")
_SSN = re.compile(r"(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}")


def is_email(text: str) -> bool:
    """An address of RFC 5322's everyday form, anywhere in a text."""
    return _EMAIL.search(text) is not None


def is_phone(text: str) -> bool:
    """A number with a country code, or with the separators that people write; digits alone are no phone."""
    bare = text.strip()
    return _PHONE.fullmatch(bare) is not None or _LOCAL_PHONE.fullmatch(bare) is not None


def is_iban(text: str) -> bool:
    """An account number whose check digits are right (ISO 13616: mod 97).

    >>> is_iban("DE89 3704 0044 0532 0130 00"), is_iban("DE00 3704 0044 0532 0130 00")
    (True, False)
    """
    bare = text.replace(" ", "").upper()
    if _IBAN.fullmatch(bare) is None:
        return False
    digits = "".join(str(int(c, 36)) for c in bare[4:] + bare[:4])
    return int(digits) % 97 == 1


def is_card(text: str) -> bool:
    """A payment card number whose check digit is right (ISO/IEC 7812: Luhn).

    >>> is_card("4111 1111 1111 1111"), is_card("4111 1111 1111 1112")
    (True, False)
    """
    bare = re.sub(r"[ -]", "", text)
    if _CARD.fullmatch(bare) is None:
        return False
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(bare))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address; `1.2` and `12:30` are none."""
    bare = text.strip()
    if bare.count(".") != 3 and bare.count(":") < 3:
        return False
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def is_ssn(text: str) -> bool:
    """A US social security number as written (and of a range that was given out)."""
    return _SSN.fullmatch(text.strip()) is not None


_KINDS: tuple[tuple[str, Callable[[str], bool], float], ...] = (
    # Each kind with the share of values from which a column is called so: where chance or a dialect of
    # numbers can look alike (one number in ten has a right check digit), nearly all have to.
    ("e-mail addresses", is_email, 0.01),
    ("bank accounts (IBAN)", is_iban, 0.01),
    ("social security numbers", is_ssn, 0.5),
    ("internet addresses", is_ip, 0.5),
    ("card numbers", is_card, 0.9),
    ("phone numbers", is_phone, 0.5),
)


def personal_kind(values: Iterable[str]) -> str:
    """What personal thing the values are, with how many look so; empty for none.

    >>> personal_kind(["ada@example.org", "bob@example.org"])
    '2 of 2 values seen look like e-mail addresses'
    """
    seen = list(values)
    for kind, looks, share in _KINDS:
        hits = sum(looks(v) for v in seen)
        if hits and hits >= share * len(seen):
            return f"{hits:,} of {len(seen):,} values seen look like {kind}"
    return ""
