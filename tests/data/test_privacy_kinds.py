"""Personal data is known by its looks and by its column's name; numbers that merely resemble it are not."""

import doctest
import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace.data.privacy import digits, names, redact
from headrace.data.privacy.kinds import ANY, KINDS, beyond_chance
from headrace.data.privacy.names import names_personal

BY = {k.name: k for k in KINDS}
LOOKS = {
    "e-mail addresses": (
        ["ada@example.org", "write to a.b+c@mail.example.co.uk now", "ünï@exämple.de"],
        ["@home", "a@b", "icon@2x.png"],
    ),
    "phone numbers": (
        ["+49 151 2345 678", "0049 30 901820", "(555) 123-4567", "(212) 555-0173", "+1-202-555-0173",
         "call +44 (0)20 7946 0958 now", "+33 1 23 45 67 89", "+4915112345678"],
        ["15123456", "2024-01-31", "12.5", "1 2 3", "00491512345678", "x+12345678901", "40.7+74.0060123",
         "2013-01-01 05:00:00", "000-12-3456", "+0.5", "+1", "1+1=2"],
    ),
    "bank accounts (IBAN)": (
        ["GB82 WEST 1234 5698 7654 32", "FR1420041010050500013M02606", "de89370400440532013000",
         "pay to DE89 3704 0044 0532 0130 00 IS MINE"],
        ["GB82WEST12345698765433", "AB12", "DE8937040044053201300"],
    ),
    "card numbers": (
        ["5500-0055-5555-5559", "378282246310005", "card 4111 1111 1111 1111."],
        ["4111111111111112", "411111", "1700000000000", "0000000000000000", "4111111111111111-5"],
    ),
    "internet addresses": (
        ["192.168.0.1", "from 203.0.113.9:80"],
        ["1.2.3", "12:30", "999.1.1.1", "1.5", "1.2.3.4", "v2.14.0.3", "1.2.3.200.5"],
    ),
    "internet addresses (IPv6)": (
        ["2001:db8::1", "x 2001:0db8:85a3:0000:0000:8a2e:0370:7334 y"],
        ["12:30:45", "aa:bb:cc:dd:ee:ff", "std::vector", "2013-01-01T05:00:00"],
    ),
    "social security numbers (US)": (
        ["123-45-6789", "ssn 123-45-6789"], ["000-45-6789", "123456789", "666-12-1234", "123-45-67890"],
    ),
    "national insurance numbers (UK)": (
        ["AB123456C", "AB 12 34 56 C"], ["QQ123456C", "N12345", "AB123456E", "ab123456c"],
    ),
    "tax numbers (DE)": (["86095742719", "86 095 742 719"], ["86095742718", "12345678901"]),
    "social security numbers (FR)": (["255081416802538", "2 55 08 14 168 025 38"], ["255081416802539"]),
    "identity numbers (ES)": (["12345678Z", "X1234567L"], ["12345678A"]),
    "tax codes (IT)": (["RSSMRA85T10A562S"], ["RSSMRA85T10A562T"]),
    "identity numbers (PL)": (["44051401359"], ["44051401358", "44991401356"]),
    "social security numbers (CH)": (["756.9217.0769.85"], ["756.9217.0769.84"]),
    "tax numbers (BR)": (["529.982.247-25"], ["529.982.247-24", "111.111.111-11"]),
}  # fmt: skip


def test_every_kind_is_tried():
    assert set(LOOKS) == set(BY)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_each_kind(kind):
    yes, no = LOOKS[kind.name]
    assert [v for v in yes if not kind.holds(v)] == []
    assert [v for v in no if kind.holds(v)] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_the_cheap_patterns_let_through_what_the_kind_would_find(kind):
    values = pa.array(LOOKS[kind.name][0])
    for pattern in (kind.filter, ANY):
        assert pc.all(pc.match_substring_regex(values, pattern)).as_py()


@pytest.mark.parametrize("kind", [k for k in KINDS if k.chance], ids=lambda k: k.name)
def test_the_stated_chance_bounds_what_strangers_pass(kind):
    """Random digits and letters in the shape of real ones pass no more often than `chance` says."""
    draw = random.Random(3)

    def stranger(like: str) -> str:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        same = "756" if like.startswith("756") else like[:2] if kind.name.startswith("bank") else ""
        rest = like[len(same) :]
        return same + "".join(
            draw.choice("0123456789") if c.isdigit() else draw.choice(letters) if c.isalpha() else c
            for c in rest
        )

    example = LOOKS[kind.name][0][0]
    tried = [c for _ in range(20_000) for c in kind.candidates(stranger(example))[:1]]
    assert len(tried) > 1_000
    passed = sum(kind.passes(c) for c in tried)
    assert passed <= len(tried) * kind.chance + 4 * (len(tried) * kind.chance) ** 0.5


def test_a_few_chance_hits_are_no_finding():
    assert not beyond_chance(0, 0, 0.0)
    assert beyond_chance(1, 1, 0.025)
    assert beyond_chance(1, 1, 0.0)
    assert not beyond_chance(25, 1000, 0.025)
    assert not beyond_chance(499, 1000, 0.0)
    assert beyond_chance(500, 1000, 0.0)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Customer Name", "a person's name"), ("first_name", "a person's name"),
        ("LastName", "a person's name"), ("BirthDate", "a date of birth"),
        ("date_of_birth", "a date of birth"), ("dob", "a date of birth"),
        ("email_address", "an e-mail address"), ("E-Mail", "an e-mail address"),
        ("phone2", "a phone number"), ("phone_number", "a phone number"),
        ("street", "a postal address"), ("address_line_1", "a postal address"),
        ("ip", "an internet address"), ("ip_address", "an internet address"),
        ("tax_id", "a tax number"), ("airline_name", ""),
        ("name", ""), ("email_domain", ""),
        ("phone_model", ""), ("address_type", ""),
        ("has_email", ""), ("is_mobile", ""),
        ("mac_address", ""), ("mail_class", ""),
        ("tailnum", ""), ("", ""),
    ],
)  # fmt: skip
def test_what_names_tell(name, told):
    assert names_personal(name) == told


@pytest.mark.parametrize("module", [digits, names, redact])
def test_doctests(module):
    assert doctest.testmod(module).failed == 0
