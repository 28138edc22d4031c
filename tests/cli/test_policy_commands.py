"""`headrace policy`, `jobs` and `worker`: what they print, and how they end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from spine import edit_spec
from streets import PATIENCE, alarm, grow, until

from headrace.cli.root import cli
from headrace.project import Project

POLICY = "{reactions: [{on: health, do: ask}, {on: drift, do: retrain, history: 8 days}]}"


@pytest.fixture
def acting(finished: Project) -> Project:
    edit_spec(finished, ("cv: {folds: 3}", f"cv: {{folds: 3}}\npolicy: {POLICY}"))
    return finished


def call(project: Project, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "-C", str(project.root)])


def test_a_policy_is_shown_done_and_told(acting: Project) -> None:
    assert "nothing calls for it" in call(acting, "policy", "show").output
    assert call(acting, "worker", "--once").exit_code == 0
    assert "no jobs" in call(acting, "jobs", "list").output
    grow(acting)
    alarm(acting, title="drift of wind")
    assert re.search(r"drift\s+retrain\s+drift of wind: now", call(acting, "policy", "show").output)
    done = call(acting, "worker", "--once")
    assert done.exit_code == 4, done.output
    job = acting.jobs()
    (name,) = job
    assert f"say yes: headrace jobs approve {name} --by NAME" in done.output
    shown = call(acting, "jobs", "show", name[:10])
    assert f"release        {job[name].result['release']}" in shown.output
    (listed,) = json.loads(call(acting, "jobs", "list", "--json").output)
    assert listed["status"] == "asked"
    assert listed["tells"].endswith("may it answer?")
    yes = call(acting, "jobs", "approve", name, "--by", "boss@example.com", "--json")
    assert json.loads(yes.output)["approved"] == "boss@example.com"
    done = call(acting, "worker", "--once", "--json")
    assert done.exit_code == 0
    assert json.loads(done.output)["result"]["status"] == "canary"


def test_a_question_is_refused_with_a_reason(acting: Project) -> None:
    alarm(acting, family="health", title="errors")
    assert call(acting, "worker", "--once").exit_code == 0
    (name,) = acting.jobs()
    assert call(acting, "jobs", "refuse", name).exit_code == 2  # no reason
    told = call(acting, "jobs", "approve", name, "--by", "me")
    assert told.exit_code == 2
    assert "asks what is to be done" in told.output
    assert "refused" in call(acting, "jobs", "refuse", name, "--reason", "the network", "--by", "me").output


def test_history_is_replayed_under_another_policy(acting: Project, tmp_path: Path) -> None:
    alarm(acting, family="health", title="errors")
    text = (acting.root / "headrace.yaml").read_text(encoding="utf-8")
    other = tmp_path / "other.yaml"
    other.write_text(text.replace(POLICY, "{reactions: [{on: any, do: retrain}]}"), encoding="utf-8")
    day = ("--from", "2026-01-15", "--to", "2026-01-16")
    own = json.loads(call(acting, "policy", "simulate", *day, "--json").output)
    assert [w["action"]["do"] for w in own["would"]] == ["ask"]
    told = call(acting, "policy", "simulate", *day, "--policy", str(other))
    assert "retrain: errors" in told.output
    assert "promoted by" in told.output
    assert (
        "does not come after"
        in call(acting, "policy", "simulate", "--from", "2026-01-15", "--to", "2026-01-15").output
    )
    assert "is no date" in call(acting, "policy", "simulate", "--from", "yesterday").output
    assert acting.jobs() == {}


def test_a_worker_that_is_stopped_ends_in_good_order(acting: Project) -> None:
    begin = "from headrace.cli.root import cli; cli()"
    words = [sys.executable, "-c", begin, "worker", "--every", "50 ms", "-C", str(acting.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            alarm(acting, family="health", title="errors")
            until(lambda: bool(acting.jobs()))
            process.send_signal(signal.SIGTERM)
            said, told = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 130, told
    assert said in ("", f"queued {next(iter(acting.jobs()))}: ask, errors\n")
    assert "stopped" in told
    assert call(acting, "worker", "--every", "soon").exit_code == 2
