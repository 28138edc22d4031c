"""Questions in SQL: what was answered, parts and segments alike; nothing else can be read or written."""

from pathlib import Path

import pytest
from written import write

from headrace.core.errors import UserError
from headrace.logs.compact import compact
from headrace.logs.label_tables import LabelTables, label_tables
from headrace.logs.query import Told, query
from headrace.testing.log_exam import answered


def ask(folder: Path, sql: str, labels: LabelTables | None = None) -> Told:
    return query(folder, sql, label_tables([]) if labels is None else labels)


def test_parts_and_segments_are_one_table(tmp_path: Path) -> None:
    entries = [answered(i, release="ab"[i % 2]) for i in range(100)]
    write(tmp_path, entries[:50])
    compact(tmp_path)
    write(tmp_path, entries[50:])
    told = ask(
        tmp_path,
        "SELECT release, avg(prediction), sum(input_size), count(*) FROM predictions GROUP BY 1 ORDER BY 1",
    )
    assert told.names[0] == "release"
    assert told.rows == [("a", 122.5, 1225.0, 50), ("b", 125.0, 1250.0, 50)]
    assert ask(tmp_path, "SELECT min(time)::VARCHAR FROM predictions").rows == [("2025-11-21 15:46:40",)]
    assert ask(tmp_path, "SELECT answered_by, shadow_of FROM predictions LIMIT 1").rows == [("model", "")]


def test_classes_and_columns_that_come_and_go(tmp_path: Path) -> None:
    write(tmp_path, [answered(1, answer={"prediction": "late", "probability": {"late": 0.75}, "time": 3})])
    compact(tmp_path)
    write(tmp_path, [answered(2, answer={"prediction": "early", "set": ["early"]}, inputs={"fresh": True})])
    told = ask(
        tmp_path,
        "SELECT prediction, probability['late'], set, input_fresh, answer_time FROM predictions ORDER BY id",
    )
    assert told.rows == [("late", 0.75, None, None, 3), ("early", None, ["early"], True, None)]


def test_columns_that_sql_does_not_unite(tmp_path: Path) -> None:
    write(tmp_path, [answered(1, inputs={"x": {"a": 1.0}, "Case": 1, "case": 2})])
    compact(tmp_path)
    write(tmp_path, [answered(2, inputs={"x": ["b"], "case": "two"})])
    told = ask(tmp_path, "SELECT input_x FROM predictions ORDER BY id")
    assert told.rows == [('{"a":1.0}',), ('["b"]',)]


def test_large_whole_numbers_by_name(tmp_path: Path) -> None:
    """What fell to a fallback is logged as it was sent."""
    write(tmp_path, [answered(1, inputs={"x": {"a": 2**53 + 3, "b": 0.5}}), answered(2, inputs={"x": {}})])
    told = "SELECT input_x['a'] FROM predictions ORDER BY id"
    assert ask(tmp_path, told).rows == [(float(2**53 + 4),), (None,)]
    compact(tmp_path)
    assert ask(tmp_path, told).rows == [(float(2**53 + 4),), (None,)]


def test_an_empty_log(tmp_path: Path) -> None:
    assert ask(tmp_path / "none", "SELECT count(*) FROM answered").rows == [(0,)]
    assert ask(tmp_path / "none", "SELECT prediction, label FROM answered").rows == []


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'stolen.csv'",
        "CREATE TABLE t AS SELECT 1",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SELECT 1; SELECT 2",
        "ATTACH 'x.db'",
        "",
    ],
)
def test_only_one_select(tmp_path: Path, sql: str) -> None:
    with pytest.raises(UserError, match="only one SELECT"):
        ask(tmp_path, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_parquet('{other}')",
        "SELECT nothing FROM predictions",
        "SELEC 1",
        "SELECT * FROM secret_table",
    ],
)
def test_what_duckdb_refuses(tmp_path: Path, sql: str) -> None:
    write(tmp_path / "log", [answered(1)])
    compact(tmp_path / "log")
    write(tmp_path / "other", [answered(1)])
    compact(tmp_path / "other")
    (other,) = (tmp_path / "other").rglob("*.parquet")
    secret_table = label_tables([]).every
    with pytest.raises(UserError, match="DuckDB refuses the query"):
        ask(tmp_path / "log", sql.format(other=other))
    assert secret_table.num_rows == 0
