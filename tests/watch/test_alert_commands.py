"""`headrace alerts`, over the ledger of a project that did not run yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from spine import edit_spec

from headrace.cli.root import cli
from headrace.core.clock import iso, system_clock
from headrace.core.errors import NotFound, UserError
from headrace.core.event import Draft
from headrace.core.jobs import Action, Do
from headrace.engine.jobs import queue
from headrace.project import Project
from headrace.testing.sink_exam import SEEN


def opened(project: Project, name: str, **changes: Any) -> None:
    told = {
        "release": "r1",
        "arm": "champion",
        "title": "data drift: delay",
        "family": "drift",
        "families": ["drift"],
        "readings": [{"family": "drift", "check": "ks", "of": "delay", "value": 0.3, "threshold": 0.1}],
        "since": SEEN,
        "seen": SEEN + 3_600_000_000,
        "why": {"lines": ["the median moved from 4 to 9"]},
    }
    project.store.append([Draft("alert.opened", name, iso(project._clock()), "watch", {**told, **changes})])


@pytest.fixture
def project(fresh: Project) -> Project:
    opened(fresh, "3f2a11")
    opened(fresh, "3f2b22", title="data quality: gust", family="quality", families=["quality", "performance"])
    return fresh


def ask(project: Project, *words: str) -> Result:
    return CliRunner().invoke(cli, ["alerts", words[0], "-C", str(project.root), *words[1:]])


def test_they_are_listed(project: Project) -> None:
    told = ask(project, "list").output
    assert "3f2a11" in told and "! data quality: gust" in told
    found = json.loads(ask(project, "list", "--json").output)
    assert [a["alert"] for a in found] == ["3f2a11", "3f2b22"]


def test_one_is_shown_by_the_beginning_of_its_name(project: Project) -> None:
    told = ask(project, "show", "3f2a").output
    assert "ks of delay 0.3 (threshold 0.1)" in told and "the median moved from 4 to 9" in told
    done = ask(project, "show", "3f2")
    assert done.exit_code == 2 and "several alerts" in done.output
    assert ask(project, "show", "nothing").exit_code == 2


def test_somebody_sees_to_it_and_says_when_it_is_over(project: Project) -> None:
    assert "acknowledged by ann" in ask(project, "ack", "3f2a", "--by", "ann").output
    assert "3f2a11" not in ask(project, "list", "--state", "open").output
    assert ask(project, "resolve", "3f2a").exit_code == 2, "a reason is needed"
    assert ask(project, "resolve", "3f2a", "--reason", "mended").exit_code == 0
    with pytest.raises(UserError, match="resolved already: mended"):
        project.resolve("3f2a", "again")
    done = ask(project, "ack", "3f2a")
    assert done.exit_code == 2 and "nothing to see to" in done.output


def test_no_reason_is_told(project: Project) -> None:
    with pytest.raises(UserError, match="with a reason"):
        project.resolve("3f2a", "  ")
    with pytest.raises(NotFound):
        project.alert("")


def test_receivers_are_tried_and_what_is_missing_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALERTS_URL", raising=False)
    edit_spec(project, ("split:", "alerts: {to: [{webhook: ALERTS_URL}]}\nsplit:"))
    done = ask(project, "try")
    assert done.exit_code == 1
    assert "log: taken" in done.output and "ALERTS_URL is not set" in done.output


def test_messages_wait_until_they_are_taken(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTS_URL", "http://127.0.0.1:1/")
    edit_spec(project, ("split:", "alerts: {to: [{webhook: ALERTS_URL, severity: high}]}\nsplit:"))
    assert list(project.tell_alerts()) == ["webhook ALERTS_URL"]
    found = {(m["message"], m["receiver"]): m for m in project.messages()}
    assert found["3f2a11-opened", "log"]["sent"]
    waiting = found["3f2b22-opened", "webhook ALERTS_URL"]
    assert not waiting["sent"] and waiting["tries"] == 1 and "can't be reached" in waiting["trouble"]
    assert ("3f2a11-opened", "webhook ALERTS_URL") not in found, "it harms nobody"
    assert "waits, tried 1 times" in ask(project, "messages").output


def test_what_a_job_asks_is_told_until_it_is_answered(project: Project) -> None:
    action = Action(Do.ASK, "r1", "3f2a11", "data drift: delay", "ask-1")
    queue(project.store, [action], actor="policy", clock=system_clock)
    project.tell_alerts()
    (told,) = [m["message"] for m in project.messages() if m["message"].startswith("ask-1")]
    assert told.startswith("ask-1-asked-")
    project.refuse_job("ask-1", reason="the feed was mended")
    project.tell_alerts()
    assert [m["message"] for m in project.messages() if m["message"].startswith("ask-1")] == [told]


def test_a_project_without_alerts_says_so(fresh: Project, tmp_path: Path) -> None:
    assert ask(fresh, "list").output == "no alerts\n"
    assert ask(fresh, "messages").output == "nothing was told yet\n"
