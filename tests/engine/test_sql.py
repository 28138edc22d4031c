"""`Project.sql` and `headrace sql`: the query of a whole spec gives what training rows hold."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import numpy as np
import pytest
from click.testing import CliRunner
from spine import begin

from headrace.cli.root import cli
from headrace.core.errors import UserError
from headrace.core.spec.learning import Limits
from headrace.data.history.plan import plan_histories
from headrace.data.rows import Rows
from headrace.data.snapshot import snapshot
from headrace.engine.check import check
from headrace.project import Project

HISTORIES = """
  depot: depot
  trip: {aggregate: avg(distance), by: depot, window: [6 h, 2 days]}
  busy: {aggregate: count(), by: [depot, courier], where: distance > 10}
  far: {aggregate: "quantile(distance, 0.9)", window: 1 day}
  gusts: {aggregate: max(wind), by: depot, over: weather, window: 12 h}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return begin(tmp_path, ("\n  depot: depot\n", HISTORIES), rows=400)


def test_the_query_gives_what_training_rows_hold(project: Project, tmp_path: Path) -> None:
    spec = project.spec().spec
    compiled = check(project.spec(), project.root)
    taken = {
        name: snapshot(
            name, table, store=project.store, root=project.root, zone=spec.data.zone, limits=Limits(),
            taken="", scratch=tmp_path / "scratch",
        )
        for name, table in spec.data.tables.items()
    }  # fmt: skip
    np.save(tmp_path / "parts.npy", np.zeros(400, np.int8))
    plan = plan_histories(
        compiled.histories, {n: s.types() for n, s in taken.items()}, zone="America/New_York"
    )
    rows = Rows.of(
        "train", store=project.store, events=taken["parcels"], data=spec.data, tables=taken,
        parts=tmp_path / "parts.npy", histories=plan,
    )  # fmt: skip
    columns = ["parcel", "weather.wind", *(h.column for h in compiled.histories)]
    wanted = [r for batch in rows.batches(columns) for r in batch.to_pylist()]
    assert len(columns) == 7
    held = {
        n: f"(SELECT *, file_row_number AS place FROM read_parquet('{project.store.get(s.artifact)}', "
        f"file_row_number = true)) AS {n}"
        for n, s in taken.items()
    }
    with duckdb.connect() as db:
        query = project.sql("duckdb", tables=held, position="place")
        given = db.sql(f"SELECT * FROM ({query}) ORDER BY parcel").to_arrow_table().to_pylist()
    assert len(given) == len(wanted) == 400
    for mine, theirs in zip(wanted, given, strict=True):
        for column, value in mine.items():
            near = value if value is None else pytest.approx(value, rel=1e-12)
            assert theirs[column] == near, (column, mine, theirs)
    assert sum(r["history.trip_6h"] is not None for r in wanted) > 100


def test_the_command_writes_the_query(project: Project) -> None:
    run = CliRunner().invoke
    shown = run(cli, ["sql", "-C", str(project.root), "--dialect", "spark", "--table", "parcels=raw.parcels"])
    assert shown.exit_code == 0, shown.output
    assert "FROM raw.parcels" in shown.output and shown.output.startswith("-- Spark: the rows of parcels")
    told = run(cli, ["sql", "-C", str(project.root), "--json", "-o", "q.sql"])
    assert json.loads(told.output)["sql"] == (project.root / "q.sql").read_text() == project.sql()
    for wrong, words in [
        (["--dialect", "oracle"], "there is no dialect 'oracle'"),
        (["--table", "parcels"], "--table 'parcels' is no pair"),
        (["--table", "parsels=x"], "there is no table 'parsels'"),
        (["-o", "no/such/folder.sql"], "can't be written"),
    ]:
        failed = run(cli, ["sql", "-C", str(project.root), *wrong])
        assert failed.exit_code == 2 and words in failed.output, failed.output


def test_what_a_run_does_to_rows_before_is_said(project: Project) -> None:
    file = project.root / "headrace.yaml"
    text = file.read_text().replace("  expect:", "  pii: {courier: mask}\n  expect:")
    file.write_text(text + "clean:\n  forward_fill: {weather: [wind]}\n")
    head = project.sql("postgres").partition("WITH")[0]
    assert "courier of parcels is here as it lies in the database; a run keeps it masked" in head
    assert "wind of weather: a run fills nulls forward before it looks rows up" in head
    with pytest.raises(UserError, match="did you mean 'spark'"):
        project.sql("sparc")
