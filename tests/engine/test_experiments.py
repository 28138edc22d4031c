"""An experiment from start to decision, over a real ledger and a real prediction log."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from spine import Clock, edit_spec

from headrace.cli import root
from headrace.core.answered import Answered
from headrace.core.errors import NotFound, UserError
from headrace.core.routes import DEFAULT, Role, pick
from headrace.logs.writer import LogWriter
from headrace.policy.experiments import Verdict
from headrace.project import Project

PLAN = """
experiment:
  unit: parcel
  traffic: 0.5
  primary: calls that were made for nothing
  outcome: label = prediction
  baseline: 0.6
  expected: 0.7
  guardrails: [p99 <= 50 ms, complaints a day <= 5]
  slices: [depot]
  minimum: 2 days
"""


@pytest.fixture
def project(finished: Project) -> Project:
    """Two releases: one of them is champion, the other was, or may become it."""
    edit_spec(finished, ("models: [tree]", "models: [linear]"))
    spec = finished.root / "headrace.yaml"
    spec.write_text(spec.read_text(encoding="utf-8") + PLAN, encoding="utf-8")
    assert finished.run().release
    assert len(finished.releases().releases) == 2
    return finished


def answer(project: Project, clock: Clock, days: int, *, right: dict[str, float], seed: int = 0) -> None:
    """Traffic: 300 couriers a day ask once, and what was right becomes known at once."""
    rng = random.Random(seed)
    log = LogWriter(project.log_folder, worker=f"w{seed}", mode="durable")
    labels: list[dict[str, Any]] = []
    start = clock()
    for day in range(days):
        route = project.routes()[DEFAULT]
        champion = project.releases().champion
        assert champion is not None
        for i in range(300):
            unit = f"courier {seed} {day} {i}"
            arm = pick(route, unit)
            role = Role.CHAMPION if arm is None else arm.role
            moment = int((start + timedelta(days=day, seconds=i)).timestamp() * 1e6)
            entry = Answered(
                f"{seed:04d}{day:04d}{i:04d}",
                moment,
                DEFAULT,
                champion.release if arm is None else arm.release,
                role.value,
                unit,
                "model",
                {"depot": "north" if i % 2 else "south", "courier": unit},
                {"prediction": True, "probability": 0.7},
                took_us=900,
            )
            log.append([entry], lambda error: None)
            labels.append({"id": entry.id, "label": rng.random() < right[role.value]})
    log.close()
    for i in range(0, len(labels), 5_000):
        assert project.labels().take(labels[i : i + 5_000]).refused == 0
    clock.forward(days=days)


def former(project: Project) -> str:
    champion = project.releases().champion
    assert champion is not None
    return next(n for n in project.releases().releases if n != champion.release)


def test_an_experiment_to_its_decision(project: Project, clock: Clock) -> None:
    answer(project, clock, 1, right={"champion": 0.5}, seed=1)
    started = project.start_experiment(former(project), name="old")
    assert (started.share, started.treatment) == (0.5, former(project))
    assert 600 < started.plan["planned"] < 2_000
    (arm,) = project.routes()[DEFAULT].arms
    assert (arm.release, arm.role, arm.share) == (former(project), Role.TREATMENT, 0.5)
    answer(project, clock, 1, right={"champion": 0.5, "treatment": 0.8}, seed=2)
    early = project.experiment_status()
    assert (early.look.verdict, early.crossed) == (Verdict.WAIT, 0)
    assert sum(early.look.units) == 300, "what was answered before the start does not count"
    answer(project, clock, 4, right={"champion": 0.5, "treatment": 0.8}, seed=3)
    told = project.experiment_status(keep=True)
    assert told.look.verdict is Verdict.BETTER
    assert told.look.effect is not None and told.look.effect.interval.low > 0
    assert set(told.look.slices) == {"depot = north", "depot = south"}
    (held,) = told.look.guardrails.values()
    assert not held.broken
    assert any("complaints a day <= 5" in note for note in told.notes)
    assert len(project.experiments()[0].looks) == 1
    stopped = project.stop_experiment("ship")
    assert (stopped.decision, stopped.verdict) == ("ship", "better")
    assert project.routes()[DEFAULT].arms == ()
    champion = project.releases().champion
    assert champion is not None and champion.release != former(project), "shipping promotes nothing by itself"
    answer(project, clock, 2, right={"champion": 0.0}, seed=4)
    assert project.experiment_status("old").look.effect == told.look.effect, (
        "what came later is no part of it"
    )
    with pytest.raises(UserError, match="was stopped on"):
        project.stop_experiment("keep", "old")


def test_what_is_not_shown_is_shipped_with_a_reason_alone(project: Project, clock: Clock) -> None:
    project.start_experiment(former(project))
    answer(project, clock, 3, right={"champion": 0.5, "treatment": 0.5}, seed=2)
    with pytest.raises(UserError, match="does not show that it is better"):
        project.stop_experiment("ship")
    assert project.stop_experiment("ship", reason="a fix of wrong texts").reason == "a fix of wrong texts"


def test_an_own_outcome_before_the_start_is_a_covariate(project: Project, clock: Clock) -> None:
    spec = project.root / "headrace.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace("  slices:", "  covariate: before\n  slices:"))
    project.start_experiment(former(project))
    answer(project, clock, 3, right={"champion": 0.5, "treatment": 0.5}, seed=2)
    effect = project.experiment_status().look.effect
    assert effect is not None and effect.reduction == 0.0  # new units: nothing was known of them


def test_starts_that_are_refused(project: Project, clock: Clock) -> None:
    champion = project.releases().champion
    assert champion is not None
    with pytest.raises(UserError, match="is champion"):
        project.start_experiment(champion.release)
    with pytest.raises(NotFound):
        project.start_experiment("zzzz")
    with pytest.raises(NotFound, match="no experiments yet"):
        project.experiment_status()
    project.start_experiment(former(project), name="one")
    with pytest.raises(UserError, match="one runs on the route") as caught:
        project.start_experiment(former(project), name="one")
    assert len(caught.value.problems) == 2  # the name is taken, too
    with pytest.raises(UserError, match="the experiment one runs on"):
        project.set_route(canary=former(project), ramp=(1.0,))


def test_a_plan_that_says_nothing_is_refused(project: Project) -> None:
    spec = project.root / "headrace.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("  unit: parcel\n", "").replace("  outcome: label = prediction\n", ""))
    with pytest.raises(UserError) as caught:
        project.start_experiment(former(project))
    assert [p.where for p in caught.value.problems] == ["experiment.outcome", "experiment.unit"]


def test_bad_sql_is_the_owner_s_mistake(project: Project, clock: Clock) -> None:
    spec = project.root / "headrace.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("label = prediction", "no_such_column + 1"))
    project.start_experiment(former(project))
    assert project.experiment_status().look.verdict is Verdict.WAIT  # nothing was answered yet
    answer(project, clock, 1, right={"champion": 0.5, "treatment": 0.5})
    with pytest.raises(UserError, match="DuckDB refuses"):
        project.experiment_status()


def test_the_commands(project: Project, clock: Clock) -> None:
    def call(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(
            root.cli, ["ab", *arguments, "-C", str(project.root)], catch_exceptions=False
        )
        return done.exit_code, done.output

    code, told = call("plan", "--json")
    planned = json.loads(told)
    assert code == 0, told
    assert planned["units"] > planned["single_look"] > 0
    assert call("list")[1].startswith("no experiments yet")
    assert call("start", former(project), "--name", "x", "--units", "900")[0] == 0
    assert "until" not in call("list")[1]
    code, told = call("status")
    assert code == 0 and "each arm needs" in told and "x on default" in told
    assert call("stop")[0] == 2
    code, told = call("stop", "--none", "--reason", "the wrong text")
    assert code == 0 and "the wrong text" in told
    assert json.loads(call("status", "--json")[1])["experiment"]["decision"] == "none"
