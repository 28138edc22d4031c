"""Drift & performance: every reading over time against its threshold, down to a column's histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from headrace.core.clock import from_micros, iso
from headrace.core.errors import Corrupt, NotFound
from headrace.core.watching import AlertState, AlertView, Family, Reading, Window
from headrace.project.watching import SeenWindow
from headrace.web.figures import GREY, Series, over_time, two_histograms
from headrace.web.page import Asked, Page

if TYPE_CHECKING:
    from headrace.watch.readings import Found

LASTS = ("30", "60", "120", "365")
_MOST_LINES = 40
_FIRST = (Family.PERFORMANCE, Family.ESTIMATED, Family.VALUE)
"""Families whose newest metric is drawn where no check was chosen: what drift does, not that it is there."""


@dataclass(frozen=True)
class Line:
    """A check over the windows. values, thresholds: by window, oldest first (None: it said nothing).
    exceeded: windows in which it was an alarm; newest: its newest reading. to: where it is shown in full."""

    family: str
    check: str
    of: str
    newest: Reading
    at: int
    values: tuple[float | None, ...]
    thresholds: tuple[float | None, ...]
    exceeded: int
    to: str


@dataclass(frozen=True)
class At:
    """A reading of the chosen check, with its window."""

    window: Window
    reading: Reading


@dataclass(frozen=True)
class Histogram:
    """A column's bins: shares of the reference rows and of a window's."""

    column: str
    start: int
    end: int
    rows: int
    names: tuple[str, ...]
    reference: tuple[float, ...]
    window: tuple[float, ...]


@dataclass(frozen=True)
class Drift:
    """The page. releases, arms: that were watched; chosen: family, check and column, drawn in full."""

    release: str
    arm: str
    releases: tuple[str, ...]
    arms: tuple[str, ...]
    family: str
    families: tuple[str, ...]
    last: str
    lasts: tuple[str, ...]
    alarms: bool
    windows: tuple[SeenWindow, ...]
    lines: tuple[Line, ...]
    total: int
    chosen: tuple[str, str, str] | None
    over_time: tuple[At, ...]
    histogram: Histogram | None
    start: int
    alerts: tuple[AlertView, ...]


def model(asked: Asked) -> Drift:
    """The newest windows of a release on an arm."""
    project = asked.project
    last = asked.choice("last", LASTS, "60")
    every = project.windows(last=int(LASTS[-1]))
    streams = tuple(dict.fromkeys((w.release, w.arm) for w in reversed(every)))
    release, arm = _stream(asked, streams)
    windows = project.windows(release=release, arm=arm, last=int(last)) if streams else []
    found = project.readings(release=release, arm=arm, last=int(last)) if windows else []
    family = asked.choice("family", tuple(f.value for f in Family), "")
    alarms = asked.text("alarms") == "1"
    lines = _lines(found, windows, asked)
    shown = [x for x in lines if (not family or x.family == family) and (not alarms or x.exceeded)]
    chosen = _chosen(asked, shown or lines)
    drawn = [At(f.window, f.reading) for f in found if chosen and _key(f.reading) == chosen]
    start = asked.whole("window", 0, most=1 << 60) if asked.query.get("window", "").isdigit() else 0
    window = _window(windows, start, drawn)
    return Drift(
        release=release,
        arm=arm,
        releases=tuple(dict.fromkeys(r for r, _ in streams)),
        arms=tuple(a for r, a in streams if r == release),
        family=family,
        families=tuple(dict.fromkeys(x.family for x in lines)),
        last=last,
        lasts=LASTS,
        alarms=alarms,
        windows=tuple(windows),
        lines=tuple(shown[:_MOST_LINES]),
        total=len(shown),
        chosen=chosen,
        over_time=tuple(drawn),
        histogram=_histogram(asked, chosen[2], window) if chosen and window else None,
        start=window.start if window else 0,
        alerts=tuple(_active(asked, release)),
    )


def _active(asked: Asked, release: str) -> list[AlertView]:
    every = asked.project.alerts()
    return [a for a in every if a.state is not AlertState.RESOLVED and a.release == release]


def _stream(asked: Asked, streams: Sequence[tuple[str, str]]) -> tuple[str, str]:
    wanted = asked.text("release"), asked.text("arm")
    for release, arm in streams:
        if release == wanted[0] and wanted[1] in ("", arm):
            return release, arm
    return streams[0] if streams else ("", "")


def _key(r: Reading) -> tuple[str, str, str]:
    return r.family.value, r.check, r.of


def _lines(found: Sequence[Found], windows: Sequence[SeenWindow], asked: Asked) -> list[Line]:
    """One a check, those that exceed most on top."""
    order = {w.start: i for i, w in enumerate(windows)}
    by: dict[tuple[str, str, str], list[Found]] = {}
    for f in found:
        by.setdefault(_key(f.reading), []).append(f)
    lines = []
    for (family, check, of), mine in by.items():
        values: list[float | None] = [None] * len(windows)
        thresholds: list[float | None] = [None] * len(windows)
        for f in mine:
            at = order.get(f.window.start)
            if at is not None:
                values[at], thresholds[at] = f.reading.value, f.reading.threshold
        exceeded = sum(f.reading.exceeds for f in mine)
        kept = {k: v for k, v in asked.query.items() if k in ("release", "arm", "last", "alarms")}
        to = "?" + urlencode({**kept, "family": family, "check": check, "of": of})
        at, newest = mine[-1].window.start, mine[-1].reading
        drawn = tuple(values), tuple(thresholds)
        lines.append(Line(family, check, of, newest, at, *drawn, exceeded, to))
    return sorted(
        lines, key=lambda x: (x.newest.value is None, -x.exceeded, -_ratio(x.newest), x.family, x.check, x.of)
    )


def _ratio(r: Reading) -> float:
    """How near the newest value is to its threshold."""
    if r.value is None or not r.threshold:
        return 0.0
    return abs(r.value / r.threshold)


def _chosen(asked: Asked, lines: Sequence[Line]) -> tuple[str, str, str] | None:
    """The check that the query names; without one, the one that exceeded most, or else a metric."""
    wanted = asked.text("family"), asked.query.get("check", ""), asked.query.get("of", "")
    keys = {(x.family, x.check, x.of): x for x in lines if x.newest.value is not None or x.exceeded}
    if wanted in keys:
        return wanted
    if asked.query.get("check"):
        return None
    metrics = [k for k in keys if k[0] in _FIRST and not k[2]]
    worst = [k for k, x in keys.items() if x.exceeded]
    return next(iter([*worst, *metrics, *keys]), None)


def _window(windows: Sequence[SeenWindow], start: int, drawn: Sequence[At]) -> SeenWindow | None:
    """The window that is asked for; without one, the newest in which the chosen check was an alarm."""
    by = {w.start: w for w in windows}
    if start in by:
        return by[start]
    alarms = [a.window.start for a in drawn if a.reading.exceeds]
    return by.get(alarms[-1]) if alarms else windows[-1] if windows else None


def _histogram(asked: Asked, column: str, window: SeenWindow) -> Histogram | None:
    """A column's bins in the reference and in a window; None where it is no column, or neither is kept."""
    from headrace.summary.reference import read_reference

    project = asked.project
    try:
        _, manifest = project.release(window.release)
        plan = manifest.watch
        if plan is None or not plan.reference:
            return None
        reference = read_reference(project.store.get(plan.reference).read_bytes())
    except (NotFound, Corrupt):
        return None
    if column not in reference.bins.names:
        return None
    counts = project.window_counts(window.release, window.arm, window.start, window.end)
    if counts is None or counts.bins != reference.bins.digest:
        return None
    before = list(reference.counts[reference.bins.index(column)])
    after = [int(n) for n in counts.of(reference.bins, column)]
    of = reference.bins.column(column)
    kept = [i for i in range(len(before)) if before[i] or after[i]]
    return Histogram(
        column,
        window.start,
        window.end,
        sum(after),
        tuple(of.told(i) for i in kept),
        tuple(before[i] / max(1, sum(before)) for i in kept),
        tuple(after[i] / max(1, sum(after)) for i in kept),
    )


def dress(page: Drift) -> Mapping[str, Any]:
    """The figures: the chosen check over time, its column's histograms, and a small line for every check."""
    from markupsafe import Markup

    found: dict[str, Any] = {"sparks": [Markup(spark(x)) for x in page.lines]}
    if page.over_time:
        unit = page.over_time[-1].reading.unit or "value"
        found["drawn"] = over_time(_series(page.over_time), unit, zero=False)
    if page.histogram is not None:
        h = page.histogram
        found["histogram"] = two_histograms(h.names, h.reference, h.window)
    return found


def _series(found: Sequence[At]) -> list[Series]:
    x = [_iso(a.window.end) for a in found]
    readings = [a.reading for a in found]
    made = [
        Series(
            readings[-1].check,
            x,
            [r.value for r in readings],
            low=[r.low for r in readings],
            high=[r.high for r in readings],
            marks=[r.exceeds for r in readings],
        )
    ]
    if any(r.threshold is not None for r in readings):
        made.append(Series("threshold", x, [r.threshold for r in readings], GREY, "dash"))
    return made


def _iso(micros: int) -> str:
    return iso(from_micros(micros))


def spark(line: Line) -> str:
    """A check over the windows as a small SVG: its value, and its threshold as a dotted line."""
    known = [v for v in (*line.values, *line.thresholds) if v is not None]
    if not known:
        return ""
    low, high = min(0.0, *known), max(known)
    reach = (high - low) or 1.0
    step = 118 / max(1, len(line.values) - 1)

    def path(values: Sequence[float | None]) -> str:
        parts, pen = [], "M"
        for i, v in enumerate(values):
            if v is None:
                pen = "M"
                continue
            parts.append(f"{pen}{1 + i * step:.1f} {25 - 22 * (v - low) / reach:.1f}")
            pen = "L"
        return "".join(parts)

    told = escape(f"{line.check} of {line.of or 'the whole'} over {len(line.values)} windows")
    return (
        f'<svg viewBox="0 0 120 28" class="spark" role="img" aria-label="{told}">'
        f'<path class="limit" d="{path(line.thresholds)}"/>'
        f'<path class="value" d="{path(line.values)}"/></svg>'
    )


PAGE = Page(
    "drift",
    "drift",
    "Drift & performance",
    "every check over time against its threshold; alerts; down to a column, a slice and their histograms",
    model,
    "drift.html",
    dress=dress,
    plots=True,
)
