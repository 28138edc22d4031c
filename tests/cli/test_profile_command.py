"""`headrace profile`."""

from __future__ import annotations

import json
from pathlib import Path

from spine import command

from headrace.project import Project


def call(*arguments: str, code: int = 0) -> str:
    done = command(None, "profile", *arguments)
    assert done.exit_code == code, done.output
    return done.output


def test_a_project(finished: Project, tmp_path: Path) -> None:
    finished.store.close()  # type: ignore[attr-defined]  # the embedded store's
    said = call("-C", str(finished.root))
    assert "parcels: " in said and "training rows" in said
    assert "test: " in said and "the target not looked at" in said
    page = tmp_path / "p.html"
    said = call("-C", str(finished.root), "--table", "weather", "--html", str(page))
    assert "parcels" not in said
    assert page.read_text().startswith("<!doctype html>")
    plain = json.loads(call("-C", str(finished.root), "--json"))
    assert [t["table"] for t in plain["tables"]] == ["parcels", "weather"]


def test_a_bare_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,x\n,y \n")
    said = call(str(tmp_path / "t.csv"))
    assert "t: 3 rows, 0 repeat an earlier one" in said
    assert "b: 1 texts begin or end with space" in said


def test_mistakes_are_told(tmp_path: Path, finished: Project) -> None:
    assert "there is no file" in call(str(tmp_path / "gone.csv"), code=2)
    assert "weather" in call("-C", str(finished.root), "--table", "wether", code=2)
    (tmp_path / "t.csv").write_text("a\n1\n")
    assert "can't be written" in call(
        str(tmp_path / "t.csv"), "--html", str(tmp_path / "no" / "p.html"), code=2
    )
    assert "no headrace.yaml" in call("-C", str(tmp_path), code=2)
