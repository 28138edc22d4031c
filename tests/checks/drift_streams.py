"""Streams that change nothing: independent rows, rows that hang together, days and weeks; of mixed
columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.budget import Thresholds
from headrace.checks.drift.layout import counted
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
