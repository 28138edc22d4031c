"""The linter in a run: what blocks, what warns, what is accepted, and where each is told."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from worlds import homes, wine

from headrace.checks.lint import Severity
from headrace.cli.root import cli
from headrace.core.codec import from_json
from headrace.core.errors import SpecError
from headrace.engine.lint import Findings
from headrace.project import Project


def add_column(file: Path, name: str, value: Callable[[dict[str, str], int], object]) -> None:
    with file.open(newline="") as f:
        rows = list(csv.DictReader(f))
    for i, row in enumerate(rows):
        row[name] = str(value(row, i))
    with file.open("w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def verdicts(result: Any) -> dict[str, str]:
    return {v.gate: v.outcome.value for v in result.verdicts if v.stage == "inspect"}


def findings(project: Project, result: Any) -> Findings:
    ran = next(s for s in result.stages if s.name == "inspect")
    file = project.store.get(ran.output.outputs["findings"])
    return from_json(file.read_bytes(), Findings)


def test_three_classes_renamed(tmp_path: Path) -> None:
    """A copy blocks under the feature's name; accepted with a reason it does not."""
    project = wine(tmp_path, {"features": {"label": "label"}, "models": ["tree"]})
    add_column(project.root / "data" / "wine.csv", "label", lambda r, _: f"no. {9 - int(r['kind'][-1])}")
    blocked = project.run()
    assert blocked.status == "blocked"
    assert [p.what for p in blocked.problems] == ["gate 'leakage: feature label' failed"]
    assert "near-copy of the target" in blocked.problems[0].why
    accepted = {"features": {"label": "label"}, "models": ["tree"], "inspect": {"allow": {"label": "a test"}}}
    again = wine(tmp_path / "b", accepted)
    add_column(again.root / "data" / "wine.csv", "label", lambda r, _: f"no. {9 - int(r['kind'][-1])}")
    result = again.run()
    assert verdicts(result) == {"leakage": "pass", "faults": "pass"}
    kept = findings(again, result)
    assert [(f.kind, f.subject, f.accepted) for f in kept.findings] == [("target-copy", "label", "a test")]
    assert kept.train_rows + kept.validation_rows == 142  # the test rows are not among them


def test_a_warning_is_told_wherever_a_run_is(tmp_path: Path, housing: Path) -> None:
    project = homes(tmp_path, housing, {"models": ["tree"]}, rows=1000)
    result = project.run()
    assert verdicts(result) == {"leakage": "pass", "faults": "pass"}
    assert [(f["kind"], f["severity"]) for f in result.plain()["findings"]] == [("capped-target", "warns")]
    assert findings(project, result).findings[0].severity is Severity.WARNS
    shown = CliRunner().invoke(cli, ["show", "-C", str(project.root)])
    assert "warning: capped-target" in shown.output
    assert "500001" in shown.output
    ran = CliRunner().invoke(cli, ["run", "-C", str(project.root)])
    assert "warning: capped-target" in ran.output


def test_an_identifier_and_a_waiver(tmp_path: Path, housing: Path) -> None:
    """A regression with a running number: a fault that blocks, waived under its own name."""
    project = homes(tmp_path, housing, {"features": {"row_no": "row_no"}, "models": ["tree"]}, rows=600)
    add_column(project.root / "data" / "housing.csv", "row_no", lambda _, i: 7000 + i)
    gate = "faults: feature row_no"
    assert "as a counter does" in project.run().problems[0].why
    waiver = {"gate": gate, "reason": "a test", "by": "me@example.com", "until": "2999-12-31"}
    result = project.run(waive=[waiver])
    assert verdicts(result) == {"leakage": "pass", gate: "fail"}
    assert next(v for v in result.verdicts if v.gate == gate).waiver is not None


def test_what_is_accepted_has_to_exist_and_be_explained(tmp_path: Path) -> None:
    project = wine(tmp_path, {"inspect": {"allow": {"alcool": "a typo", "capped-target": "known"}}})
    with pytest.raises(SpecError) as caught:
        project.check()
    assert [p.what for p in caught.value.problems] == [
        "inspect.allow: 'alcool' is no feature and no kind of finding"
    ]
    assert "did you mean 'alcohol'?" in caught.value.problems[0].fix
    silent = wine(tmp_path / "b", {"inspect": {"allow": {"alcohol": " "}}})
    with pytest.raises(SpecError, match="needs a reason"):
        silent.check()


def test_cleaned_columns_are_read_from_the_matrix(tmp_path: Path) -> None:
    """A date that cleaning parses has no value before it is cleaned: the linter sees the feature."""
    project = wine(
        tmp_path,
        {
            "data": {"zone": "UTC"},
            "clean": {"columns": {"made": {"parse": "day %d of %m in %Y"}}},
            "features": {"day": "day(made)"},
            "models": ["tree"],
        },
    )
    leak = {"class_0": 3, "class_1": 11, "class_2": 20}
    add_column(
        project.root / "data" / "wine.csv", "made", lambda r, _: f"day {leak[r['kind']]:02d} of 05 in 2020"
    )
    assert [p.what for p in project.run().problems] == ["gate 'leakage: feature day' failed"]
