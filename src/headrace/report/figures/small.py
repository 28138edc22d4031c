"""Small figures as SVG: a histogram and a share. They take the page's colours and need no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _FOOT = 280, 74, 14


def histogram_svg(
    edges: Sequence[float], counts: Sequence[int], *, low: str, high: str, label: str = "histogram"
) -> str:
    """Bars over `edges` [bars + 1]; `low` and `high` are written under the ends."""
    top = max(counts, default=0) or 1
    step = _WIDTH / max(1, len(counts))
    gap = min(1.0, step / 6)
    bars = []
    for i, count in enumerate(counts):
        if count:
            # The smallest bar is seen.
            height = max(1.0, (_HEIGHT - 4) * count / top)
            bars.append(f"M{i * step + gap / 2:.1f} {_HEIGHT}v{-height:.1f}h{step - gap:.1f}v{height:.1f}z")
    told = f"{label} of {len(edges) - 1} bars from {low} to {high}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _FOOT}" role="img" aria-label="{escape(told)}">'
        f'<path class="bar" d="{"".join(bars)}"/><path class="axis" d="M0 {_HEIGHT}h{_WIDTH}"/>'
        f'<text x="0" y="{_HEIGHT + 11}">{escape(low)}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 11}" text-anchor="end">{escape(high)}</text></svg>'
    )


def meter(share: float) -> str:
    """A bar as long as a share between 0 and 1."""
    return f'<div class="meter" style="--w:{100 * min(1.0, max(0.0, share)):.1f}"></div>'
