"""Model cards: every section, from what was declared and measured alone, as HTML and as Markdown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from spine import begin
from worlds import homes

from headrace.cli.root import cli
from headrace.core.errors import NotFound
from headrace.project import Project

SECTIONS = [
    "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
    "Quantitative analyses", "Ethical considerations", "Caveats and recommendations",
]  # fmt: skip


def part(markdown: str, title: str) -> str:
    """A section of the card."""
    return markdown.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_sections_of_the_paper_in_their_order(finished: Project) -> None:
    card = finished.card()
    assert re.findall(r"^## (.*)$", card.markdown, flags=re.M) == SECTIONS
    assert re.findall(r"<h2>(.*?)</h2>", card.html) == SECTIONS
    assert "<script" not in card.html, "a card needs none"
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", card.html)


def test_it_says_what_the_manifest_and_the_run_say(finished: Project) -> None:
    release, manifest = finished.release()
    markdown = finished.card().markdown
    assert manifest.serving.graph in part(markdown, "Model details")
    assert f"Release {release.release} (champion)" in markdown
    intended = part(markdown, "Intended use")
    assert "warn the customer" in intended
    assert "60 minutes before" in intended
    for field in manifest.serving.fields:
        assert f"`{field.name}`" in intended
    assert manifest.test is not None
    assert manifest.test.value is not None
    assert f"{manifest.test.value:.4g}" in part(markdown, "Quantitative analyses")
    for name, found in manifest.validation.items():
        assert f"| {name} | " in part(markdown, "Quantitative analyses"), found
    counts = finished.told().facts("split")["counts"]
    assert f"{counts['train']:,} training rows" in part(markdown, "Training data")
    assert f"{counts['test']:,} row" in part(markdown, "Evaluation data")
    assert manifest.snapshots["weather"].artifact[:12] in part(markdown, "Training data")


def test_what_is_not_declared_is_said_to_be_missing(finished: Project) -> None:
    markdown = finished.card().markdown
    for key in ("problem.use", "evaluate.slices", "evaluate.fairness", "evaluate.robustness"):
        assert f"*not declared: add* `{key}`" in markdown


def test_slices_fairness_and_waivers_of_a_regression(tmp_path: Path, housing: Path) -> None:
    looks: dict[str, Any] = {
        "slices": ["ocean_proximity"], "floor": "<= 1000", "robustness": {}, "explain": False,
        "fairness": {"columns": ["ocean_proximity"]}, "min_rows": 20,
    }  # fmt: skip
    project = homes(tmp_path / "homes", housing, {"evaluate": looks}, rows=800)
    waiver = {"gate": "slice", "reason": "a | pipe and\n# a heading", "by": "boss", "until": "2100-01-01"}
    assert project.run(waive=[waiver], raises=False).status == "released"
    markdown = project.card().markdown
    names = [s["name"] for s in project.told().records["slices"]["declared"]]
    analyses = part(markdown, "Quantitative analyses")
    assert names
    for name in names:
        assert name.split(" = ")[-1].replace("<", "\\<") in analyses
    assert "absolute error difference" in part(markdown, "Ethical considerations")
    caveats = part(markdown, "Caveats and recommendations")
    assert "waived by boss until 2100-01-01: a \\| pipe and # a heading" in caveats
    assert "| missing | " in caveats


def test_a_user_cannot_write_markup(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script> | **bold**"
    project = begin(tmp_path / "p", ("objective: fewer late parcels", f"objective: '{nasty}'"))
    assert project.run().status == "released"
    card = project.card()
    assert "<script" not in card.html
    assert "&lt;script&gt;alert(1)" in card.html
    written = next(line for line in card.markdown.splitlines() if "alert(1)" in line)
    assert written.startswith("| Objective | \\<script")
    assert "\\| \\*\\*bold\\*\\* |" in written


def test_the_command_of_cards(finished: Project, tmp_path: Path) -> None:
    run, folder = CliRunner(), str(finished.root)
    release, _ = finished.release()
    for name, begins in (("card.md", "# Model card: parcels"), ("card.html", "<!doctype html>")):
        out = tmp_path / name
        done = run.invoke(cli, ["report", "card", "-C", folder, "-o", str(out)])
        assert (done.exit_code, done.output) == (0, f"wrote {out}\n")
        assert out.read_text(encoding="utf-8").startswith(begins)
    plain = json.loads(run.invoke(cli, ["report", "card", release.release, "-C", folder, "--json"]).output)
    assert plain["target"] == "late > 30"
    assert run.invoke(cli, ["report", "card", "nothing", "-C", folder]).exit_code == 2
    with pytest.raises(NotFound):
        finished.card("nothing")
