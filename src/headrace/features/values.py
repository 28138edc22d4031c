"""How a number or boolean is written where it serves as a category."""

from __future__ import annotations


def text_of(value: str | float, *, is_bool: bool = False) -> str:
    """A category's value as its vocabulary spells it; `value_of` undone.

    >>> text_of(3.0), text_of(2.5), text_of(1.0, is_bool=True), text_of("EWR")
    ('3', '2.5', 'true', 'EWR')
    """
    if isinstance(value, str):
        return value
    if is_bool:
        return "true" if value else "false"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def value_of(text: str, *, is_bool: bool = False) -> float:
    """The number that a vocabulary spells.

    >>> value_of("3"), value_of("true", is_bool=True)
    (3.0, 1.0)
    """
    return float(text == "true") if is_bool else float(text)
