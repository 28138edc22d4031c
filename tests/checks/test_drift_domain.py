"""All columns together: a relation that changes is seen and named where no column shows anything."""

from __future__ import annotations

import numpy as np
import pytest
from coded import count_codes
from drift_streams import CASES, held, world
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from headrace.checks.drift.budget import thresholds
from headrace.checks.drift.domain import (
    DomainThresholds,
    Features,
    _area,
    domain_reading,
    domain_thresholds,
    spread,
    tell,
)
from headrace.checks.drift.readings import surprises
from headrace.checks.drift.resample import Size
from headrace.checks.drift.tail import Tail
from headrace.core.codec import from_json, to_json
from headrace.core.schema import Type
from headrace.core.watching import Family
from headrace.summary.bins import Bins, make_bins
from headrace.summary.counts import Counter

N, M, COLUMNS = 8_000, 400, 12
TAIL = Tail(start=1.0, share=0.2, scale=1.0, clusters=30.0, shape=0.03, levels=(0.0, 1.0))


def made(correlation: float, seed: int = 0) -> tuple[Bins, NDArray[np.uint8], NDArray[np.uint8]]:
    """A reference of independent columns, and 8 windows in which two of them go together; each column by
    itself is as ever."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((N + 8 * M, COLUMNS))
    z[N:, 5] = correlation * z[N:, 2] + np.sqrt(1 - correlation**2) * z[N:, 5]
    raw: dict[str, NDArray] = {f"c{j}": z[:, j] for j in range(COLUMNS)}
    raw["kind"] = np.where(z[:, 11] > 0.5, "up", "down").astype(object)
    types = {name: Type.TEXT if name == "kind" else Type.NUMBER for name in raw}
    bins = make_bins({k: v[:N] for k, v in raw.items()}, types)
    codes = Counter(bins).codes(raw, len(z))
    return bins, codes[:N], codes[N:]


def test_a_change_of_correlation_is_caught_and_named_and_no_column_shows_it() -> None:
    bins, reference, live = made(0.5)
    rows = held(bins, reference, np.arange(N), False)
    found = domain_thresholds(bins, rows, Size(M), 1 / 300)
    found = from_json(to_json(found), DomainThresholds)
    seen = [domain_reading(bins, found, rows, live[i * M : (i + 1) * M]) for i in range(8)]
    assert sum(r.exceeds for r in seen) >= 7
    for r in seen:
        assert r.family is Family.MULTIVARIATE
        assert r.value is not None and r.threshold is not None
        assert r.exceeds == (r.value > r.threshold)
        assert r.details["pairs"][0] == ["c2", "c5"]
        assert r.where.startswith("c2 and c5 go together differently: rank correlation went from ")
    alone = thresholds(bins, rows, Size(M), 1 / 300)
    counts = np.stack([told(bins, live[i * M : (i + 1) * M]) for i in range(8)])
    assert (surprises(bins, alone, told(bins, reference), counts) > alone.surprise).sum() <= 1


def told(bins: Bins, codes: NDArray[np.uint8]) -> NDArray[np.int64]:

    return count_codes(bins, codes).codes


def test_nothing_is_seen_where_nothing_changed() -> None:
    bins, reference, live = made(0.0, 1)
    rows = held(bins, reference, np.arange(N), False)
    found = domain_thresholds(bins, rows, Size(M), 1 / 100)
    seen = [domain_reading(bins, found, rows, live[i * M : (i + 1) * M]) for i in range(8)]
    assert sum(r.exceeds for r in seen) <= 1
    assert np.mean([r.value for r in seen]) == pytest.approx(0.5, abs=0.03)


def test_stretches_of_a_stream_that_hangs_together_widen_the_threshold() -> None:

    limits = []
    for name in ("iid100", "ar200"):
        case = CASES[name]
        w = world(case.kind, 1, reference=6_000, columns=6, rows=200, span=0, windows=3)
        limits.append(domain_thresholds(w.bins, w.rows, Size(200), 1 / 100).z)
    assert limits[1] > 1.5 * limits[0]


def test_the_area_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    a, b = np.round(rng.normal(0, 1, 500), 1), np.round(rng.normal(0.4, 1, 200), 1)
    truth = np.append(np.zeros(500), np.ones(200))
    assert _area(a, b) == pytest.approx(roc_auc_score(truth, np.append(a, b)))


def test_a_shifted_column_leads() -> None:
    bins, reference, live = made(0.0)
    live = live.copy()
    column = live[:, 7].astype(int)
    live[:, 7] = np.minimum(column + 4, bins.columns[7].high)
    features = Features(bins, reference, ())
    seen = tell(features, features.of(reference[spread(reference)]), features.of(live[:M]))
    assert seen.names[0] == ("c7", "c7")
    assert seen.area > 0.55


def test_too_little_to_tell_says_so() -> None:
    bins, reference, live = made(0.0)
    rows = held(bins, reference, np.arange(N), False)
    assert "too few" in domain_thresholds(bins, rows, Size(4_000), 0.01).why_none
    one = domain_thresholds(bins, rows, Size(M), 0.01, ignore=tuple(f"c{j}" for j in range(12)))
    assert domain_reading(bins, one, rows, live[:M]).why_none == one.why_none
    found = DomainThresholds(bins.digest, (), 0.01, z=3.0, tail=TAIL)
    assert "too few" in domain_reading(bins, found, rows, live[:10]).why_none
