"""Names and texts as SQL has them, whatever characters they hold."""

from __future__ import annotations


def quoted(name: str) -> str:
    '''A name of a table or column.

    >>> quoted('a "b"')
    '"a ""b"""'
    '''
    return '"' + name.replace('"', '""') + '"'


def sql_text(value: str) -> str:
    """A text.

    >>> sql_text("o'neil")
    "'o''neil'"
    """
    return "'" + value.replace("'", "''") + "'"
