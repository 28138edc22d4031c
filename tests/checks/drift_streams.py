"""Streams that change nothing: independent rows, rows that hang together, days and weeks; of mixed
columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.budget import Thresholds, thresholds
from headrace.checks.drift.layout import counted
from headrace.checks.drift.psi import PSI
from headrace.checks.drift.readings import surprises
from headrace.checks.drift.resample import Size
from headrace.core.schema import NULL_TEXT, Type
from headrace.summary.bins import Bins, make_bins
from headrace.summary.counts import Counter
from headrace.summary.reference import ReferenceRows, block_of, keep

HOUR = 3_600_000_000
START = 1_700_000_400_000_000 // HOUR * HOUR


def ar1(
    rng: np.random.Generator, n: int, phi: NDArray[np.float64] | float, columns: int
) -> NDArray[np.float64]:
    """Stationary normal series `[n, columns]` of variance 1."""
    from scipy.signal import lfilter

    phis = np.broadcast_to(np.asarray(phi, np.float64), (columns,))
    noise = rng.standard_normal((n, columns)) * np.sqrt(1 - phis**2)
    start = rng.standard_normal(columns)
    return np.stack(
        [lfilter([1.0], [1.0, -p], noise[:, j], zi=[p * start[j]])[0] for j, p in enumerate(phis)], axis=1
    )


@dataclass(frozen=True)
class Kind:
    """A kind of stream. rows: `[n, columns]` of standard normals behind the columns, and times."""

    name: str
    hourly: float = 0.0

    def latent(
        self, rng: np.random.Generator, n: int, columns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        if self.name == "iid":
            return _with_common(rng.standard_normal((n, columns)), rng.standard_normal((n, 1))), _minutes(n)
        if self.name == "ar":
            phi = np.resize([0.9, 0.5, 0.0, 0.8, 0.9], columns)
            return _with_common(ar1(rng, n, phi, columns), ar1(rng, n, 0.9, 1)), _minutes(n)
        hours = int(n / self.hourly * 1.2) + 200
        clock = np.arange(hours)
        wave = np.sin(2 * np.pi * clock / 24)
        weekend = (clock // 24 % 7) >= 5
        volume = np.full(hours, self.hourly)
        if self.name == "season":
            volume = self.hourly * (1 + 0.6 * wave) * np.where(weekend, 0.6, 1.0)
        arrived = rng.poisson(volume)
        of = np.repeat(clock, arrived)[:n]
        times = START + of * HOUR + rng.integers(0, HOUR, len(of))
        times.sort()
        noise = rng.standard_normal((len(of), columns))
        if self.name == "hours":
            level = _with_common(ar1(rng, hours, 0.9, columns), ar1(rng, hours, 0.9, 1))
            share = np.resize([0.3, 0.1, 0.0, 0.5], columns)
        else:
            phase = rng.uniform(0, 2 * np.pi, columns)
            daily = np.sin(2 * np.pi * clock[:, None] / 24 + phase)
            level = np.sqrt(1.6) * daily + 0.8 * weekend[:, None]
            share = np.resize([0.3, 0.1, 0.0, 0.2], columns)
        return np.sqrt(share) * level[of] + np.sqrt(1 - share) * noise, times


def _minutes(n: int) -> NDArray[np.int64]:
    return START + np.arange(n, dtype=np.int64) * 60_000_000


def _with_common(own: NDArray[np.float64], common: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(0.7) * own + np.sqrt(0.3) * common


_WORDS = np.array(["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"])


def dress(
    rng: np.random.Generator, z: NDArray[np.float64], mixed: bool
) -> tuple[dict[str, NDArray], dict[str, Type]]:
    """Raw columns of latent normals: numbers (also heavy-tailed, whole, mostly zero), texts, bools, nulls."""
    columns: dict[str, NDArray] = {}
    types: dict[str, Type] = {}
    for j in range(z.shape[1]):
        x, name = z[:, j], f"c{j}"
        style = j % 8 if mixed else 0
        types[name] = Type.NUMBER
        if style == 1:
            x = np.sinh(2.5 * x)
        elif style == 2:
            x = np.round(2 * x)
        elif style == 3:
            columns[name] = _WORDS[np.clip(np.digitize(x, [-1.5, -0.8, -0.2, 0.3, 0.9, 1.8, 2.6]), 0, 7)]
            types[name] = Type.TEXT
            columns[name] = np.where(rng.random(len(x)) < 0.02, NULL_TEXT, columns[name]).astype(object)
            continue
        elif style == 4:
            columns[name] = (x > 1.3).astype(np.float64)
            types[name] = Type.BOOL
            continue
        elif style == 5:
            x = np.where(x < 1.5, 0.0, x)
        elif style == 6:
            x = np.where(rng.random(len(x)) < 0.1, np.nan, x)
        elif style == 7:
            x = np.where(x > 1.6, np.nan, x)
        columns[name] = x
    return columns, types


def held(bins: Bins, codes: NDArray[np.uint8], times: NDArray[np.int64], timed: bool) -> ReferenceRows:
    """Reference rows as a release has them."""
    n = len(codes)
    kept, run = keep(n)
    block = block_of(n)
    blocks = counted(bins, codes, block.astype(np.int64), int(block[-1]) + 1).astype(np.uint32)
    first = np.flatnonzero(np.append(True, np.diff(block)))
    nothing = np.zeros(len(kept), np.int64)
    return ReferenceRows(
        codes=codes[kept],
        time=times[kept],
        unit=kept,
        run=run,
        score=np.zeros(len(kept)),
        truth=np.zeros(len(kept)),
        decision=nothing,
        blocks=blocks,
        starts=times[first],
        sizes=np.bincount(block),
        timed=timed,
    )


@dataclass(frozen=True)
class World:
    """A reference and the windows after it. windows: counts `[windows, codes]`; size: of them."""

    bins: Bins
    rows: ReferenceRows
    reference: NDArray[np.int64]
    windows: NDArray[np.float32]
    size: Size
    codes: NDArray[np.uint8]
    of: NDArray[np.int64]


def world(
    kind: Kind,
    seed: int,
    *,
    reference: int,
    columns: int,
    rows: int,
    span: int,
    windows: int,
    mixed: bool = True,
) -> World:
    """rows: in a window of a stream without hours; span: of one with hours, microseconds (0: by rows)."""
    rng = np.random.default_rng([seed, 77])
    n = reference + int(windows * rows * 1.05) + rows
    z, times = kind.latent(rng, n, columns)
    raw, types = dress(rng, z, mixed)
    bins = make_bins({k: v[:reference] for k, v in raw.items()}, types)
    codes = Counter(bins).codes(raw, len(z))
    live = np.arange(reference, len(z))
    if span:
        begins = (times[reference] // span + 1) * span
        of = (times[live] - begins) // span
        of = np.where(of >= 0, of, -1)
        of = np.where(of < min(windows, int(of.max())), of, -1)
    else:
        of = (live - reference) // rows
        of = np.where(of < windows, of, -1)
    counts = counted(bins, codes[live], of, int(of.max()) + 1)
    counts = counts[counts.sum(1) > 20 * columns]
    return World(
        bins,
        held(bins, codes[:reference], times[:reference], timed=span > 0),
        counted(bins, codes[:reference], np.zeros(reference, np.int64), 1)[0].astype(np.int64),
        counts,
        Size(rows, span),
        codes[live],
        of,
    )


def alarms(w: World, found: Thresholds) -> NDArray[np.bool_]:
    """Which windows are an alarm."""
    return surprises(w.bins, found, w.reference, w.windows) > found.surprise


@dataclass(frozen=True)
class Case:
    """A kind of stream, and the windows that are judged."""

    told: str
    kind: Kind
    reference: int
    rows: int
    span: int = 0


CASES = {
    "iid100": Case("independent rows, windows of 100", Kind("iid"), 20_000, 100),
    "iid1000": Case("independent rows, windows of 1,000", Kind("iid"), 20_000, 1_000),
    "iid250": Case("independent rows, only 4,000 of reference, windows of 250", Kind("iid"), 4_000, 250),
    "ar50": Case("AR(1) of rows, phi to 0.9, windows of 50", Kind("ar"), 20_000, 50),
    "ar200": Case("AR(1) of rows, phi to 0.9, windows of 200", Kind("ar"), 20_000, 200),
    "ar1000": Case("AR(1) of rows, phi to 0.9, windows of 1,000", Kind("ar"), 20_000, 1_000),
    "hours1": Case("levels AR(1) by hour, phi 0.9, windows of 1 h", Kind("hours", 40.0), 20_000, 40, HOUR),
    "hours1long": Case("the same, 2,000 hours of reference", Kind("hours", 40.0), 80_000, 40, HOUR),
    "hours24": Case(
        "levels AR(1) by hour, phi 0.9, windows of 1 day", Kind("hours", 10.0), 20_000, 240, 24 * HOUR
    ),
    "season6": Case(
        "days and weeks, also in volume, windows of 6 h", Kind("season", 20.0), 20_000, 120, 6 * HOUR
    ),
    "season24": Case(
        "days and weeks, also in volume, windows of 1 day", Kind("season", 15.0), 20_000, 360, 24 * HOUR
    ),
}


@dataclass(frozen=True)
class Told:
    """Of one case: windows judged, alarms by rate, and the share of windows that usual defaults flag."""

    windows: int
    alarms: dict[float, int]
    by_world: dict[float, list[float]]
    psi: float
    ks: float


def budgets(
    name: str, worlds: int, windows: int, rates: Sequence[float], *, columns: int = 16, first: int = 0
) -> Told:
    """Streams that change nothing, each with a reference of its own: how often there is an alarm."""
    case = CASES[name]
    total, found = 0, dict.fromkeys(rates, 0)
    by_world: dict[float, list[float]] = {r: [] for r in rates}
    usual = np.zeros(2)
    for seed in range(first, first + worlds):
        w = world(
            case.kind,
            seed,
            reference=case.reference,
            columns=columns,
            rows=case.rows,
            span=case.span,
            windows=windows,
        )
        made = thresholds(w.bins, w.rows, w.size, rates[0])
        assert made.tail is not None, made.why_none
        surprised = surprises(w.bins, made, w.reference, w.windows)
        total += len(surprised)
        for r in rates:
            over = surprised > made.tail.threshold(r)
            found[r] += int(over.sum())
            by_world[r].append(float(over.mean()))
        usual += usual_defaults(w)
    return Told(total, found, by_world, *(usual / total))


def usual_defaults(w: World) -> NDArray[np.float64]:
    """How many windows have any number column with a PSI above 0.2 (ten bins), or with p < 0.05 of KS."""
    psi, ks = np.zeros((2, len(w.windows)), np.bool_)
    for column in w.bins.columns:
        if not column.ordered or column.inner < 2:
            continue
        span = w.bins.span(column.name)
        r, q = w.reference[span][2:].astype(np.float64), w.windows[:, span][:, 2:].astype(np.float64)
        ends = np.unique(np.searchsorted(np.cumsum(r) / r.sum(), np.arange(1, 10) / 10))
        starts = np.unique(np.append(0, ends + 1)).clip(max=len(r) - 1)
        merged = [np.add.reduceat(x, np.unique(starts), axis=-1) for x in (q, r)]
        psi |= PSI.value(merged[0][:, None], merged[1][None, None], np.zeros((1, 1)))[:, 0] > 0.2
        m = q.sum(1)
        apart = np.abs(np.cumsum(q, 1) / np.maximum(m, 1)[:, None] - np.cumsum(r) / r.sum()).max(1)
        ks |= apart * np.sqrt(m * r.sum() / (m + r.sum())) > 1.358
    return np.array([psi.sum(), ks.sum()], np.float64)


def caught(
    kind: Kind,
    rows: int,
    rate: float,
    *,
    references: int,
    repeats: int,
    shift: float = 0.3,
    columns: int = 50,
) -> float:
    """How often a shift of one of the columns is an alarm within three windows; `repeats` times for each of
    so many references of 20,000 rows."""
    n, hits = 20_000, 0
    for seed in range(references):
        rng = np.random.default_rng([seed, rows, 5])
        z, times = kind.latent(rng, n + repeats * 3 * rows, columns)
        z[n:, 0] += shift
        raw, types = dress(rng, z, mixed=False)
        bins = make_bins({k: v[:n] for k, v in raw.items()}, types)
        codes = Counter(bins).codes(raw, len(z))
        made = thresholds(bins, held(bins, codes[:n], times[:n], False), Size(rows), rate)
        reference = counted(bins, codes[:n], np.zeros(n, np.int64), 1)[0]
        windows = counted(bins, codes[n:], np.arange(repeats * 3 * rows) // rows, repeats * 3)
        over = surprises(bins, made, reference, windows) > made.surprise
        hits += int(over.reshape(repeats, 3).any(1).sum())
    return hits / (references * repeats)
