"""Expectations: what they measure, where they fall short, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.core.errors import ExprError
from headrace.core.evidence import Evidence, Outcome, judge
from headrace.core.schema import Type
from headrace.core.spec.learning import Limits
from headrace.data.expect import plan_expectations
from headrace.data.measure import measure

TYPES = {
    "trips": {
        "id": Type.NUMBER,
        "distance": Type.NUMBER,
        "origin": Type.TEXT,
        "late": Type.BOOL,
        "at": Type.TIME,
    },
    "weather": {"temp": Type.NUMBER, "origin": Type.TEXT},
}


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    trips = pa.table(
        {
            "id": [2**60, 2**60 + 1, 3, 3, None, None],
            "distance": [5.0, -1.0, None, 10.0, 0.5, -2.0],
            "origin": ["EWR", "JFK", None, "JFK", "ewr", "LGA"],
            "late": [True, False, None, True, True, False],
            "at": pa.array([0, 3_600_000_000, None, 0, 0, 0], pa.timestamp("us")),
        }
    )
    pq.write_table(trips, tmp_path / "trips.parquet")
    pq.write_table(pa.table({"temp": [1.0, None], "origin": ["a", "b"]}), tmp_path / "weather.parquet")
    return {"trips": tmp_path / "trips.parquet", "weather": tmp_path / "weather.parquet"}


def ask(paths: dict[str, Path], *texts: str) -> list[Evidence]:
    scratch = paths["trips"].parent / "scratch"
    planned = plan_expectations(texts, TYPES, "trips")
    evidence = measure(planned, paths, limits=Limits(), scratch=scratch)
    assert [e.gate for e in evidence] == [f"expectation: {t}" for t in texts]
    assert not scratch.exists()
    return list(evidence)


@pytest.mark.parametrize(
    ("text", "value", "where"),
    [
        ("distance > 0", 2, "2 of 6 rows, the first is row 2 of trips (distance = -1.0)"),
        ("distance is null or distance > -9", 0, ""),
        ("origin in ('EWR','JFK','LGA')", 1, "1 of 6 rows, the first is row 5 of trips (origin = 'ewr')"),
        ("trips.late", 2, "2 of 6 rows, the first is row 2 of trips (late = False)"),
        (
            "distance > 0 or origin = 'JFK'",
            1,
            "the first is row 6 of trips (distance = -2.0, origin = 'LGA')",
        ),
        ("hour(at) = 0", 1, "the first is row 2 of trips (at = 1970-01-01 01:00:00)"),
        ("unique(id)", 1, "1 of 6 rows, the first is row 4 of trips (id = 3)"),
        ("unique(id, origin)", 0, ""),
        ("unique(lower(origin))", 2, "the first is row 4 of trips (origin = 'JFK')"),
        ("weather.temp > 2", 1, "1 of 2 rows, the first is row 1 of weather (temp = 1.0)"),
    ],
)
def test_conditions_on_rows_count_the_rows_that_break_them(
    paths: dict[str, Path], text: str, value: float, where: str
) -> None:
    (evidence,) = ask(paths, text)
    assert evidence.value == value
    assert where in evidence.where and bool(where) == bool(evidence.where)
    assert evidence.n == (2 if "weather" in text else 6)
    (planned,) = plan_expectations([text], TYPES, "trips")
    assert judge(evidence, planned.rule)[0] is (Outcome.FAIL if value else Outcome.PASS)


@pytest.mark.parametrize(
    ("text", "value", "outcome"),
    [
        ("count(*) > 5", 6, Outcome.PASS),
        ("5 < count(*)", 6, Outcome.PASS),
        ("count(distance) = 5", 5, Outcome.PASS),
        ("count(distinct origin) <= 3", 4, Outcome.FAIL),
        ("avg(distance) >= 2.5", 2.5, Outcome.PASS),
        ("avg(late) >= 0.7", 0.6, Outcome.FAIL),
        ("avg(weather.temp is not null) >= 50%", 0.5, Outcome.PASS),
        ("sum(distance) < -1e3", 12.5, Outcome.FAIL),
        ("max(distance) - min(distance) <= 12", 12, Outcome.PASS),
        ("max(distance) < min(id) * 2", 4.0, Outcome.FAIL),
        ("null_share(distance) <= 0.1", 1 / 6, Outcome.FAIL),
        ("share(distance > 0) >= 0.5", 0.5, Outcome.PASS),
        ("(share(late) = 0.5)", 0.5, Outcome.PASS),
        ("min(ln(distance - 100)) > 0", None, Outcome.UNKNOWN),
    ],
)
def test_aggregates(paths: dict[str, Path], text: str, value: float | None, outcome: Outcome) -> None:
    (evidence,) = ask(paths, text)
    assert evidence.value == (None if value is None else pytest.approx(value))
    (planned,) = plan_expectations([text], TYPES, "trips")
    assert judge(evidence, planned.rule)[0] is outcome


def test_shares_name_the_first_row_that_falls_short(paths: dict[str, Path]) -> None:
    share, nulls, few = ask(
        paths, "share(distance > 0) >= 0.9", "null_share(distance) = 0", "share(distance > 0) <= 0.1"
    )
    assert share.where == "for one, row 2 of trips (distance = -1.0)"
    assert nulls.where == "for one, row 3 of trips (distance = null)"
    assert few.where == "for one, row 1 of trips (distance = 5.0)"


def test_several_at_once_keep_their_order(paths: dict[str, Path]) -> None:
    found = ask(paths, "weather.temp > 0", "distance > 0", "count(weather.temp) = 1", "count(*) = 6")
    assert [e.value for e in found] == [0, 2, 1, 6]
    assert ask(paths) == []


def test_assumptions_have_their_own_gate() -> None:
    (planned,) = plan_expectations(["count(*) > 1"], TYPES, "trips", gate="assumption")
    assert planned.gate == "assumption: count(*) > 1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "distnce > 0",
            "expectation `distnce > 0`: unknown column 'distnce'\n  fix: did you mean 'distance'",
        ),
        ("wether.temp > 0", "unknown column 'wether.temp'\n  fix: did you mean 'weather.temp'"),
        ("distance", "`distance` is number, no condition"),
        ("weather.temp > distance", "it speaks of several tables: trips, weather"),
        ("avg(distance) > 3 and late", "mixes aggregates with something else than one comparison"),
        ("sum(distance) between 1 and 2", "mixes aggregates with something else than one comparison"),
        ("avg(origin) > 2", "avg() of text: `avg(origin)`"),
        ("count(id, origin) > 1", "count() takes one value"),
        ("share(distance) > 1", "`distance` is number, no condition"),
        ("unique()", "unique() needs a column"),
        ("unique(idd)", "unknown column 'idd'"),
        ("medan(distance) > 1", "unknown function 'medan'"),
        ("read_csv('/etc/passwd') > 1", "unknown function 'read_csv'"),
        ("avg(getenv('HOME')) > 1", "unknown function 'getenv'"),
        ("(select count(*) from read_text('/etc/passwd')) > 0", "can't read"),
        ("max(distance) > (select 1)", "subqueries are refused"),
        ("avg(avg(distance)) > 1", "avg() is refused"),
        ("avg(distance) over () > 2", "can't read"),
        ("distance > 0; drop table t", "unexpected `drop`"),
        ("", "the expression is empty"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(ExprError) as caught:
        plan_expectations([text], TYPES, "trips")
    assert told in str(caught.value)


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(ExprError) as caught:
        plan_expectations(["distnce > 0", "count(*) > 1", "unique(idd)"], TYPES, "trips")
    assert len(caught.value.problems) == 2


def test_the_measure_does_not_change_with_threads(tmp_path: Path) -> None:
    rows = 300_000
    values = [((i * 7919) % 100_003) / 7.0 for i in range(rows)]
    pq.write_table(pa.table({"distance": values}), tmp_path / "t.parquet", row_group_size=10_000)
    planned = plan_expectations(
        ["avg(distance) > 0", "sum(distance) > 0"], {"t": {"distance": Type.NUMBER}}, "t"
    )
    found = {
        tuple(
            e.value
            for e in measure(
                planned,
                {"t": tmp_path / "t.parquet"},
                limits=Limits(threads=threads),
                scratch=tmp_path / "scratch",
            )
        )
        for threads in (1, 2, 4, 8)
    }
    assert len(found) == 1
