"""What is known by its looks: a pattern that finds candidates, and a test that most strangers fail.

Every kind says how likely something else that fits the pattern passes the test (`chance`): a check digit
lets one number in ten through. A column is called personal where more pass than chance explains, and where
at least half of its candidates do: order numbers are none, though some of them have a right check digit.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from headrace.data.privacy import digits as check

ALPHA = 0.11
"""Candidates that pass by chance this often or more are no finding."""
HALF = 0.5
"""The share of a kind's candidates that has to pass."""

_PICTURES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp"})
_CODES = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-69]\d|3[578]\d|42\d|5[09]\d|6[789]\d"
    r"|8[05789]\d|9[679]\d"
)


@dataclass(frozen=True)
class Kind:
    """`filter` (RE2) passes every text that may hold one, cheaply; `pattern` finds the candidates; `test`
    gets a candidate without its separators."""

    name: str
    filter: str
    pattern: re.Pattern[str]
    test: Callable[[str], bool]
    chance: float
    separators: str = " -./()"

    def candidates(self, text: str) -> list[str]:
        """What in a text may be one."""
        return [m[0] for m in self.pattern.finditer(text)]

    def passes(self, candidate: str) -> bool:
        """Whether a candidate is one, as far as looks and check digits tell."""
        return self.test(candidate.translate(str.maketrans("", "", self.separators)).upper())

    def holds(self, text: str) -> bool:
        """Whether a text is one, or holds one."""
        return any(self.passes(c) for c in self.candidates(text))


def beyond_chance(passed: int, tested: int, chance: float) -> bool:
    """Whether as many as `passed` of `tested` candidates pass less often than `ALPHA` by chance alone (the
    upper tail of the binomial), and at least half do."""
    if not passed or passed < HALF * tested:
        return False
    if chance == 0 or passed > 50:  # at least half of more than a hundred: no chance below a third does it
        return True
    tail = sum(
        math.comb(tested, k) * chance**k * (1 - chance) ** (tested - k) for k in range(passed, tested + 1)
    )
    return tail < ALPHA


def _email(text: str) -> bool:
    return text.rpartition(".")[2].lower() not in _PICTURES


def _phone(text: str) -> bool:
    """8 to 15 digits behind a country's code (ITU-T E.164), or ten of North America's plan."""
    if text[0] == "+" or text.startswith("00"):
        number = text.lstrip("+0")
        return 8 <= len(number) <= 15 and any(_CODES.fullmatch(number[:n]) for n in (1, 2, 3))
    return len(text) == 10 and text[0] in "23456789"


def _ipv4(text: str) -> bool:
    """An address and hardly a version: 10.2.0.1 could be either, and is let pass."""
    parts = [int(p) for p in text.split(".")]
    return max(parts) <= 255 and max(parts) >= 32 and parts[0] > 0


def _ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _kind(
    name: str,
    filter_: str,
    pattern: str,
    test: Callable[[str], bool],
    chance: float,
    separators: str = " -./()",
) -> Kind:
    return Kind(name, filter_, re.compile(pattern), test, chance, separators)


_ELEVEN = r"(?<![\w.+-])\d{11}(?![\w.-]\w|\w)"

KINDS: tuple[Kind, ...] = (
    _kind("e-mail addresses", r"@", r"(?<![\w.%+-])[\w.%+-]++@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}",
          _email, 0.0, ""),
    _kind(
        "bank accounts (IBAN)",
        r"[A-Za-z]{2}\d{2} ?[A-Za-z0-9]{4}",
        r"(?<!\w)[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}",
        check.iban_at,
        0.01,
    ),
    _kind(
        "card numbers",
        r"\d(?:[ -]?\d){12}",
        r"(?<![\w.+-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)",
        check.card,
        0.025,
    ),
    _kind(
        "phone numbers",
        r"\+\d|\b00[1-9]\d{0,2}[ /-]|\d{3}[-) ] ?\d{3}[-. ]\d{4}",
        r"(?<![\w.+*/^=-])(?<!\d )(?!\+?\d+\.\d+(?![\d./-]))(?:\+[1-9]|00[1-9](?=\d{0,2}[ /-]))\d{0,2}"
        r"(?:[ /.-]?\(?\d++\)?){1,6}+(?!\w|\.\d)"
        r"|(?<![\w-])(?:\(\d{3}\) ?\d{3}[-. ]\d{4}|\d{3}-\d{3}-\d{4})(?![\w-])",
        _phone,
        0.0,
    ),
    _kind("internet addresses", r"\d\.\d{1,3}\.\d{1,3}\.\d", r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)",
          _ipv4, 0.0, ""),
    _kind("internet addresses (IPv6)", r"(?:[0-9A-Fa-f]{1,4}:){3}|::[0-9A-Fa-f]|[0-9A-Fa-f]::",
          r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:|:){2,7}(?::?[0-9A-Fa-f]{1,4})?(?![\w:])", _ipv6, 0.0, ""),
    _kind("social security numbers (US)", r"\d{3}-\d{2}-\d{4}", r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])",
          check.us_ssn, 0.0),
    _kind("national insurance numbers (UK)", r"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-Z]",
          r"(?<![\w-])[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-Z](?![\w-])", check.uk_nino, 0.09),
    _kind("tax numbers (DE)", r"\d{2} ?\d{3} ?\d{3} ?\d{3}",
          _ELEVEN + r"|(?<![\w-])\d{2} \d{3} \d{3} \d{3}(?![\w-])", check.de_tax, 0.005),
    _kind("social security numbers (FR)", r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}",
          r"(?<![\w-])[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}(?![\w-])", check.fr_nir, 0.01),
    _kind("identity numbers (ES)", r"[0-9XYZ]\d{7}-?[A-Z]", r"(?<![\w-])(?:\d{8}|[XYZ]\d{7})-?[A-Z](?![\w-])",
          check.es_dni, 0.044),
    _kind("tax codes (IT)", r"[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]",
          r"(?<!\w)[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?!\w)", check.it_cf, 0.04),
    _kind("identity numbers (PL)", r"\d{11}", _ELEVEN, check.pl_pesel, 0.02),
    _kind("social security numbers (CH)", r"756\.?\d{4}\.?\d{4}\.?\d{2}",
          r"(?<![\w.])756(?:\.\d{4}\.\d{4}\.\d{2}|\d{10})(?!\w|\.\d)", check.ch_ahv, 0.1),
    _kind("tax numbers (BR)", r"\d{3}\.\d{3}\.\d{3}-\d{2}", r"(?<!\w)\d{3}\.\d{3}\.\d{3}-\d{2}(?!\w)",
          check.br_cpf, 0.01),
)  # fmt: skip
"""Every kind, the surest first."""

ANY = "|".join(f"(?:{kind.filter})" for kind in KINDS)
"""RE2: passes every text that may hold any of them."""

CARDS = next(k for k in KINDS if k.name == "card numbers")
