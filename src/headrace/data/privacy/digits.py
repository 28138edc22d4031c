"""Check digits of cards, accounts and national numbers. Each takes the characters alone, without spaces."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""ISO 13616's registry (SWIFT, release 97): the countries by the length of their numbers."""

_IBAN_LENGTHS = {c: n for n, cs in _IBAN_COUNTRIES.items() for c in cs.split(" ")}

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_CF_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12,
         14, 16, 10, 22, 25, 24, 23],
        strict=True,
    )
)  # fmt: skip


def luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def card(digits: str) -> bool:
    """A payment card: an issuer's range (ISO/IEC 7812), a length it uses, and Luhn's check digit."""
    size, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    issued = (
        (digits[0] == "4" and size in (13, 16, 19))
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and size == 16)
        or (two in (34, 37) and size == 15)
        or ((four == 6011 or 644 <= three <= 649 or two in (62, 65)) and 16 <= size <= 19)
        or (3528 <= four <= 3589 and 16 <= size <= 19)
        or ((300 <= three <= 305 or two in (36, 38, 39)) and size in (14, 16))
    )
    return issued and len(set(digits)) > 1 and luhn(digits)


def iban(text: str) -> bool:
    """A bank account number: the country's length and the check digits (ISO 13616, ISO 7064 mod 97-10).

    >>> iban("DE89370400440532013000"), iban("DE00370400440532013000")
    (True, False)
    """
    if text[:2] not in _IBAN_LENGTHS or len(text) != _IBAN_LENGTHS[text[:2]]:
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def iban_at(text: str) -> bool:
    """Whether a text begins with a bank account number, whatever words follow."""
    return text[:2] in _IBAN_LENGTHS and iban(text[: _IBAN_LENGTHS[text[:2]]])


def us_ssn(digits: str) -> bool:
    """A US social security number of a range that was given out (SSA, since 2011)."""
    return (
        digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"
    )


def uk_nino(text: str) -> bool:
    """A UK national insurance number: prefix and suffix that HMRC gives out."""
    prefix = text[:2]
    return (
        not set(prefix) & set("DFIQUV")
        and prefix[1] != "O"
        and prefix not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")
        and text[-1] in "ABCD"
    )


def de_tax(digits: str) -> bool:
    """A German tax identification number: one digit of the first ten twice or three times, and the check
    digit of ISO 7064 mod 11,10.

    >>> de_tax("86095742719"), de_tax("86095742718")
    (True, False)
    """
    counts = sorted((digits[:10].count(d) for d in set(digits[:10])), reverse=True)
    if digits[0] == "0" or counts[0] not in (2, 3) or counts[1] != 1:
        return False
    product = 10
    for d in digits[:10]:
        total = (int(d) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def fr_nir(digits: str) -> bool:
    """A French social security number: sex, month, and the key modulo 97."""
    month = int(digits[3:5])
    return (
        digits[0] in "12"
        and (1 <= month <= 12 or month >= 20)
        and 97 - int(digits[:13]) % 97 == int(digits[13:])
    )


def es_dni(text: str) -> bool:
    """A Spanish DNI or NIE: the letter is the number modulo 23."""
    number = text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return _DNI_LETTERS[int(number) % 23] == text[-1]


def it_cf(text: str) -> bool:
    """An Italian codice fiscale: the last letter checks the fifteen before it."""
    odd = sum(_CF_ODD[c] for c in text[:15:2])
    even = sum(int(c) if c.isdigit() else ord(c) - 65 for c in text[1:15:2])
    return chr(65 + (odd + even) % 26) == text[15]


def pl_pesel(digits: str) -> bool:
    """A Polish PESEL: a date of birth and a weighted check digit."""
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
    if sum(w * int(d) for w, d in zip(weights, digits, strict=True)) % 10:
        return False
    century, month = divmod(int(digits[2:4]), 20)
    with suppress(ValueError):
        dt.date(
            {4: 1800, 0: 1900, 1: 2000, 2: 2100, 3: 2200}[century] + int(digits[:2]), month, int(digits[4:6])
        )
        return True
    return False


def ch_ahv(digits: str) -> bool:
    """A Swiss AHV number: begins with 756 and ends with an EAN-13 check digit."""
    return digits[:3] == "756" and sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10 == 0


def br_cpf(digits: str) -> bool:
    """A Brazilian CPF: two check digits modulo 11."""
    for size in (9, 10):
        total = sum(int(d) * (size + 1 - i) for i, d in enumerate(digits[:size]))
        if total * 10 % 11 % 10 != int(digits[size]):
            return False
    return len(set(digits)) > 1
