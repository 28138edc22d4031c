"""A document as GitHub-flavoured Markdown. Nothing that a user wrote becomes markup."""

from __future__ import annotations

import re

from headrace.report.document.blocks import (
    Block,
    Code,
    Commands,
    Diagram,
    Document,
    Heading,
    Inline,
    Items,
    Lack,
    Para,
    Part,
    Table,
    Words,
    flat,
)
from headrace.report.document.diagram import mermaid

_MARKUP = re.compile(r"([\\`*<|~$]|&(?=#?\w+;))")
_LINKS = re.compile(r"^\[|\](?=[(\[:])")
_EDGE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BEGINS = re.compile(r"^(\s*)(?:([-+#=>]+)|(\d+)([.)])(?=\s|$))")
_BREAKS = re.compile(r"\s*(?:\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029])\s*")


def to_markdown(document: Document) -> str:
    """The whole document as text that ends with a line feed."""
    parts = [f"# {plain(document.title)}", plain(document.stand)]
    parts += [f"## {plain(part.title)}\n\n{part_text(part)}" for part in document.parts]
    return "\n\n".join(p for p in parts if p) + "\n"


def part_text(part: Part) -> str:
    """A section without its title."""
    return "\n\n".join(b for b in map(_block, part.blocks) if b)


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"### {plain(block.text).strip()}"
    if isinstance(block, Para):
        return _begin(_words(block.words))
    if isinstance(block, Items):
        marks = (f"{i}." if block.numbered else "-" for i in range(1, len(block.items) + 1))
        return "\n".join(f"{m} {_begin(_words(i))}" for m, i in zip(marks, block.items, strict=True))
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Commands):
        return fenced("sh", "\n".join(_one_line(line) for line in block.lines))
    return _diagram(block)


def _diagram(block: Diagram) -> str:
    return fenced("mermaid", mermaid(block))


def fenced(kind: str, text: str) -> str:
    """Text between fences that are longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text}\n{fence}"


def _table(table: Table) -> str:
    head = "| " + " | ".join(plain(h) for h in table.headers) + " |"
    rule = "|" + "---|" * len(table.headers)
    rows = ["| " + " | ".join(_words(c, table=True) or " " for c in row) + " |" for row in table.rows]
    return "\n".join([head, rule, *rows])


def _words(words: Words, *, table: bool = False) -> str:
    return "".join(_inline(w, table) for w in flat(words)).strip()


def _inline(word: Inline, table: bool) -> str:
    if isinstance(word, Lack):
        return f"*not declared: add* {code(word.key)}"
    return code(word.text, table=table) if isinstance(word, Code) else plain(word)


def plain(text: str) -> str:
    """A plain text, escaped; its lines become one.

    >>> plain("a | *b*\\n<i>snake_case</i>")
    'a \\\\| \\\\*b\\\\* \\\\<i>snake_case\\\\</i>'
    """
    return _EDGE.sub(r"\\_", _LINKS.sub(r"\\\g<0>", _MARKUP.sub(r"\\\1", _one_line(text))))


def code(text: str, *, table: bool = False) -> str:
    """A code span. In a table a pipe would end the cell even there.

    >>> code("a | b", table=True), code("tick `x`")
    ('`a \\\\| b`', '`` tick `x` ``')
    """
    text = _one_line(text).strip()
    if not text:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence, pad = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{pad}{text.replace('|', chr(92) + '|') if table else text}{pad}{fence}"


def _one_line(text: str) -> str:
    return _BREAKS.sub(" ", text)


def _begin(text: str) -> str:
    """What would begin a list, a heading or a rule at the beginning of a line is escaped."""
    return _BEGINS.sub(lambda m: f"{m[1]}\\{m[2]}" if m[2] else f"{m[1]}{m[3]}\\{m[4]}", text)
