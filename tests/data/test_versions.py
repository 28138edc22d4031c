"""Ages are judged on every run, and two snapshots tell how they differ."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from spine import clock, edit_rows, edit_spec, finished, fresh, statuses, verdict

from headrace.cli.root import cli
from headrace.core.errors import NotFound
from headrace.core.evidence import Outcome
from headrace.core.schema import Column, Snapshot
from headrace.data.privacy.redact import type_before
from headrace.data.versions import QUANTILES, diff, newest

__all__ = ["clock", "finished", "fresh"]
US = pa.timestamp("us")


def table(tmp_path, name, **columns):
    made = pa.table(columns)
    path = tmp_path / f"{name}.parquet"
    pq.write_table(made, path)
    kinds = tuple(Column(f.name, type_before(f.type)) for f in made.schema)
    return Snapshot("t", name, name, made.num_rows, kinds, "", ""), path


def compared(tmp_path, a, b, id_column=None):
    (one, first), (other, second) = table(tmp_path, "a", **a), table(tmp_path, "b", **b)
    return diff(one, other, (first, second), id_column=id_column)


def test_schema_rows_and_categories(tmp_path):
    found = compared(
        tmp_path,
        {"id": pa.array([1, 2, 3]), "x": pa.array([1.0, 2.0, None]), "c": pa.array(["a", "b", "b"]),
         "old": pa.array([1, 2, 3]), "t": pa.array(["1", "2", "3"])},
        {"id": pa.array([2, 3, 4, 5]), "x": pa.array([2.0, 7.0, 1.0, 1.0]),
         "c": pa.array(["b", "b", "z", None]), "new": pa.array([1, 2, 3, 4]), "t": pa.array([1, 2, 3, 4])},
        "id",
    )  # fmt: skip
    assert (found.gained, found.lost, found.retyped) == (("new",), ("old",), (("t", "text", "number"),))
    rows = found.identity
    assert (rows.by, rows.added, rows.removed, rows.changed, rows.same) == ("id", 2, 1, 1, 1)
    by = {c.column: c for c in found.columns}
    assert by["x"].missing == (pytest.approx(1 / 3), 0.0)
    assert (by["c"].gained, by["c"].lost, by["c"].missing[1]) == (("z",), ("a",), 0.25)
    assert by["x"].quantiles[0][QUANTILES.index(0.5)] == 1.5


def test_rows_without_an_id_are_told_by_all_their_values(tmp_path):
    found = compared(tmp_path, {"x": pa.array([1, 1, 2])}, {"x": pa.array([1, 2, 2, 3])})
    assert (found.identity.added, found.identity.removed, found.identity.same) == (2, 1, 2)
    assert found.identity.changed is None


def test_kolmogorov_smirnov_agrees_with_scipy_and_holds_its_level(tmp_path):
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    low = 0
    for _ in range(200):
        a, b = rng.normal(size=150), rng.normal(size=200)
        found = compared(tmp_path, {"x": pa.array(a)}, {"x": pa.array(b)}).columns[0]
        known = ks_2samp(a, b, method="asymp")
        assert found.ks == pytest.approx(known.statistic)
        assert found.p == pytest.approx(known.pvalue)
        low += found.p < 0.05
    assert low <= 200 * 0.05 + 3 * (200 * 0.05 * 0.95) ** 0.5
    shifted = compared(tmp_path, {"x": pa.array(a)}, {"x": pa.array(b + 1)}).columns[0]
    assert shifted.p < 1e-6
    assert shifted.psi > 0.25


def test_the_stability_index_is_the_symmetrised_divergence(tmp_path):
    a, b = {"c": pa.array(["a"] * 50 + ["b"] * 50)}, {"c": pa.array(["a"] * 80 + ["b"] * 20)}
    found = compared(tmp_path, a, b).columns[0]
    assert found.psi == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5))
    assert found.p < 1e-4
    same = compared(tmp_path, a, a).columns[0]
    assert (same.psi, same.p) == (0.0, pytest.approx(1.0))


def test_odd_columns(tmp_path):
    null = {"n": pa.array([None, None], pa.float64()), "t": pa.array([None, None], pa.string()),
            "b": pa.array([True, None]), "k": pa.array([5, 5]), "w": pa.array([0, 1], US)}  # fmt: skip
    by = {c.column: c for c in compared(tmp_path, null, null).columns}
    assert by["n"].missing == (1.0, 1.0)
    assert by["n"].psi is by["t"].psi is None
    assert (by["b"].psi, by["b"].p) == (0.0, None)
    assert by["k"].ks == 0.0


def test_the_newest_moment_is_a_past_one(tmp_path):
    hours = [0, 5, None, 90]
    _, path = table(tmp_path, "t", at=pa.array([None if h is None else h * 3_600_000_000 for h in hours], US))
    start = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    assert newest(path, "at", start + dt.timedelta(hours=24)) == start + dt.timedelta(hours=5)
    assert newest(path, "at", start + dt.timedelta(hours=90)) == start + dt.timedelta(hours=90)
    assert newest(path, "at", start - dt.timedelta(hours=1)) is None


def test_a_table_grows_old_though_its_stage_is_cached(fresh, clock):
    age = 685.6
    edit_spec(fresh, ("time: seen, ttl: 3 h}", "time: seen, ttl: 3 h, max_age: 686 days}"))
    first = fresh.run()
    assert verdict(first, "fresh: weather").outcome is Outcome.PASS
    assert verdict(first, "fresh: weather").evidence.value == pytest.approx(age, abs=0.1)
    clock.forward(days=1)
    second = fresh.run()
    assert statuses(second)["ingest"] == "cached"
    assert verdict(second, "fresh: weather").outcome is Outcome.FAIL
    assert second.status == "blocked"
    assert second.tables["weather"]["age_days"] == pytest.approx(age + 1, abs=0.1)
    assert second.tables["weather"]["artifact"] == first.tables["weather"]["artifact"]
    edit_spec(fresh, ("max_age: 686 days", "max_age: 700 days"))
    third = fresh.run()
    assert statuses(third)["ingest"] == "cached"
    assert third.status == "released"
    assert fresh.release()[1].snapshots["weather"].newest.startswith("2024-02-29T23:00")


def test_snapshots_are_listed_with_their_runs_and_compared(finished, clock):
    runner = CliRunner()
    (parcels, weather) = finished.data()
    assert (parcels.table, parcels.rows, parcels.runs, parcels.kept) == ("parcels", 1200, ("run-1",), True)
    assert weather.age_days == pytest.approx(685.6, abs=0.2)
    edit_rows(finished, lambda r: {**r, "wind": str(float(r["wind"] or 0) + 9)}, "weather")
    edit_rows(finished, lambda r: None if r["parcel"] == "3" else r)
    finished.run()
    finished.run()
    seen = {v.artifact: v for v in finished.data()}
    assert len(seen) == 4
    assert seen[parcels.artifact].runs == ("run-1",)
    assert [v.runs for v in seen.values() if v.table == "weather"] == [("run-1",), ("run-2", "run-3")]
    by = {t.table: t for t in finished.data_diff("run-1", "run-2")}
    assert (by["parcels"].identity.removed, by["parcels"].identity.added) == (1, 0)
    wind = next(c for c in by["weather"].columns if c.column == "wind")
    assert wind.psi > 0.25
    newer = next(v.artifact for v in seen.values() if v.table == "weather" and v.artifact != weather.artifact)
    done = runner.invoke(cli, ["data", "diff", weather.artifact[:10], newer[:10], "-C", str(finished.root)])
    assert done.exit_code == 0, done.output
    assert "median" in done.output
    done = runner.invoke(cli, ["data", "diff", "run-1", "run-1", "-C", str(finished.root), "--json"])
    assert [t["identity"]["added"] for t in json.loads(done.stdout)] == [0, 0]
    listed = runner.invoke(cli, ["data", "list", "-C", str(finished.root)])
    assert "run-2, run-3" in listed.output
    for first, second in (("run-9", "run-1"), (parcels.artifact, weather.artifact), ("", "run-1")):
        with pytest.raises(NotFound):
            finished.data_diff(first, second)
