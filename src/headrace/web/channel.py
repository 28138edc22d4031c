"""The workflow drawn as what it is named after: a channel with gates, and water as far as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_STEP, _LEFT, _TOP, _BED = 84, 14, 46, 44
_DOWN, _SIDE = 46, 30
_SIGNS = {"shut": ("✗", "bad"), "failed": ("✗", "bad"), "waived": ("!", "warn"), "open": ("✓", "good")}


@dataclass(frozen=True)
class Reach:
    """A stretch of the channel and the gate at its end.

    state: open (done, its gates pass), waived (done, by a waiver), shut (a gate blocks), failed, now (work is
    under way), or none (not reached). said: a word below the name. href: where more is told.
    """

    name: str
    state: str
    said: str = ""
    href: str = ""
    owner: str = ""

    @property
    def told(self) -> str:
        """Its state in words, for who can't see it."""
        words = {
            "open": "done", "waived": "done by a waiver", "shut": "blocked", "failed": "failed",
            "now": "under way", "none": "not reached",
        }  # fmt: skip
        owner = f", owner {self.owner}" if self.owner and self.state in ("shut", "failed") else ""
        return (
            f"{self.name}: {words.get(self.state, self.state)}{f' ({self.said})' if self.said else ''}{owner}"
        )


def broad(reaches: Sequence[Reach]) -> str:
    """From left to right, as SVG."""
    width = _LEFT * 2 + _STEP * len(reaches)
    low = _TOP + _BED
    filled = _filled(reaches)
    end = (
        _LEFT
        + _STEP * filled
        + (_STEP * 0.5 if filled < len(reaches) and reaches[filled].state == "now" else 0)
    )
    parts = [f'<rect class="bed" x="{_LEFT}" y="{_TOP}" width="{_STEP * len(reaches)}" height="{_BED}"/>']
    if end > _LEFT:
        parts.append(f'<path class="water" d="M{_LEFT} {_TOP + 9}{_waves(end - _LEFT)}V{low}H{_LEFT}z"/>')
        parts += [f'<path class="flow" d="M{_LEFT + 4} {_TOP + y}H{end - 6:.0f}"/>' for y in (22, 33)]
    parts += [
        f'<rect class="water" x="{_LEFT + _STEP * i}" y="{_TOP + 9}" width="{_STEP}" height="{_BED - 9}"/>'
        for i, reach in enumerate(reaches)
        if i > filled and reach.state == "open"  # what was released before flows on
    ]
    parts.append(
        f'<path class="bank" d="M{_LEFT} {_TOP - 1}H{width - _LEFT}M{_LEFT} {low + 1}H{width - _LEFT}"/>'
    )
    for i, reach in enumerate(reaches):
        x = _LEFT + _STEP * (i + 1)
        middle = x - _STEP / 2
        at = f'x="{middle:.0f}" text-anchor="middle"'
        label = (
            f'<text class="name" {at} y="{low + 20}">{escape(reach.name)}</text>'
            f'<text {at} y="{low + 36}">{escape(_cut(reach.said, 13))}</text>'
        )
        parts.append(_linked(reach, label))
        parts.append(_gate(reach, x))
    return (
        f'<svg viewBox="0 0 {width} {low + 46}" role="group" aria-label="{escape(_told(reaches))}">'
        f"{''.join(parts)}</svg>"
    )


def tall(reaches: Sequence[Reach]) -> str:
    """From top to bottom, for a phone."""
    height = 8 + _DOWN * len(reaches)
    filled = _filled(reaches)
    end = 4 + _DOWN * filled
    parts = [f'<rect class="bed" x="{_SIDE}" y="4" width="34" height="{height - 8}"/>']
    if end > 4:
        parts.append(f'<rect class="water" x="{_SIDE}" y="4" width="34" height="{end - 4}"/>')
        parts.append(f'<path class="flow" d="M{_SIDE + 17} 8V{end - 4}"/>')
    parts.append(f'<path class="bank" d="M{_SIDE - 1} 4V{height - 4}M{_SIDE + 35} 4V{height - 4}"/>')
    for i, reach in enumerate(reaches):
        y = 4 + _DOWN * (i + 1)
        label = (
            f'<text class="name" x="{_SIDE + 52}" y="{y - _DOWN / 2 + 2:.0f}">{escape(reach.name)}</text>'
            f'<text x="{_SIDE + 136}" y="{y - _DOWN / 2 + 2:.0f}">{escape(_cut(reach.said, 24))}</text>'
        )
        parts.append(_linked(reach, label))
        kind = {"now": "none", "failed": "shut"}.get(reach.state, reach.state)
        far = _SIDE + (34 if kind in ("shut", "none") else 0)
        parts.append(f'<path class="gate {kind}" d="M{_SIDE - 8} {y}H{far}"/>')
        sign, colour = _SIGNS.get(reach.state, ("", ""))
        parts.append(f'<text class="mark {colour}" x="{_SIDE - 24}" y="{y + 4}">{sign}</text>')
    told = escape(_told(reaches))
    return f'<svg viewBox="0 0 340 {height}" role="group" aria-label="{told}">{"".join(parts)}</svg>'


def _filled(reaches: Sequence[Reach]) -> int:
    """How many reaches the water fills: up to the first gate that is not open."""
    for i, reach in enumerate(reaches):
        if reach.state in ("shut", "failed"):
            return i + (reach.state == "shut")
        if reach.state in ("none", "now"):
            return i
    return len(reaches)


def _waves(length: float) -> str:
    pieces = max(1, round(length / 28))
    each = length / pieces
    return "".join(f"q{each / 4:.1f} -4 {each / 2:.1f} 0t{each / 2:.1f} 0" for _ in range(pieces))


def _gate(reach: Reach, x: float) -> str:
    """Raised where it is open, down where it is not."""
    kind = {"now": "none", "failed": "shut"}.get(reach.state, reach.state)
    top, bottom = (_TOP - 22, _TOP - 3) if kind in ("open", "waived") else (_TOP - 10, _TOP + _BED)
    sign, colour = _SIGNS.get(reach.state, ("", ""))
    mark = f'<text class="mark {colour}" x="{x}" y="{_TOP - 28}" text-anchor="middle">{sign}</text>'
    return f'<path class="gate {kind}" d="M{x} {top}V{bottom}"/>{mark}'


def _linked(reach: Reach, label: str) -> str:
    title = f"<title>{escape(reach.told)}</title>"
    if not reach.href:
        return f"<g>{title}{label}</g>"
    return f'<a href="{escape(reach.href)}" aria-label="{escape(reach.told)}">{title}{label}</a>'


def _told(reaches: Sequence[Reach]) -> str:
    return "The workflow: " + "; ".join(r.told for r in reaches)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
