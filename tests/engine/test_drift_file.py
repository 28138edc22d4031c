"""A file of rows against a release's reference: what changed is found, what did not is left alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from spine import command

from headrace.checks.compared import Compared
from headrace.core.errors import DataError, UserError
from headrace.project import Project


def rows_of(project: Project) -> list[dict[str, Any]]:
    """The newest parcels, those of the test among them: they are no part of the reference."""
    with (project.root / "data" / "parcels.csv").open(newline="") as f:
        read = list(csv.DictReader(f))[-500:]
    return [{"at": r["at"], "depot": r["depot"], "distance": float(r["distance"])} for r in read]


def parquet(file: Path, rows: list[dict[str, Any]]) -> Path:
    table = pa.Table.from_pylist(rows)
    times = pa.array([t.removesuffix("+00:00") for t in table["at"].to_pylist()]).cast(pa.timestamp("us"))
    pq.write_table(table.set_column(0, "at", times.cast(pa.timestamp("us", "UTC"))), file)
    return file


def written(file: Path, rows: list[dict[str, Any]]) -> Path:
    with file.open("w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    return file


def column(found: Compared, name: str) -> Any:
    return next(c for c in found.columns if c.name == name)


def test_rows_like_the_reference_have_not_drifted(finished: Project, tmp_path: Path) -> None:
    rows = rows_of(finished)
    told: list[int] = []
    found = finished.drift(parquet(tmp_path / "rows.parquet", rows), tell=told.append)
    assert found.drifted == () and found.rows == 500 == told[-1] and not found.why_none
    assert {c.name for c in found.columns} == {"at", "depot", "distance"}
    assert found.absent == ("weather.wind", "prediction", "probability")
    assert {r.check for r in column(found, "distance").readings} >= {"ks", "wasserstein", "psi", "missing"}
    assert {r.check for r in column(found, "depot").readings} >= {"chi_square", "jensen_shannon", "new"}
    as_csv = finished.drift(written(tmp_path / "rows.csv", rows))
    assert as_csv.columns == found.columns  # however they are written


def test_what_changed_comes_first_and_is_told(finished: Project, tmp_path: Path) -> None:
    rows = rows_of(finished)
    miles = [r | {"distance": r["distance"] * 0.62} for r in rows]
    found = finished.drift(parquet(tmp_path / "miles.parquet", miles))
    assert found.drifted == ("distance",) and found.columns[0].name == "distance"
    worst = found.columns[0]
    assert worst.p is not None and worst.p < 0.05 and "distance" in worst.where
    leading = worst.leading
    assert leading is not None and leading.value is not None and leading.threshold is not None
    assert leading.value > leading.threshold
    assert worst.mean is not None and worst.was is not None and worst.mean < 0.75 * worst.was[0]
    away = [r | {"depot": "east" if i % 3 else r["depot"]} for i, r in enumerate(rows)]
    found = finished.drift(parquet(tmp_path / "away.parquet", away))
    assert found.drifted == ("depot",)
    assert any(r.exceeds for r in column(found, "depot").readings if r.check == "new")
    empty = [r | {"distance": None if i % 2 else r["distance"]} for i, r in enumerate(rows)]
    found = finished.drift(parquet(tmp_path / "empty.parquet", empty))
    assert [r.check for r in column(found, "distance").readings if r.exceeds] == ["missing"]


def test_types_that_changed_are_told(finished: Project, tmp_path: Path) -> None:
    rows = rows_of(finished)
    words = [r | {"distance": f"{r['distance']} km"} for r in rows]
    found = finished.drift(parquet(tmp_path / "words.parquet", words))
    assert "distance" in found.drifted
    assert column(found, "distance").window[1] == 500
    some = [r | {"distance": "far" if i == 490 else r["distance"]} for i, r in enumerate(rows)]
    found = finished.drift(written(tmp_path / "some.csv", some))
    assert column(found, "distance").window[1] == 1  # one word does not make words of the others
    numbers = [r | {"depot": i % 2} for i, r in enumerate(rows)]
    found = finished.drift(parquet(tmp_path / "numbers.parquet", numbers))
    assert column(found, "depot").window[1] == 500


def test_answers_in_the_file_count(finished: Project, tmp_path: Path) -> None:
    rows = [r | {"prediction": True, "probability": 0.99} for r in rows_of(finished)]
    found = finished.drift(parquet(tmp_path / "rows.parquet", rows))
    assert found.absent == ("weather.wind",)
    (ks,) = [r for r in column(found, "probability").readings if r.check == "ks"]
    assert ks.value is not None and ks.value > 0.9
    # 238 validation rows are too few to say how much windows of 500 differ: that is told, not guessed.
    assert ks.exceeds or "too few" in ks.why_none


def test_files_that_can_not_be_compared(finished: Project, tmp_path: Path) -> None:
    rows = rows_of(finished)
    (tmp_path / "torn.parquet").write_bytes(parquet(tmp_path / "p.parquet", rows).read_bytes()[:900])
    pq.write_table(pa.table({"other": [1, 2]}), tmp_path / "other.parquet")
    pq.write_table(pa.Table.from_pylist(rows).slice(0, 0), tmp_path / "none.parquet")
    (tmp_path / "rows.txt").write_text("at\n")
    (tmp_path / "head.csv").write_text("at,depot,distance\n")
    for name, told in (
        ("missing.parquet", "no such file"),
        ("torn.parquet", "cut short"),
        ("other.parquet", "none of the release's columns"),
        ("none.parquet", "no rows"),
        ("head.csv", "no rows"),
        ("rows.txt", "can't be read"),
    ):
        with pytest.raises(DataError, match=told):
            finished.drift(tmp_path / name)
    few = finished.drift(parquet(tmp_path / "few.parquet", rows[:3]))
    assert few.drifted == () and few.rows == 3


def test_a_release_without_a_reference_is_refused(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    release, manifest = finished.release(None)
    before = dataclasses.replace(manifest, watch=None)
    monkeypatch.setattr(Project, "release", lambda self, name: (release, before))
    with pytest.raises(UserError, match="no reference"):
        finished.drift(parquet(tmp_path / "rows.parquet", rows_of(finished)))


def test_the_command(finished: Project, tmp_path: Path) -> None:
    rows = rows_of(finished)
    same = parquet(tmp_path / "same.parquet", rows)
    miles = parquet(tmp_path / "miles.parquet", [r | {"distance": r["distance"] * 0.62} for r in rows])

    def drift(*arguments: Any) -> Any:
        return command(finished, "drift", *map(str, arguments))

    told = drift(same)
    assert told.exit_code == 0 and "0 of 3 columns" in told.output, told.output
    page = tmp_path / "drift.html"
    told = drift(miles, "--html", page)
    assert told.exit_code == 1 and "drifted" in told.output and f"wrote {page}" in told.output
    html = page.read_text()
    assert "distance" in html and "against release" in html and html.count("class=plot") == 3
    told = drift(miles, "--json")
    assert told.exit_code == 1
    read = json.loads(told.output)
    assert read["columns"][0]["name"] == "distance" and read["level"] == 0.05
    assert drift(tmp_path / "none.parquet").exit_code not in (0, 1)
    assert drift(miles, "--level", "0").exit_code == 2
