"""A document as one self-contained HTML page."""

from __future__ import annotations

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
from headrace.report.document.diagram import svg
from headrace.report.page import Html, Section, page, table, text


def to_html(document: Document) -> str:
    """The whole page."""
    sections = [_section(i, part) for i, part in enumerate(document.parts, 1)]
    return page(document.title, sections, subtitle=document.stand, side=True)


def _section(number: int, part: Part) -> Section:
    # By number: titles may repeat, and anchors may not.
    # On lines of their own: a difference between two copies can be read.
    body = "\n".join(_block(b) for b in part.blocks)
    return Section(f"part-{number}", part.title, f'<div class="doc">\n{body}\n</div>')


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h3>{text(block.text)}</h3>"
    if isinstance(block, Para):
        return f"<p>{_words(block.words)}</p>"
    if isinstance(block, Items):
        tag = "ol" if block.numbered else "ul"
        return f"<{tag}>{''.join(f'<li>{_words(i)}</li>' for i in block.items)}</{tag}>"
    if isinstance(block, Table):
        drawn = table(block.headers, [[Html(_words(c)) for c in row] for row in block.rows])
        return drawn.replace("</tr><tr>", "</tr>\n<tr>")
    if isinstance(block, Commands):
        return f"<pre><code>{text(chr(10).join(block.lines))}</code></pre>"
    return _drawn(block)


def _drawn(block: Diagram) -> str:
    return svg(block)


def _words(words: Words) -> str:
    return "".join(_inline(w) for w in flat(words))


def _inline(word: Inline) -> str:
    if isinstance(word, Lack):
        return f'<em class="lack">not declared: add <code>{text(word.key)}</code></em>'
    return f"<code>{text(word.text)}</code>" if isinstance(word, Code) else text(word)
