"""A row of steps: as Mermaid for Markdown, as SVG for HTML."""

from __future__ import annotations

from html import escape

from headrace.report.document.blocks import Diagram

_WIDTH, _HEIGHT, _GAP, _LINE = 340, 58, 22, 52


def mermaid(diagram: Diagram) -> str:
    """A flowchart. In Mermaid's labels `#` begins an entity and `"` ends the label."""
    lines = ["flowchart LR"]
    for i, (name, detail) in enumerate(diagram.steps):
        below = f"<br/>{_label(detail)}" if detail else ""
        lines.append(f'    s{i}["<b>{_label(name)}</b>{below}"]')
    lines.append("    " + " --> ".join(f"s{i}" for i in range(len(diagram.steps))))
    return "\n".join(lines)


def _label(text: str) -> str:
    marks = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;", "&": "#amp;", "\\": "#92;"}
    return "".join(marks.get(c, c) for c in " ".join(text.split()))


def svg(diagram: Diagram) -> str:
    """Boxes below one another, which a phone shows as well as a desk."""
    parts, count = [], len(diagram.steps)
    for i, (name, detail) in enumerate(diagram.steps):
        top = 1 + i * (_HEIGHT + _GAP)
        parts.append(f'<rect x="1" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>')
        parts.append(f'<text class="name" x="16" y="{top + 24}">{escape(name)}</text>')
        parts.append(f'<text x="16" y="{top + 43}">{escape(_cut(detail))}</text>')
        if i + 1 < count:
            x, y = _WIDTH // 2, top + _HEIGHT
            parts.append(f'<path d="M{x} {y + 2}v{_GAP - 8}m-4 -4l4 4l4 -4"/>')
    height = 2 + count * _HEIGHT + (count - 1) * _GAP
    told = f"{diagram.label}: {' → '.join(n for n, _ in diagram.steps)}"
    return (
        f'<svg class="steps" viewBox="0 0 {_WIDTH + 2} {height}" role="img" aria-label="{escape(told)}">'
        f"{''.join(parts)}</svg>"
    )


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"
