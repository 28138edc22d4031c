"""What `headrace check` says of alerts and policy, before any work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from spine import begin, edit_spec

from headrace.core.errors import SpecError
from headrace.project import Project


def declare(project: Project, plans: dict[str, Any]) -> None:
    file = project.root / "headrace.yaml"
    file.write_text(file.read_text(encoding="utf-8") + yaml.safe_dump(plans), encoding="utf-8")


def reactions(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"policy": {"reactions": list(found), **more}}


def to(**receiver: str) -> dict[str, Any]:
    return {"alerts": {"to": [receiver]}}


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        (reactions({"on": "schedule", "do": "retrain"}), "a reaction on a schedule needs its cron"),
        (reactions({"on": "schedule", "do": "retrain", "cron": "every day"}), "is no cron expression"),
        (reactions({"on": "schedule", "do": "retrain", "cron": "0 0 31 2 *"}), "there is no day on which"),
        (reactions({"on": "drift", "do": "retrain", "cron": "0 3 * * *"}), "cron means nothing on drift"),
        (reactions({"on": "labels", "do": "retrain"}), "needs how many, or how old"),
        (reactions({"on": "labels", "do": "retrain", "age": "0 days"}), "age is no time at all"),
        (reactions({"on": "drift", "do": "retrain", "count": 5}), "count and age mean nothing on drift"),
        (
            reactions({"on": "labels", "do": "retrain", "count": 5, "least": 2}),
            "least means nothing on labels",
        ),
        (reactions({"on": "labels", "do": "roll back", "count": 5}), "roll back on labels"),
        (reactions({"on": "continuous", "do": "ask"}), "ask on continuous: new labels are there to be"),
        (reactions({"on": "continuous", "do": "retrain", "count": 5}), "count and age mean nothing on"),
        (reactions({"on": "continuous", "do": "retrain", "least": 2}), "least means nothing on continuous"),
        (reactions({"on": "drift", "do": "retrain", "within": "7 days"}), "within means nothing for retrain"),
        (reactions({"on": "drift", "do": "ask", "history": "7 days"}), "history means nothing for ask"),
        (reactions({"on": "health", "do": "retire"}), "retire leaves the answers to the fallback"),
        (
            reactions({"on": "any", "do": "ask"}, {"on": "drift", "do": "retrain"}),
            "no alert comes to this reaction: reaction 1 (on any) takes them all",
        ),
        (
            {**reactions({"on": "quality", "do": "ask"}), "watch": {"off": ["quality"]}},
            "on quality: nothing of that is watched",
        ),
        (reactions(windows=["0 days"]), "a window is no time at all"),
        (reactions(holdout="0 s"), "policy.holdout is no time at all"),
        ({"alerts": {"budget": "0 per month"}}, "lets nothing be told"),
        (to(severity="all"), "a receiver has no way to reach it"),
        (to(slack="HOOK", email="me@example.com"), "2 ways: slack and email"),
        (to(webhook="https://example.com/hook"), "webhook is no name of an environment variable"),
        (to(slack="HOOK", secret="KEY"), "only webhooks are signed"),
        (to(email="me"), "is no address"),
        ({"watch": {"rows": 60}}, "has fewer than are judged"),
        ({"policy": {"reactions": [{"on": "drfit", "do": "retrain"}]}}, "drfit"),
        ({"monitoring": []}, "monitoring"),
    ],
)
def test_what_can_t_be_meant_is_refused_with_its_line(
    tmp_path: Path, plans: dict[str, Any], said: str
) -> None:
    project = begin(tmp_path / "p", rows=20)
    declare(project, plans)
    with pytest.raises(SpecError) as error:
        project.check()
    assert said in str(error.value)
    assert all(re.search(r"headrace\.yaml:\d+", p.where) for p in error.value.problems)


def test_what_depends_on_split_task_and_approval(tmp_path: Path) -> None:
    project = begin(
        tmp_path / "p",
        (
            "{by: time, validation: 20%, test: 20%}",
            "{by: random, validation: 20%, test: 20%, history: 9 days}",
        ),
        ("approval: self", "approval: other"),
        rows=20,
    )
    threshold = {"on": "drift", "do": "retrain", "history": "9 days"}
    declare(project, reactions(threshold, approval="none", windows=["9 days"], holdout="1 day"))
    with pytest.raises(SpecError) as error:
        project.check()
    for said in (
        "split.history only works by time",
        "policy.windows only works by time",
        "policy.holdout only works by time",
        "history means nothing by another split than by time",
        "policy.approval: none lets a release through",
    ):
        assert said in str(error.value)


def test_special_reactions_before_general_ones_and_a_rollback_that_gives_way_pass(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", rows=20)
    declare(
        project,
        reactions(
            {"on": "performance", "do": "roll back", "within": "7 days"},
            {"on": "performance", "do": "retrain", "least": 2},
            {"on": "performance", "do": "alert"},
            {"on": "any", "do": "ask"},
            {"on": "schedule", "do": "retrain", "cron": "0 3 29 2 *"},
            {"on": "labels", "do": "retrain", "count": 100, "age": "30 days"},
        ),
    )
    project.check()


def test_variables_that_are_not_set_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = begin(tmp_path / "p", rows=20)
    hooks = [{"webhook": "TEAM_HOOK", "secret": "TEAM_KEY"}, {"email": "me@example.com"}]
    declare(project, {"alerts": {"to": hooks}})
    for name in ("TEAM_HOOK", "TEAM_KEY", "HEADRACE_SMTP"):
        monkeypatch.delenv(name, raising=False)
    said = [p.what for p in project.warnings()]
    assert [s for s in said if "TEAM_HOOK" in s]
    assert [s for s in said if "HEADRACE_SMTP" in s]
    for name in ("TEAM_HOOK", "TEAM_KEY", "HEADRACE_SMTP"):
        monkeypatch.setenv(name, "x")
    assert project.warnings() == []


def test_a_threshold_is_of_two_classes(tmp_path: Path) -> None:
    project = begin(
        tmp_path / "p",
        ("task: binary", "task: regression"),
        ("target: late > 30", "target: late"),
        ("metric: f1", "metric: mae"),
        ('today: {rule: "hour(at) >= 20"}', "today: {rule: distance}"),
        ("ship_at: 0.3", "ship_at: 100"),
        rows=20,
    )
    edit_spec(
        project, ("cv: {folds: 3}", "cv: {folds: 3}\npolicy: {reactions: [{on: drift, do: threshold}]}")
    )
    with pytest.raises(SpecError) as error:
        project.check()
    assert "a regression task has no threshold" in str(error.value)
