"""What a document is made of: plain records that Markdown and HTML are written from. Texts are plain texts;
whoever writes them out escapes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A name, an expression or a command, word for word."""

    text: str


@dataclass(frozen=True)
class Lack:
    """Something that the spec does not say; `key` is where it would be said."""

    key: str


Inline = str | Code | Lack
Words = Inline | tuple[Inline, ...]


@dataclass(frozen=True)
class Heading:
    """A sub-heading of a part."""

    text: str


@dataclass(frozen=True)
class Para:
    """A paragraph."""

    words: Words


@dataclass(frozen=True)
class Items:
    """A list; numbered where the order matters."""

    items: tuple[Words, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Table:
    """A table; every row has as many cells as there are headers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Words, ...], ...]


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Diagram:
    """Steps one after the other, each with a line of detail."""

    label: str
    steps: tuple[tuple[str, str], ...]


Block = Heading | Para | Items | Table | Commands | Diagram


@dataclass(frozen=True)
class Part:
    """A section of the document."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole document. `stand` says what it was written from."""

    title: str
    stand: str
    parts: tuple[Part, ...]

    def lacks(self) -> tuple[str, ...]:
        """The keys that are not declared, in the order in which they are met."""
        found = [w.key for part in self.parts for w in inlines(part) if isinstance(w, Lack)]
        return tuple(dict.fromkeys(found))


def inlines(part: Part) -> Iterator[Inline]:
    """Every piece of text of a part."""
    for block in part.blocks:
        if isinstance(block, Para):
            yield from flat(block.words)
        elif isinstance(block, Items):
            for item in block.items:
                yield from flat(item)
        elif isinstance(block, Table):
            for row in block.rows:
                for cell in row:
                    yield from flat(cell)


def flat(words: Words) -> tuple[Inline, ...]:
    """Words as a tuple of pieces."""
    return words if isinstance(words, tuple) else (words,)


def said(text: str | None, key: str) -> Inline:
    """A text, or that it is lacking."""
    return text if text and text.strip() else Lack(key)
