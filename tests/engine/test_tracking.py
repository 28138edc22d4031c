"""Scripts of the user's, tracked in the same ledger as the spine's runs."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from headrace.cli.root import cli
from headrace.core.codec import from_json
from headrace.core.errors import NotFound, UserError
from headrace.engine.tracking.record import Tracked
from headrace.project import Project


def _record(project: Project, run: str) -> Tracked:
    return from_json(project.store.get(project.show(run).logged).read_bytes(), Tracked)


def test_a_script_logs_into_the_ledger(fresh: Project, tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    report.write_text("well")
    with fresh.track("by hand", group="trees", tags={"team": "a"}) as run:
        run.log_params({"depth": np.int64(3)}, rate=0.1, kind="gbm", early=True, seed=None)
        for step in range(3):
            run.log_metrics(loss=np.float32(1 / (step + 1)))
        run.log_metrics({"auc": 0.7}, step=10)
        run.log_metrics(loss=float("nan"))
        run.log_artifact(report)
        run.log_artifact(b"\x00\x01", "raw.bin")
        run.log_table("coefficients", {"name": ["a", "b"], "weight": [1.5, -2.0]})
        run.log_table("rows", pa.table({"x": [1]}))
        run.note("a first try")
        run.tag(stage="draft")
    view = fresh.show(run.id)
    assert (view.status, view.script, view.group, view.name) == ("done", True, "trees", "by hand")
    assert view.tags == {"team": "a", "stage": "draft"} and view.notes == ("a first try",)
    assert view.summary["metrics"] == {"auc": 0.7, "loss": None}
    logged = _record(fresh, run.id)
    assert logged.params == {"depth": 3, "rate": 0.1, "kind": "gbm", "early": True, "seed": None}
    points = [(p.step, p.value) for p in logged.metrics["loss"]]
    assert points == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3)), (3, None)]
    assert logged.metrics["auc"][0].step == 10
    assert {n: k.kind for n, k in logged.artifacts.items()} == {
        "report.txt": "file",
        "raw.bin": "file",
        "coefficients": "table",
        "rows": "table",
    }
    kept = logged.artifacts["report.txt"]
    assert fresh.store.get(kept.digest).read_text() == "well" and kept.size == 4
    assert report.read_text() == "well", "the script's own file stays"
    assert fresh.audit().ok


def test_figures_are_kept(fresh: Project) -> None:
    import plotly.graph_objects as go

    with fresh.track("plots") as run:
        run.log_plot("line", go.Figure(go.Scatter(x=[1, 2], y=[3, 4])))
        with pytest.raises(UserError, match="no figure"):
            run.log_plot("none", "a text")
    html = fresh.store.get(_record(fresh, run.id).artifacts["line"].digest).read_text()
    assert "<html>" in html and "Plotly.newPlot" in html


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (lambda r: r.log_params(x=[1, 2]), "parameter 'x' is a list"),
        (lambda r: (r.log_params(x=1), r.log_params(x=2)), "was logged as 1, and now as 2"),
        (lambda r: r.log_metrics(m="high"), "metric 'm' is 'high', which is no number"),
        (lambda r: r.log_metrics(m=None), "no number"),
        (lambda r: r.log_artifact("no/such/file"), "there is no file"),
        (lambda r: r.log_artifact(b"x"), "bytes need a name"),
        (lambda r: r.log_table("t", {"a": [1], "b": [1, 2]}), "can't be kept as a table"),
        (lambda r: r.log_table("t", 3), "can't be kept as a table"),
    ],
)
def test_what_can_not_be_logged_is_told(fresh: Project, log: Any, message: str) -> None:
    with fresh.track("t") as run, pytest.raises(UserError, match=message):
        log(run)
    assert fresh.show(run.id).status == "done"


def test_a_script_that_fails_keeps_what_it_logged(fresh: Project) -> None:
    run = fresh.track("fails")

    def script() -> None:
        with run:
            run.log_metrics(loss=1.0)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        script()
    view = fresh.show(run.id)
    assert view.status == "failed" and view.summary["problems"][0]["what"].startswith("ZeroDivisionError")
    assert _record(fresh, run.id).last() == {"loss": 1.0}
    with pytest.raises(UserError, match="is over"):
        run.log_metrics(loss=2.0)


def test_threads_log_side_by_side(fresh: Project) -> None:
    with fresh.track("threads") as run:

        def log(name: str) -> None:
            for i in range(200):
                run.log_metrics({name: i})

        threads = [threading.Thread(target=log, args=(f"m{i}",)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    logged = _record(fresh, run.id)
    assert all([p.step for p in logged.metrics[f"m{i}"]] == list(range(200)) for i in range(4))


def test_data_are_the_spec_s_features_and_no_test_row(fresh: Project) -> None:
    with fresh.track("data") as run:
        data = run.data()
    assert data.names == ("depot", "distance", "hour", "wind")
    rows = len(data.train.y) + len(data.validation.y)
    assert 900 < rows < 1000 and data.train.X.shape == (len(data.train.y), 4)
    assert set(np.unique(data.train.y)) == {0.0, 1.0}
    assert [s["name"] for s in fresh.show(run.id).summary["stages"]][-1] == "inspect"
    assert fresh.run().stages[2].status == "cached", "the spine goes on where the script has been"


def test_runs_are_found_by_an_expression(finished: Project) -> None:
    for depth in (2, 5):
        with finished.track(f"depth {depth}", tags={"team": "a" if depth == 2 else "b"}) as run:
            run.log_params(depth=depth)
            run.log_metrics(auc=0.1 * depth)

    def found(where: str) -> list[str]:
        return [r.run for r in finished.find(where)]

    assert found("metrics.auc > 0.3") == ["run-3"]
    assert found("params.depth = 2 or kind = 'spine'") == ["run-1", "run-2"]
    assert found("tags.team = 'a' and status = 'done'") == ["run-2"]
    assert found("release is not null") == ["run-1"] and found("test.f1 >= 0") == ["run-1"]
    assert found("validation.roc_auc > 0.5 and seconds > 0") == ["run-1"]
    assert found("metrics.auc is null") == ["run-1"]
    with pytest.raises(UserError, match=r"metrics\.acu"):
        found("metrics.acu > 1")
    with pytest.raises(UserError, match="not true or false"):
        found("metrics.auc + 1")


def test_notes_and_tags_on_any_run(finished: Project) -> None:
    finished.note("run-1", "the first that shipped", tags={"team": "a"}, group="baseline")
    view = finished.note("run-1", tags={"team": "", "kept": "yes"})
    assert (view.group, view.tags, view.notes) == ("baseline", {"kept": "yes"}, ("the first that shipped",))
    with pytest.raises(UserError, match="nothing is said"):
        finished.note("run-1")
    with pytest.raises(NotFound):
        finished.note("run-9", "x")


def test_commands(finished: Project) -> None:
    folder = str(finished.root)
    noted = CliRunner().invoke(cli, ["note", "run-1", "good", "-C", folder, "--tag", "a=b", "--group", "g"])
    assert noted.exit_code == 0 and noted.stdout == "run-1: group g, a=b, 1 notes\n"
    listed = CliRunner().invoke(cli, ["runs", "-C", folder, "--where", "tags.a = 'b'", "--json"])
    assert [r["run"] for r in json.loads(listed.stdout)] == ["run-1"]
    assert CliRunner().invoke(cli, ["note", "run-1", "-C", folder, "--tag", "a"]).exit_code == 2
    assert "no such runs" in CliRunner().invoke(cli, ["runs", "-C", folder, "--where", "name = 'x'"]).stdout


def test_the_next_run_of_the_spine_is_named_against_the_last_of_the_spine(finished: Project) -> None:
    with finished.track("between"):
        pass
    assert finished.run().name == "no change"
