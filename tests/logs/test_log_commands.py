"""`headrace log` and `headrace label`, over a project and its ledger."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from spine import begin, clock, command, edit_spec, fresh
from written import everything, write

from headrace.data.privacy.redact import hash_text
from headrace.logs.labels import MOST
from headrace.project import Project
from headrace.serve.labelled import as_logged
from headrace.testing.log_exam import answered

__all__ = ["clock", "fresh"]
NOW = int(datetime(2026, 1, 15, 12, tzinfo=UTC).timestamp() * 1e6)
KEY = "a key of sixteen bytes or more"


def said(project: Project, *arguments: str) -> str:
    done = command(project, *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def logged(fresh: Project) -> Project:
    """A project whose log has forty answers: half of them in segments yet."""
    entries = [answered(i, time=NOW + i * 1_000_000) for i in range(40)]
    write(fresh.log_folder, entries[:20])
    fresh.log_compact()
    write(fresh.log_folder, entries[20:])
    return fresh


def test_questions(logged: Project) -> None:
    sql = "SELECT input_customer, count(*) AS n FROM predictions GROUP BY 1 ORDER BY 1"
    told = json.loads(said(logged, "log", "query", sql, "--json"))
    assert told["columns"] == ["input_customer", "n"]
    assert told["rows"] == [[f"c{i}", 8] for i in range(5)]
    rows = list(csv.reader(io.StringIO(said(logged, "log", "query", sql, "--csv"))))
    assert rows == [["input_customer", "n"], *[[f"c{i}", "8"] for i in range(5)]]
    assert "c4" in said(logged, "log", "query", sql)
    refused = command(logged, "log", "query", "DROP TABLE predictions")
    assert refused.exit_code == 2


def test_newest_answers(logged: Project) -> None:
    lines = said(logged, "log", "tail", "--last", "36500 days").splitlines()
    assert [json.loads(line)["took_us"] for line in lines] == list(range(40))
    assert said(logged, "log", "tail", "--last", "1 us") == ""
    assert command(logged, "log", "tail", "--last", "soon").exit_code == 2


def test_what_there_is(logged: Project) -> None:
    told = json.loads(said(logged, "log", "status", "--json"))
    assert (told["rows"], len(told["parts"]), len(told["segments"])) == (40, 1, 1)
    text = said(logged, "log", "status")
    assert "40 answers" in text
    assert "closed" in text


def test_compacting_keeping_and_the_audit(logged: Project) -> None:
    assert "20 answers (segments: 1) are in Parquet" in said(logged, "log", "compact")
    assert "1 part of the prediction log" in said(logged, "audit")
    edit_spec(logged, ("split:", "serve: {log: {keep: 1 us}}\nsplit:"))
    assert "40 answers were older" in said(logged, "log", "compact")
    assert everything(logged.log_folder) == []
    said(logged, "audit")
    assert command(logged, "log", "compact", "--keep", "long").exit_code == 2


def test_a_changed_part_fails_the_audit(logged: Project) -> None:
    (part,) = logged.log_folder.rglob("*.parquet")
    part.write_bytes(b"PAR1")
    done = command(logged, "audit")
    assert done.exit_code == 1
    assert "broken: log part" in done.stdout


def test_erasing(logged: Project) -> None:
    unnamed = command(logged, "log", "erase", "c3")
    assert unnamed.exit_code == 2
    assert "--column" in unnamed.output
    edit_spec(logged, ("split:", "serve: {log: {subject: customer}}\nsplit:"))
    assert "8 answers and 0 labels are erased" in said(logged, "log", "erase", "c3")
    assert json.loads(said(logged, "log", "erase", "c3", "--json"))["rows"] == 0
    many = json.loads(said(logged, "log", "erase", "2.0", "--column", "rooms", "--json"))["rows"]
    assert many == sum(i % 4 == 2 and i % 5 != 3 for i in range(40))
    said(logged, "audit")


def test_labels_from_a_file(logged: Project, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    rows = [f"{answered(i).id},{i * 2}" for i in range(10)]
    file.write_text("\n".join(["id,label", *rows]) + "\n")
    assert "10 new, 0 corrected, 0 known" in said(logged, "label", str(file))
    assert json.loads(said(logged, "label", str(file), "--json"))["known"] == 10
    sql = "SELECT count(label), avg(abs(prediction - label)) FROM answered"
    assert json.loads(said(logged, "log", "query", sql, "--json"))["rows"] == [[10, 2.25]]
    before = ("--as-of", "2026-01-15 00:00:00")
    assert json.loads(said(logged, "log", "query", sql, "--json", *before))["rows"] == [[0, None]]
    file.write_text("id,label,weight\nx,1,-1\n")
    refused = command(logged, "label", str(file))
    assert refused.exit_code == 2
    assert "expected a number above 0" in refused.stderr
    many = [f"p{i},1,{-1 if i == MOST + 1 else 1}" for i in range(MOST + 2)]
    file.write_text("\n".join(["id,label,weight", *many]) + "\n")
    assert f"refused: [{MOST + 1}].weight" in command(logged, "label", str(file)).stderr


def test_columns_that_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever labels or erases names a person; the log has only hashes."""
    monkeypatch.setenv("HEADRACE_PII_KEY", KEY)
    project = begin(
        tmp_path / "project",
        ("  expect:", "  pii: {courier: hash}\n  expect:"),
        ("split:", "serve: {log: {subject: courier}}\nsplit:"),
        ("  depot: depot\n", "  depot: depot\n  courier: courier\n"),
    )
    assert project.run().status == "released"
    _, manifest = project.release()
    logged_as = as_logged(manifest.serving)
    hashed = hash_text("c7", KEY.encode())
    assert logged_as({"courier": "c7", "distance": 3}) == {"courier": hashed, "distance": 3}
    write(project.log_folder, [answered(i, inputs=logged_as({"courier": f"c{i}"})) for i in range(9)])
    taken, matched = project.label([{"input_courier": "c7", "label": True}, {"input_courier": 7, "label": 1}])
    assert (taken.new, taken.refused, matched.matched) == (1, 1, 1)
    assert project.log_query("SELECT id FROM answered WHERE label").rows == [(answered(7).id,)]
    assert project.log_erase("c7").rows == 1
    assert project.log_query("SELECT count(*), count(label) FROM answered").rows == [(8, 0)]
    assert list(project.labels().labels()) == []
    assert project.audit().ok
    file = tmp_path / "odd.csv"
    file.write_text(f"id,label\n{answered(1).id},n/a\n{answered(2).id},1\n{answered(2).id},0\n")
    refused = command(project, "label", str(file))
    assert refused.exit_code == 2
    assert "1 new, 1 corrected" in refused.stdout
    assert "refused: [0].label: 'n/a' is no truth of what is predicted" in refused.stderr
    assert project.log_query("SELECT label FROM answered WHERE label IS NOT NULL").rows == [(False,)]
