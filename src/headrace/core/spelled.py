"""Values as people write them, wherever one is named by its text: whom to erase, which class is meant."""

from __future__ import annotations


def spelled(value: object) -> str:
    """A value as its name is written: whole numbers without a fraction, truths in small letters.

    >>> spelled(5.0), spelled(2.5), spelled(True), spelled("Ada")
    ('5', '2.5', 'true', 'Ada')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
