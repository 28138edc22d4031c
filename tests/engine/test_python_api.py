"""The Python API behind the commands: what notebooks show, and what a second look at a test may show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from spine import STAGES, begin, edit_spec, verdict

from headrace.core.errors import SpecError
from headrace.project import Project

DEPTH_2 = ("[tree]", "[{use: tree, params: {max_depth: 2}}]")


def test_results_show_in_notebooks(finished: Project) -> None:
    edit_spec(finished, ("project: parcels", "project: parcels2"), ("hour: hour(at)", "hour: hour(at) + 1"))
    shown = [finished.run(), finished, finished.show(), finished.releases()]
    for thing in shown:
        html = thing._repr_html_()
        assert html.startswith("<")
        assert "<table" in html
    assert "features: ~hour" in finished._repr_html_()


def test_what_users_wrote_is_no_markup(finished: Project) -> None:
    edit_spec(
        finished, ("hour: hour(at)", "hour: hour(at) + 2"), ("owner@example.com", "<script>alert(1)</script>")
    )
    edit_spec(finished, ('"distance > 0"', '"distance < 99999"'))
    html = finished.run()._repr_html_()
    assert "distance &lt; 99999" in html
    assert "<script>" not in html + finished._repr_html_()


def test_a_later_candidate_sees_the_verdict_alone(finished: Project) -> None:
    edit_spec(finished, DEPTH_2, ("ship_at: 0.3", "ship_at: 0.1"))
    result = finished.run()
    test = result.plain()["test"]
    assert (test["opening"], test["value"], test["interval"]) == (2, None, None)
    judged = verdict(result, "ship-at: f1")
    assert judged.evidence.value in (0.0, 1.0)
    assert judged.evidence.interval is None
    assert "opening 2 of these rows, judged at level" in judged.evidence.where
    assert judged.rule == "== 1"
    (event,) = [e for e in finished.store.read(kinds=("stage.finished",)) if e.payload["stage"] == "test"][1:]
    output = json.dumps(event.payload["output"])
    assert '"value": null' in output
    again = finished.run().plain()["test"]
    assert again == test, "the same candidate again is the same opening"


def test_the_first_candidate_keeps_its_number(finished: Project) -> None:
    first = finished.run().plain()["test"]
    edit_spec(finished, DEPTH_2)
    finished.run()
    edit_spec(finished, tuple(reversed(DEPTH_2)))
    assert finished.run().plain()["test"] == first


def test_progress_is_told_of_every_stage(fresh: Project) -> None:
    told: list[tuple[str, str]] = []
    fresh.run(progress=lambda stage, text, done, total: told.append((stage, text)))
    starts = [stage for stage, text in told if text == "starts"]
    assert starts == [*STAGES, "promote"]
    assert [stage for stage, text in told if text == "ran"] == starts


def test_a_rule_of_today_that_knows_the_answer(fresh: Project) -> None:
    edit_spec(fresh, ("hour(at) >= 20", "late > 10 and hour(at) > 3"))
    with pytest.raises(SpecError, match="today's rule uses the target's column 'late'") as caught:
        fresh.check()
    assert "(problem.today.rule)" in caught.value.problems[0].where


def test_a_cached_run_and_reading_load_no_learning_library(tmp_path: Path) -> None:
    """What has nothing to learn imports nothing that learns."""
    project = begin(tmp_path / "project")
    project.run()
    script = (
        "import sys; from headrace.project import Project; p = Project(sys.argv[1], actor='me')\n"
        "p.run(); p.show(); p.release(); p.audit()\n"
        "print([m for m in ('sklearn', 'lightgbm', 'pandas', 'skl2onnx', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(project.root)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
