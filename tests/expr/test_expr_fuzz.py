"""Graph and DuckDB agree on everything: 0 differences over random expressions and odd rows."""

from __future__ import annotations

import numpy as np
import pytest
from expr_fuzz import COLUMNS, by_graph, differences, fuzz, rows

from headrace.expr import parse


@pytest.mark.parametrize(("seed", "zone", "count"), [(1, "UTC", 200), (2, "America/New_York", 60)])
def test_graph_equals_duckdb_to_the_bit(seed: int, zone: str, count: int) -> None:
    compared, notes = fuzz(seed, count, 300, zone=zone)
    assert compared >= count
    assert notes == []


def test_transcendental_functions_differ_by_their_last_bits_at_most() -> None:
    compared, notes = fuzz(3, 60, 300, zone="UTC", smooth=True)
    assert compared >= 60
    assert notes == []


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 112))
def test_thousands(seed: int) -> None:
    for zone in ("UTC", "America/New_York", "Europe/Amsterdam", "Asia/Kolkata"):
        assert fuzz(seed, 200, 300, zone=zone)[1] == []
    assert fuzz(seed, 200, 300, zone="UTC", smooth=True)[1] == []


def test_the_comparison_sees_a_difference() -> None:
    data = rows(np.random.default_rng(0), 50)
    honest = parse("n1 + 1", COLUMNS)
    other = parse("n1 + 2", COLUMNS)
    liar = type(honest)(honest.text, other.node, honest.type, honest.columns, honest.zone)
    assert differences([honest], data) == []
    assert not np.array_equal(by_graph([honest], data)[0], by_graph([liar], data)[0], equal_nan=True)


@pytest.mark.parametrize(
    "zone",
    ["America/New_York", "Europe/Amsterdam", "America/Sao_Paulo", "Africa/Casablanca", "Australia/Lord_Howe"],
)
def test_clock_changes_of_other_zones(zone: str) -> None:
    from headrace.expr.zones import offsets

    rng = np.random.default_rng(5)
    moments = np.array(offsets(zone).moments, dtype=np.int64) * 1_000_000
    near = np.concatenate(
        [moments - 1, moments, moments + rng.integers(-90_000_000_000, 90_000_000_000, len(moments))]
    )
    texts = [
        "epoch(date_trunc('day', t1)) + hour(t1)",
        "minute(t1) + second(t1)",
        "epoch(date_trunc('hour', t1))",
    ]
    assert differences([parse(t, COLUMNS, zone=zone) for t in texts], {"t1": near}) == []
