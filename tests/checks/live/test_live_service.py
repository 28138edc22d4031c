"""Quality, health and cost of a window, from what was counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headrace.checks.live.cost import per_1000
from headrace.checks.live.health import Service, errors, fallbacks, gpu, latency, served, uptime
from headrace.checks.live.quality import PAST, Volume, freshness, schema, silence, volume
from headrace.core.schema import Type
from headrace.core.watching import Reading
from headrace.release.watching import Prices
from headrace.summary.bins import make_bins
from headrace.summary.counts import count
from headrace.summary.reference import Reference, by_column
from headrace.summary.traffic import MOST_NAMES, OTHER, Traffic, bins_of

HOUR = 3_600_000_000
MINUTE = 60_000_000


def traffic(rows: int = 1000, **changes: object) -> Traffic:
    took = bins_of(np.linspace(100, 10_000, rows).astype(np.int64))
    bins, numbers = np.unique(took, return_counts=True)
    plain = {"rows": rows, "first": 0, "last": HOUR - 1, "slowest": 10_000, "by": {"model": rows}}
    plain["took"] = dict(zip(bins.tolist(), numbers.tolist(), strict=True))
    return Traffic(**{**plain, **changes})  # type: ignore[arg-type]  # fields by name


def by_check(readings: object) -> dict[str, Reading]:
    return {r.check: r for r in readings}  # type: ignore[attr-defined]  # an iterable of readings


def test_traffic_of_processes_adds_up_in_any_order_to_the_same_bytes() -> None:
    rng = np.random.default_rng(1)
    parts = [
        Traffic(
            5, int(rng.integers(1, 9)), 20 + i, 30 - i, i % 2, 1, {int(rng.integers(99)): 5},
            {f"rule: {i}": 5}, {f"range: c{i}": 2}, {"w.t": 1}, {}, {i, i + 3},
        )
        for i in range(40)
    ]  # fmt: skip
    whole = sum(parts, Traffic())
    shuffled = [parts[i] for i in rng.permutation(len(parts))]
    assert sum(shuffled, Traffic()).to_bytes() == whole.to_bytes()
    assert Traffic.from_bytes(whole.to_bytes()) == whole
    assert whole.rows == 200 and whole.slowest == 30
    assert Traffic.from_bytes(Traffic().to_bytes()) == Traffic()


def test_names_without_end_are_few_in_any_order() -> None:
    parts = [Traffic(1, 1, 1, flags={f"unknown: {i:04}": 1}) for i in range(3 * MOST_NAMES)]
    whole = sum(parts, Traffic())
    assert sum(parts[::-1], Traffic()).to_bytes() == whole.to_bytes()
    assert len(whole.flags) == MOST_NAMES and sum(whole.flags.values()) == 3 * MOST_NAMES
    assert whole.flags[OTHER] == 2 * MOST_NAMES + 1


def test_quantiles_of_latency_are_those_of_the_rows() -> None:
    took = np.random.default_rng(2).lognormal(7, 1, 20_000).astype(np.int64)
    bins, numbers = np.unique(bins_of(took), return_counts=True)
    counted = dict(zip(bins.tolist(), numbers.tolist(), strict=True))
    found = Traffic(len(took), slowest=int(took.max()), took=counted)
    for q in (0.5, 0.95, 0.99):
        assert found.quantile(q) == pytest.approx(np.quantile(took, q), rel=0.03)
    assert Traffic().quantile(0.5) is None


def test_latency_is_met_with_its_bound_once_there_are_enough() -> None:
    told = by_check(latency(traffic(), 5_000))
    assert told["p99"].exceeds and told["p99"].threshold == 5.0 and "9.9" in told["p99"].where
    assert told["p50"].value == pytest.approx(5.05, rel=0.05) and not told["p50"].exceeds
    assert not by_check(latency(traffic(), None))["p99"].exceeds
    assert "needed" in by_check(latency(traffic(50), 1))["p99"].why_none
    assert by_check(latency(Traffic(), 1))["p50"].why_none == "no answers"


def test_errors_are_answers_that_no_release_gave_and_requests_that_got_none() -> None:
    lost = errors(traffic(unanswered=30), Service(), 0.01)
    assert lost.exceeds and lost.value == pytest.approx(0.03)
    assert not errors(traffic(unanswered=2), Service(), 0.001).exceeds  # one or two are nothing
    with_server = errors(traffic(), Service({"200": 1000.0, "503": 50.0}, looks=1), 0.01)
    assert with_server.exceeds and with_server.value == pytest.approx(50 / 1050)
    assert errors(Traffic(), Service(), 0.01).why_none


def test_what_the_service_failed_at_is_a_share_of_what_all_arms_answered() -> None:
    server = Service({"200": 9950.0, "500": 50.0}, looks=1)
    arm = errors(traffic(900), server, 0.01, answered=9950)
    assert arm.value == pytest.approx(0.005) and not arm.exceeds
    both = errors(traffic(900, unanswered=90), server, 0.01, answered=9950)
    assert both.value == pytest.approx(0.1 + 0.9 * 0.005) and both.exceeds
    assert both.where == "90 of 900 had no release's answer; 50 of the whole service's 10,000 had none"
    none = errors(Traffic(), server, 0.001, answered=9950)
    assert none.value == pytest.approx(0.005) and none.exceeds


def test_fallbacks_are_told_by_cause() -> None:
    by = {
        "model": 900,
        "fallback: champion (timeout)": 80,
        "fallback: value (error; the row does not fit)": 20,
    }
    found = list(fallbacks(traffic(by=by), 0.05))
    assert found[0].exceeds and found[0].value == pytest.approx(0.1) and "timeout" in found[0].where
    assert {r.of: r.value for r in found[1:]} == {"error": 0.02, "timeout": 0.08}
    assert not next(fallbacks(traffic(by={"model": 990, "rule: x": 10}), 0.05)).exceeds


def test_uptime_is_in_minutes() -> None:
    beats = {m for m in range(60) if not 20 <= m < 35}
    told = by_check(uptime(traffic(beats=beats), 0, HOUR))
    assert told["uptime"].value == pytest.approx(0.75) and told["gap"].value == 15
    assert by_check(uptime(Traffic(), 0, HOUR))["gap"].value == 60


def test_what_servers_count_or_that_nobody_tells() -> None:
    told = by_check(served(Service({"200": 900.0, "422": 80.0, "429": 20.0}, 2, 7, 300_000_000, 5)))
    assert told["refused"].exceeds and told["busy"].exceeds and told["memory"].value == 300
    assert all("no server" in r.why_none for r in served(Service()))


def test_a_gpu_or_none() -> None:
    (none,) = gpu(lambda: None)
    assert none.why_none.startswith("not applicable") and not none.exceeds
    use, memory = gpu(lambda: "35, 4000, 16000\n80, 1000, 16000\n")
    assert (use.value, memory.value) == (0.8, 0.25)


def test_cost_counts_machines_people_and_calls() -> None:
    prices = Prices(machine_hour=2.0, prediction=0.001, review=1.5, per_1000=1.0, unit="EUR")
    told = per_1000(prices, 10_000, 4, HOUR, workers=2)
    assert told.value == pytest.approx((4 + 10 + 6) / 10) and told.exceeds
    assert told.details == {"machines": 4.0, "reviews": 6.0, "predictions": 10.0}
    shared = per_1000(prices, 1_000, 4, HOUR, workers=2, answered=10_000)
    assert shared.value == pytest.approx((0.4 + 1 + 6) / 1) and shared.details["machines"] == 0.4
    assert per_1000(None, 10, 0, HOUR, 1).why_none and per_1000(prices, 0, 0, HOUR, 1).why_none


def reference() -> tuple[Reference, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    columns = {"a": rng.normal(size=500), "b": np.array(["x", "y"] * 250, dtype=object)}
    bins = make_bins(columns, {"a": Type.NUMBER, "b": Type.TEXT})
    counts = count(bins, columns, 500)
    made = Reference(
        bins, 500, by_column(bins, counts), tuple(counts.sums.tolist()), tuple(counts.squares.tolist()), None,
        None, {"validation": 500}, (), "f1",
    )  # fmt: skip
    return made, columns


def test_columns_that_vanish_or_that_nobody_knows() -> None:
    made, columns = reference()
    gone = {**columns, "a": np.full(500, math.nan)}
    counts = count(made.bins, gone, 500)
    odd = traffic(500, flags={"unknown: colour": 400, "missing: b": 300, "range: a": 5})
    found = {(r.check, r.of): r for r in schema(made.bins, counts, made, odd, ())}
    assert set(found) == {("vanished", "a"), ("unknown", "colour"), ("vanished", "b")}
    assert all(r.exceeds for r in found.values())
    assert not list(schema(made.bins, counts, made, traffic(500), ["a"]))
    whole = count(made.bins, columns, 500)
    assert not list(schema(made.bins, whole, made, traffic(500), ()))


def test_facts_that_are_too_old_and_silence() -> None:
    (stale,) = freshness(traffic(stale={"weather.temp": 100}), ())
    assert stale.exceeds and stale.of == "weather.temp" and stale.value == 0.1
    assert not next(freshness(traffic(stale={"weather.temp": 5}), ())).exceeds
    assert not list(silence(10, None, 0))
    assert next(silence(2 * HOUR, HOUR, 0)).exceeds and not next(silence(1, HOUR, 0)).exceeds


def stream(rng: np.random.Generator, days: int, base: float, spread: float) -> list[Volume]:
    found = []
    for hour in range(24 * days):
        day, at = divmod(hour, 24)
        usual = base * math.exp(0.8 * math.sin(at / 24 * 2 * math.pi) - 0.7 * (day % 7 > 4))
        rows = int(rng.poisson(usual * math.exp(rng.normal() * spread)))
        found.append(Volume(rows, HOUR, (day % 7, at)))
    return found


@pytest.mark.parametrize(("base", "spread"), [(100.0, 0.1), (5000.0, 0.2), (20.0, 0.0)])
def test_volume_keeps_to_its_chance_on_a_seasonal_stream(base: float, spread: float) -> None:
    rng = np.random.default_rng(4)
    past = stream(rng, 42, base, spread)
    now = stream(rng, 14, base, spread)
    alarms = sum(volume(v, past, 0.02).exceeds for v in now)
    assert alarms <= 14  # 6.7 expected of 336; 15 and more come once in two hundred


def test_volume_sees_half_of_it_missing_and_twice_as_much() -> None:
    past = stream(np.random.default_rng(5), 42, 500, 0.1)
    usual = np.median([v.rows for v in past if v.phase == (2, 9)])
    few = volume(Volume(int(usual / 2), HOUR, (2, 9)), past, 1e-3)
    many = volume(Volume(int(usual * 2), HOUR, (2, 9)), past, 1e-3)
    assert few.exceeds and many.exceeds and few.p is not None and few.p < 1e-3
    assert few.threshold is not None and few.threshold > usual / 2 and "Wednesdays at 9 h" in few.where
    assert many.threshold is not None and many.threshold < usual * 2
    none = volume(Volume(0, HOUR, (2, 9)), past, 1e-3)
    assert none.exceeds
    young = volume(Volume(10, HOUR, (2, 9)), past[: PAST - 1], 1e-3)
    assert young.value is None and not young.exceeds and str(PAST - 1) in young.why_none


@pytest.mark.parametrize(("span", "days", "later"), [(24, 14, 60), (24, 40, 60), (1, 21, 24 * 8)])
def test_an_outage_makes_no_alarm_of_the_usual_volume_behind_it(span: int, days: int, later: int) -> None:
    rng = np.random.default_rng(6)

    def usual(i: int) -> Volume:
        day, hour = divmod(i * span, 24)
        return Volume(int(rng.poisson(1000)), span * HOUR, (day % 7, hour))

    windows = days * 24 // span
    past = [usual(i) for i in range(windows)]
    past[-1] = Volume(0, span * HOUR, past[-1].phase)
    chance = 0.05 * span / 720  # of one false alarm a month
    for i in range(windows, windows + later):
        now = usual(i)
        told = volume(now, past, chance)
        assert not told.exceeds, (i, told.where)
        past.append(now)
    gone = Volume(0, span * HOUR, past[windows - 1].phase)
    assert volume(gone, past, chance).exceeds
