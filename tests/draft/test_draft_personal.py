"""Personal data is known by its looks; numbers that merely resemble it are not."""

import random

import pytest

from headrace.draft.personal import is_card, is_email, is_iban, is_ip, is_phone, is_ssn, personal_kind


@pytest.mark.parametrize(
    ("looks", "yes", "no"),
    [
        (is_email, ["ada@example.org", "write to a.b+c@mail.example.co.uk now"], ["@home", "a@b"]),
        (is_phone, ["+49 151 2345 678", "0049 30 901820", "(555) 123-4567", "+1-202-555-0173"],
         ["15123456", "2024-01-31", "12.5", "1 2 3"]),
        (is_iban, ["GB82 WEST 1234 5698 7654 32", "FR1420041010050500013M02606"],
         ["GB82WEST12345698765433", "AB12"]),
        (is_card, ["5500-0055-5555-5559", "378282246310005"], ["4111111111111112", "411111"]),
        (is_ip, ["192.168.0.1", "2001:db8::1"], ["1.2.3", "12:30", "999.1.1.1", "1.5"]),
        (is_ssn, ["123-45-6789"], ["000-45-6789", "123456789", "666-12-1234"]),
    ],
)  # fmt: skip
def test_each_kind(looks, yes, no):
    assert [v for v in yes if not looks(v)] == []
    assert [v for v in no if looks(v)] == []


def test_a_column_is_personal_by_share():
    draw = random.Random(0)
    numbers = [str(draw.randrange(10**15, 6 * 10**15)) for _ in range(2000)]  # one in ten passes Luhn's check
    assert any(is_card(n) for n in numbers)
    assert personal_kind(numbers) == ""
    assert personal_kind(["fine"] * 98 + ["ada@example.org"] * 2).startswith("2 of 100 values seen")
    assert personal_kind([]) == ""
