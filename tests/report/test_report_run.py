"""The report of a run: every kind of task, however far the run came, and nothing that a user wrote runs."""

from __future__ import annotations

import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from click.testing import CliRunner
from spine import begin, edit_spec
from worlds import homes, wine

from headrace.cli.root import cli
from headrace.core.errors import NotFound, UserError
from headrace.project import Project
from headrace.report.made import Report

NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)> & \"both\" 'quotes'"
VOID = {"meta", "br", "img", "link", "input", "path", "hr"}
HEADS = {
    "Frame", "Data", "Leaks and faults", "Candidates", "Performance", "Slices", "Fairness", "Errors",
    "Robustness", "Learning curve", "Explanations", "Gates", "Promotion", "Lineage",
}  # fmt: skip
LOOKS: dict[str, Any] = {"robustness": {}, "min_rows": 20, "explain": False}


class Page(HTMLParser):
    """A page's elements; fails where they don't nest, or where anything would be loaded from elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.heads: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []
        assert len(set(self.ids)) == len(self.ids)
        assert {a.removeprefix("#") for a in self.links} <= set(self.ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        assert not any(name.startswith("on") for name in named), f"{tag} would run {named}"
        assert "src" not in named and tag not in ("link", "iframe", "object", "embed", "base")
        self.ids += [named["id"] or ""] if "id" in named else []
        self.links += [named["href"] or ""] if "href" in named else []
        self.scripts += [named] if tag == "script" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.heads.append(data)
        if "script" not in self.open and "style" not in self.open:
            self.text += data + " "


def read(report: Report) -> Page:
    page = Page(report.html)
    assert all(link.startswith("#") for link in page.links), "nothing leads outside"
    style = re.search(r"<style>(.*?)</style>", report.html, flags=re.S)
    assert style is not None
    assert "url(" not in style[1] and "@import" not in style[1]
    return page


def figures(report: Report) -> list[dict[str, Any]]:
    """What is drawn, as Plotly reads it: it refuses what it does not know."""
    held = re.findall(r'<script type="application/json">(.*?)</script>', report.html, flags=re.S)
    found = [json.loads(h) for h in held]
    for figure in found:
        go.Figure(figure)
    return found


def titles(report: Report) -> list[str]:
    return re.findall(r"<figcaption>([^<]+)", report.html)


def test_a_binary_run_from_frame_to_lineage(finished: Project) -> None:
    report = finished.report()
    page = read(report)
    assert set(page.heads) >= HEADS
    assert page.heads[0] == "Released"
    run = finished.show()
    estimate = run.summary["test"]
    assert f"{estimate['value']:.4g}" in page.text
    for gate in run.summary["gates"]:
        assert gate["name"] in page.text
    for stage in run.summary["stages"]:
        assert stage["key"][:12] in page.text
    assert {"ROC", "Precision and recall", "Threshold", "Calibration", "Confusion", "Over time"} <= set(
        titles(report)
    )
    assert len(figures(report)) == len(titles(report))
    assert sum(s.get("id") == "plotly" for s in page.scripts) == 1
    assert len(report.html) < 4_000_000
    assert report.html == finished.report(run.run).html, "the same run is the same bytes"


def test_figures_show_what_was_measured(finished: Project) -> None:
    told, report = finished.told(), finished.report()
    drawn = dict(zip(titles(report), figures(report), strict=True))
    points = told.records["curves"]["classes"][0]["points"]
    roc = next(t for t in drawn["ROC"]["data"] if t.get("customdata") is not None)
    assert roc["x"] == [p["fpr"] for p in points]
    assert roc["y"] == [p["tpr"] for p in points]
    counts = told.records["errors"]["confusion"]["counts"]
    assert drawn["Confusion"]["data"][0]["text"] == counts
    means = [line["mean"] for line in told.facts("learn")["leaderboard"]]
    assert drawn["Mean over the folds"]["data"][0]["x"] == means


def test_three_classes(tmp_path: Path) -> None:
    project = wine(tmp_path / "wine", {"evaluate": LOOKS, "tune": {"method": "random", "trials": 4}})
    assert project.run().status == "released"
    report = project.report()
    page = read(report)
    drawn = dict(zip(titles(report), figures(report), strict=True))
    assert [t["name"] for t in drawn["ROC"]["data"][1:]] == ["class_0", "class_1", "class_2"]
    assert "Threshold" not in drawn
    assert {"Trials", "What is lost", "Calibration"} <= set(drawn)
    assert "No slice is declared" in page.text


def test_a_regression(tmp_path: Path, housing: Path) -> None:
    looks = {**LOOKS, "slices": ["ocean_proximity"], "fairness": {"columns": ["ocean_proximity"]}}
    changes = {
        "evaluate": looks,
        "uncertainty": {"level": 0.9},
        "clean": {"columns": {"total_bedrooms": {"fill": "median"}}},
    }
    project = homes(tmp_path / "homes", housing, changes, rows=600)
    assert project.run().status == "released"
    report = project.report()
    page = read(report)
    assert {"Predicted and true", "Errors by prediction", "Errors", "Declared slices"} <= set(titles(report))
    assert not {"ROC", "Confusion", "Threshold", "Calibration"} & set(titles(report))
    reach = project.told().facts("learn")["uncertainty"]["quantiles"][0]
    sample = project.told().records["curves"]["sample"]
    inside = sum(abs(p["predicted"] - p["actual"]) <= reach for p in sample) / len(sample)
    assert f"{100 * inside:.3g}% of their truths" in page.text
    assert "total_bedrooms" in page.text
    assert "promised: 90%" in page.text


def test_explanations_are_drawn_where_they_are_kept(tmp_path: Path) -> None:
    project = wine(tmp_path / "wine")
    project.run(to="evaluate")
    report, told = project.report(), project.told()
    assert {"Permutation importance by column", "Contributions by column"} <= set(titles(report))
    drawn = dict(zip(titles(report), figures(report), strict=True))
    columns = [c for c in told.records["explanations"]["columns"] if c["drop"] is not None]
    bars = drawn["Permutation importance by column"]["data"][0]
    assert bars["x"] == [c["drop"] for c in columns][:20]


def test_a_blocked_run_says_what_is_in_the_way(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", ("distance > 0", "distance > 25"))
    assert project.run(raises=False).status == "blocked"
    page = read(project.report())
    assert page.heads[0] == "Blocked by a gate"
    banner = page.text[: page.text.index("Objective")]
    assert "expectation: distance > 25" in banner
    assert "It came to the end of ingest, 2 of 10 stages" in banner
    assert "fix:" in banner
    assert "The run ended at ingest, before its stage evaluate." in page.text
    assert "In the way (1)" in page.text


def test_a_failed_run_says_where_and_why(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", ("split: {by: time, validation: 20%, test: 20%}",
                                     "split: {by: column, column: courier}"))  # fmt: skip
    result = project.run(raises=False)
    assert result.status == "failed"
    assert result.run, "it began"
    page = read(project.report())
    assert page.heads[0] == "Failed"
    assert "It failed in stage split" in page.text
    assert result.problems[0].what in page.text


def test_a_stopped_run_is_no_failure(fresh: Project) -> None:
    assert fresh.run(to="learn").status == "stopped"
    page = read(fresh.report())
    assert page.heads[0] == "Stopped where it was asked to"
    assert "package, evaluate, test, promote did not run" in page.text
    assert "The seal was not opened in this run" in page.text


def test_a_run_whose_process_died(fresh: Project) -> None:
    from headrace.engine.context import Context
    from headrace.engine.plan import SPINE
    from headrace.engine.result import Trail
    from headrace.engine.run import begin as start
    from headrace.engine.run import run_step

    ctx = Context(fresh.root, fresh.store, fresh.spec(), fresh._clock, "somebody", run="")
    ctx, _ = start(ctx)
    trail = Trail()
    for step in SPINE[:3]:
        run_step(ctx, step, trail)
    page = read(fresh.report())
    assert page.heads[0].startswith("Not finished")
    assert "It came to the end of split, 3 of 10 stages" in page.text
    assert "split-crossing" in page.text
    again, _ = start(ctx)
    trail = Trail()
    for step in SPINE[:4]:
        run_step(again, step, trail)
    assert [s.status for s in trail.stages[1:3]] == ["cached", "cached"]
    later = read(fresh.report(again.run))
    assert "It came to the end of features, 4 of 10 stages" in later.text, "known stages count too"


def test_a_waiver_is_told(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", ("distance > 0", "distance > 25"))
    waiver = {
        "gate": "expectation: distance > 25",
        "reason": f"known, see {NASTY}",
        "by": "boss@example.com",
        "until": date(2026, 3, 1).isoformat(),
    }
    project.run(waive=[waiver], to="split")
    page = read(project.report())
    assert "Waived (1)" in page.text
    assert f"known, see {NASTY}" in page.text


def test_what_a_user_wrote_is_text(tmp_path: Path) -> None:
    """The parser of these tests fails on any element, attribute or script that a text could have become."""
    project = begin(tmp_path / "p")
    shown = NASTY.replace("'", "''")
    edit_spec(
        project,
        ("objective: fewer late parcels", f"objective: '{shown}'"),
        ("decision: warn the customer", f"decision: '{shown}'\n  columns: {{depot: '{shown}'}}"),
    )
    rows = (project.root / "data" / "parcels.csv").read_text().replace("north", "<b>north</b>")
    (project.root / "data" / "parcels.csv").write_text(rows)
    weather = (project.root / "data" / "weather.csv").read_text().replace("north", "<b>north</b>")
    (project.root / "data" / "weather.csv").write_text(weather)
    edit_spec(project, ("models: [tree]", "models: [tree]\nevaluate: {slices: [depot]}"))
    project.run(to="evaluate", raises=False)
    report = project.report()
    page = read(report)
    assert NASTY in page.text
    assert "depot = <b>north</b>" in page.text
    assert "onerror=alert" not in re.sub(r"&lt;img.*?&gt;", "", report.html)
    names = [n for f in figures(report) for t in f["data"] for n in t.get("y") or () if isinstance(n, str)]
    assert any("north" in n for n in names)
    assert not any("<b>" in n for n in names), "Plotly would read it as markup"


def test_a_script_of_the_users(finished: Project) -> None:
    with finished.track(f"net {NASTY}", tags={"team": "a"}) as run:
        run.log_params(layers=3, rate=0.01)
        for step in range(5):
            run.log_metrics({"loss": 1.0 / (1 + step), "odd": float("nan") if step == 2 else step}, step=step)
        run.log_artifact(b"some bytes", "notes.txt")
        name = run.id
    report = finished.report(name)
    page = read(report)
    assert page.heads[0] == "Done"
    assert f"net {NASTY}" in page.text
    assert {"loss", "odd"} <= set(titles(report))
    drawn = dict(zip(titles(report), figures(report), strict=True))
    assert drawn["loss"]["data"][0]["y"] == [1.0 / (1 + step) for step in range(5)]
    assert drawn["odd"]["data"][0]["y"][2] is None
    assert "notes.txt" in page.text
    assert "team a" in page.text


def test_a_script_that_failed(finished: Project) -> None:
    with pytest.raises(ZeroDivisionError), finished.track("broken") as run:
        run.log_metrics(loss=1 / 0)
    page = read(finished.report(run.id))
    assert page.heads[0] == "Failed"
    assert "ZeroDivisionError" in page.text


def test_results_in_another_form_are_left_out_and_named(finished: Project) -> None:
    from dataclasses import replace

    from headrace.report.run import run_report

    told = finished.told()
    other = replace(told, records={**told.records, "slices": {"format": 99}})
    page = read(run_report(other))
    assert "in another form, and left out here: slices" in page.text
    assert set(page.heads) >= HEADS


def test_personal_columns_are_not_among_the_worst_rows(tmp_path: Path) -> None:
    keep = "{courier: {do: keep, why: needed for the split}}"
    project = begin(tmp_path / "p", ("  expect:", f"  pii: {keep}\n  expect:"))
    edit_spec(project, ("  distance: distance", "  distance: distance\n  courier: courier"))
    project.run(to="evaluate")
    report = project.report()
    worst = report.html[report.html.index("worst rows") :]
    worst = worst[: worst.index("</table>")]
    assert "distance" in worst
    assert not re.search(r"\bc\d{1,2}\b", re.sub(r"<[^>]+>", " ", worst))
    assert "Left out as personal: courier" in worst


def test_saving(finished: Project, tmp_path: Path) -> None:
    report = finished.report()
    file = report.save(tmp_path / "r.html")
    assert file.read_text(encoding="utf-8") == report.html
    assert [f.name for f in tmp_path.glob("r*")] == ["r.html"]
    with pytest.raises(UserError, match="can't be written"):
        report.save(tmp_path / "nowhere" / "r.html")
    with pytest.raises(UserError, match="no Markdown form"):
        report.save(tmp_path / "r.md")
    assert report._repr_html_().startswith("<iframe")
    assert "<script" not in report._repr_html_(), "the page is one escaped attribute"


def test_the_command(finished: Project, tmp_path: Path) -> None:
    run = CliRunner()
    folder, out = str(finished.root), str(tmp_path / "out.html")
    done = run.invoke(cli, ["report", "run", "-C", folder, "-o", out])
    assert (done.exit_code, done.output) == (0, f"wrote {out}\n")
    read(Report("", Path(out).read_text(encoding="utf-8")))
    plain = json.loads(run.invoke(cli, ["report", "run", "run-1", "-C", folder, "--json"]).output)
    assert plain["run"]["run"] == "run-1"
    assert plain["records"]["slices"]["metric"] == "f1"
    missing = run.invoke(cli, ["report", "run", "run-9", "-C", folder, "-o", out])
    assert missing.exit_code == 2
    with pytest.raises(NotFound):
        finished.report("run-9")
