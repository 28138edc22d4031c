"""Draw a terminal's text as an SVG: `python scripts/picture.py docs/run.svg "headrace run" < text`."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

SIZE, LINE, PAD = 13.0, 18.0, 16.0
ADVANCE = SIZE * 0.602  # of the common monospaced fonts
COLOURS = {"pass": "#3fb950", "released": "#3fb950", "fail": "#f85149", "not applicable": "#8b949e"}


def draw(text: str, title: str) -> str:
    """The SVG of these lines, on a dark ground, with verdicts coloured."""
    lines = text.rstrip().splitlines()
    width = max(len(line) for line in lines) * ADVANCE + 2 * PAD
    height = (len(lines) + 2) * LINE + PAD
    rows = "\n".join(
        f'<text x="{PAD}" y="{PAD + (i + 2) * LINE:.0f}" xml:space="preserve">{_coloured(line)}</text>'
        for i, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(title)}">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n'
        f'<text x="{PAD}" y="{PAD + LINE * 0.6:.0f}" fill="#8b949e" font-family="monospace" '
        f'font-size="{SIZE}">$ {escape(title)}</text>\n'
        f'<g fill="#e6edf3" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" '
        f'font-size="{SIZE}">\n{rows}\n</g>\n</svg>\n'
    )


def _coloured(line: str) -> str:
    shown = escape(line)
    for word, colour in COLOURS.items():
        shown = shown.replace(f"  {word}  ", f'  <tspan fill="{colour}">{word}</tspan>  ')
    return shown


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python scripts/picture.py FILE.svg TITLE < text")
    Path(sys.argv[1]).write_text(draw(sys.stdin.read(), sys.argv[2]), encoding="utf-8")


if __name__ == "__main__":
    main()
