"""The frame at work: goals and relative bars that are judged, advice with its reasons, assumptions looked at
again, money, and columns with a meaning. On two classes, three classes, and a regression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from spine import Clock, begin, edit_rows, edit_spec, statuses, verdict
from worlds import homes, wine

from headrace.cli.run import render
from headrace.cli.verdict import columns_text, worth_text
from headrace.core.errors import AwaitingApproval, GateBlocked, SpecError
from headrace.data.seal import openings
from headrace.project import Project
from headrace.serve.describe import describe

GOAL = "goal: minimise fpr subject to recall >= 0.4"
VALUE = "value: {true_positive: 9, false_positive: -3, false_negative: -5, unit: EUR}"
WINDY = "2.2 * weather.wind + case when depot = 'north' then 12 else 0 end + (hour(at) - 12) * 0.8 > 45"


def frame(*lines: str) -> tuple[str, str]:
    """Lines added to the problem of the spine's spec."""
    return "approval: self", "\n  ".join(["approval: self", *lines])


def mistakes(project: Project) -> list[str]:
    with pytest.raises(SpecError) as error:
        project.check()
    return [f"{p.where} | {p.what} | {p.why} | {p.fix}" for p in error.value.problems]


def test_a_goal_chooses_the_threshold_and_is_judged(fresh: Project) -> None:
    edit_spec(
        fresh,
        frame(GOAL),
        ("metric: f1", "metric: average_precision"),
        ("ship_at: 0.3", "ship_at: {fpr: '<= 0.9 * today'}"),
    )
    result = fresh.run()
    reachable = verdict(result, "goal-reachable")
    assert reachable.outcome == "pass"
    assert "recall >= 0.4: " in reachable.evidence.where
    goal = verdict(result, "goal: recall")
    assert (goal.stage, goal.rule) == ("test", ">= 0.4 at the safe end")
    assert goal.evidence.interval.low >= 0.4
    relative = verdict(result, "ship-at: fpr")
    assert relative.evidence.unit == "fpr less 0.9 × today's"
    assert relative.rule == "<= 0 at the safe end"
    assert "today's" in relative.evidence.where
    made = {s.name: s.output for s in result.stages}
    assert made["learn"].facts["threshold"] == pytest.approx(made["package"].facts["serving"]["threshold"]), (
        "the threshold that the goal chose is the one that serves"
    )


def test_a_goal_out_of_reach_is_said_with_the_nearest(fresh: Project) -> None:
    edit_spec(fresh, frame("goal: maximise f1 subject to recall >= 0.99 and precision >= 0.99"))
    result = fresh.run()
    judged = verdict(result, "goal-reachable")
    assert (judged.outcome, result.status, list(statuses(result))[-1]) == ("fail", "blocked", "learn")
    assert "no threshold keeps it: this is the nearest" in judged.evidence.where
    assert result.plain()["advice"]["verdict"] == "not yet"


def test_later_openings_show_one_bit_of_a_relative_bar(finished: Project) -> None:
    edit_spec(
        finished,
        ("[tree]", "[{use: tree, params: {max_depth: 2}}]"),
        ("ship_at: 0.3", "ship_at: {fpr: '<= 0.99 * today', f1: '> today'}"),
    )
    result = finished.run()
    for gate in ("ship-at: fpr", "ship-at: f1"):
        judged = verdict(result, gate)
        assert judged.evidence.unit == "reached (1) or not (0)"
        assert judged.evidence.interval is None
        assert judged.evidence.value in (0.0, 1.0)
        assert judged.rule == "== 1"
        assert "judged at level 0.0031" in judged.evidence.where
        assert "today's" not in judged.evidence.where, "no figure of the test leaks"
    assert result.plain()["worth"] is None
    assert [v.opening.number for v in openings(finished.store)] == [1, 2]


def test_the_bar_is_part_of_the_candidates_name(finished: Project) -> None:
    change = ("[tree]", "[{use: tree, params: {max_depth: 2}}]")
    edit_spec(finished, change, ("ship_at: 0.3", "ship_at: {fpr: '<= 0.99 * today'}"))
    finished.run()
    edit_spec(finished, ("0.99 * today", "0.98 * today"))
    finished.run()
    assert [v.opening.number for v in openings(finished.store)] == [1, 2, 3], "another bar is another try"


def test_todays_number_is_worked_into_a_relative_bar(finished: Project) -> None:
    edit_spec(
        finished,
        ('{rule: "hour(at) >= 20"}', "{value: 0.2, source: a report}"),
        ("ship_at: 0.3", "ship_at: {f1: '>= 1.5 * today'}"),
    )
    assert verdict(finished.run(), "ship-at: f1").rule.startswith(">= 0.3")


def test_no_go_where_the_rule_is_the_truth(fresh: Project) -> None:
    edit_spec(fresh, ("hour(at) >= 20", WINDY), frame(VALUE))
    result = fresh.run()
    assert (result.status, result.exit_code, list(statuses(result))[-1]) == ("no-go", 3, "learn")
    advice = fresh.show().summary["advice"]
    assert (advice["verdict"], advice["needed"], advice["model"]) == ("no-go", "no", "tree")
    assert advice["text"].startswith(f"Don't ship: keep today's rule ({WINDY}).")
    assert "EUR per 1,000 decisions" in advice["text"]
    assert advice["interval"]["low"] < 0
    assert "advice: Don't ship: keep today's rule" in render(result)
    waived = fresh.run(
        waive=[{"gate": "beats-today", "reason": "a trial", "by": "boss@x.org", "until": "2026-12-31"}]
    )
    assert waived.status == "released"
    advised = waived.plain()["advice"]
    assert (advised["verdict"], advised["needed"]) == ("ship", "no")
    assert "Waived by boss@x.org: a trial" in advised["text"]


def test_a_run_that_ships_says_why(finished: Project) -> None:
    advice = finished.run().plain()["advice"]
    assert (advice["verdict"], advice["needed"]) == ("ship", "yes")
    assert "tree is better than today's rule (hour(at) >= 20) beyond noise: f1 +" in advice["text"]
    edit_spec(finished, ('  today: {rule: "hour(at) >= 20"}\n', ""))
    advice = finished.run().plain()["advice"]
    assert advice["needed"] == "not asked"
    assert "no solution of today is declared" in advice["text"]


def test_money_on_the_leaderboard_and_the_test(fresh: Project) -> None:
    edit_spec(fresh, frame(VALUE), ("metric: f1", "metric: value"), ("ship_at: 0.3", "ship_at: -2000"))
    result = fresh.run()
    plain = result.plain()
    lines = {m["model"]: m["worth"] for m in plain["leaderboard"]}
    assert set(lines) == {"naive", "today", "tree"}
    assert lines["tree"]["unit"] == "EUR per 1,000 decisions"
    assert lines["today"]["gains"]["today"]["gain"] == 0
    assert lines["tree"]["gains"]["today"]["gain"] == pytest.approx(
        lines["tree"]["value"] - lines["today"]["value"]
    )
    worth = plain["worth"]
    assert worth["value"] == pytest.approx(plain["test"]["value"])
    assert set(worth["gains"]) == {"today", "nothing", "always"}
    seen = next(r.output.facts["headlines"]["worth"] for r in result.stages if r.name == "evaluate")
    assert seen["value"] == pytest.approx(plain["validation"]["value"]["value"])
    assert seen["gains"]["today"]["rows"] == seen["rows"]
    text = render(result)
    assert "worth on validation: " in worth_text({"evaluation": {"worth": seen}})
    assert "worth on the test: " in text
    assert "over doing nothing" in text
    manifest = fresh.release()[1]
    standing = next(s for s in manifest.leaderboard if s.model == "tree")
    assert standing.worth is not None
    assert standing.worth.value == lines["tree"]["value"]


def test_a_metric_of_scores_leaves_the_threshold_to_the_value(finished: Project) -> None:
    edit_spec(finished, ("metric: f1", "metric: roc_auc"))
    plain = {s.name: s.output.facts for s in finished.run().stages}
    assert plain["learn"]["threshold"] == 0.5
    edit_spec(finished, frame(VALUE))
    valued = {s.name: s.output.facts for s in finished.run().stages}
    assert valued["learn"]["threshold"] != 0.5


def test_an_assumption_that_breaks_before_promotion_blocks(fresh: Project) -> None:
    check = "avg(weather.wind is not null) >= 0.9"
    edit_spec(
        fresh,
        ("approval: self", f'approval: other\n  assumptions: [{{text: wind is known, check: "{check}"}}]'),
    )
    result = fresh.run()
    assert result.status == "awaiting approval"
    again = [v for v in result.verdicts if v.gate == f"assumption: {check}"]
    assert [v.stage for v in again] == ["ingest", "promote"]
    fresh.approve(result.release, by="colleague@example.com")
    edit_rows(fresh, lambda row: {**row, "wind": "" if row["depot"] == "south" else row["wind"]}, "weather")
    with pytest.raises(GateBlocked, match="assumption: avg") as error:
        fresh.promote(result.release)
    assert "is not >= 0.9" in error.value.problems[0].why
    assert "stage promote" in error.value.problems[0].where
    assert fresh.releases().champion is None
    (fresh.root / "data" / "weather.csv").rename(fresh.root / "data" / "gone.csv")
    with pytest.raises(GateBlocked, match="is unknown") as error:
        fresh.promote(result.release)
    assert "can't be read any more" in error.value.problems[0].why
    (fresh.root / "data" / "gone.csv").rename(fresh.root / "data" / "weather.csv")
    edit_rows(fresh, lambda row: {**row, "wind": row["wind"] or "7"}, "weather")
    fresh.promote(result.release)
    assert fresh.releases().champion is not None


def test_an_expired_go_blocks_a_later_promotion(fresh: Project, clock: Clock) -> None:
    go = "go: {decided_by: boss@example.com, on: 2026-01-01, expires: 2026-01-20}"
    edit_spec(fresh, ("approval: self", f"approval: other\n  {go}"))
    release = fresh.run().release
    with pytest.raises(AwaitingApproval):
        fresh.promote(release)
    fresh.approve(release, by="colleague@example.com")
    clock.forward(days=30)
    with pytest.raises(GateBlocked, match="gate 'go' failed"):
        fresh.promote(release)


def test_columns_mean_something_wherever_they_are_shown(fresh: Project) -> None:
    meanings = 'columns: {distance: "kilometres by road", weather.wind: "metres a second at the depot"}'
    edit_spec(fresh, frame(meanings))
    result = fresh.run()
    assert "kilometres by road" in columns_text(result.plain())
    view, manifest = fresh.release()
    fields = {f.name: f.description for f in manifest.serving.fields}
    assert fields["weather.wind"] == "metres a second at the depot"
    assert fields["depot"] == ""
    told = describe(manifest, view.release)
    assert {f["name"]: f.get("description") for f in told["fields"]}["distance"] == "kilometres by road"
    assert told["looked_up"][0]["description"] == "metres a second at the depot"


BAD = {
    "goal: minimise fpr subject to recal >= 0.9": ("no metric is named 'recal'", "did you mean 'recall'"),
    "goal: minimise recall": ("asks for the worst recall", "write maximise recall"),
    "goal: minimise fpr subject to recall <= 0.9": ("asks for a bad recall", "write recall >="),
    "goal: minimise fpr subject to recall >= 95": ("recall lies between 0 and 1", "such as 95%"),
    "goal: maximise f1 subject to roc_auc >= 0.9": ("the same at every threshold", "problem.ship_at"),
    "goal: maximise f1 subject to fpr >= 0.8 * today": ("asks for a worse fpr than today's", "write fpr <="),
    "goal: reach recall": ("is no goal", "begin with 'maximise' or 'minimise'"),
    "value: {true_positive: -1, false_positive: -3}": ("acting is never worth it", "true_positive above"),
    "value: {true_positive: 1}": ("acting is always worth it", "cost on negatives"),
    "value: {true_positive: .inf, false_positive: -1}": ("true_positive is worth inf", "finite"),
    "columns: {distanse: km}": ("describes 'distanse', which is no column", "did you mean 'distance'"),
    "columns: {weather.gust: m}": ("describes 'weather.gust', which is no column", "weather."),
    "columns: {distance: ' '}": ("problem.columns.distance is empty", "say what the column means"),
}


@pytest.mark.parametrize("line", BAD)
def test_what_can_mean_nothing_is_refused_with_its_line(fresh: Project, line: str) -> None:
    edit_spec(fresh, frame(line))
    (found,) = mistakes(fresh)
    what, fix = BAD[line]
    assert found.startswith("headrace.yaml:")
    assert what in found
    assert fix in found


def test_relative_bars_that_compare_with_nothing(fresh: Project) -> None:
    edit_spec(fresh, ("ship_at: 0.3", "ship_at: {log_loss: '<= 0.9 * today', recall: '<= today'}"))
    found = mistakes(fresh)
    assert "no probabilities to be measured by log_loss" in found[0]
    assert "asks for a worse recall" in found[1]
    edit_spec(fresh, ('rule: "hour(at) >= 20"', "value: 0.3"))
    assert "only its f1 is known" in mistakes(fresh)[0]
    edit_spec(fresh, ("  today: {value: 0.3}\n", ""))
    assert "none is declared" in mistakes(fresh)[0]


def test_three_classes(tmp_path: Path) -> None:
    rule = (
        "case when proline > 755 then 'class_0' when color_intensity < 3.8 then 'class_1' else 'class_2' end"
    )
    problem: dict[str, Any] = {
        "today": {"rule": rule},
        "ship_at": {"f1_macro": ">= today", "accuracy": ">= 0.7 * today"},
        "columns": {"proline": "milligrams a litre"},
    }
    project = wine(tmp_path / "wine", {"problem": problem})
    result = project.run()
    assert verdict(result, "beats-today").outcome == "pass"
    assert verdict(result, "ship-at: accuracy").outcome == "pass"
    assert verdict(result, "ship-at: f1_macro").evidence.unit == "f1_macro less 1 × today's"
    refused = wine(
        tmp_path / "refused",
        {"problem": {"value": {"true_positive": 1.0}, "goal": "maximise accuracy subject to recall >= 0.9"}},
    )
    told = "\n".join(mistakes(refused))
    assert "problem.value only works for binary tasks; this one is multiclass" in told
    assert "which a multiclass task has not" in told


def test_a_regression_against_todays_rule(tmp_path: Path, housing: Path) -> None:
    problem = {"today": {"rule": "median_income * 45000"}, "ship_at": {"rmse": "<= 0.95 * today"}}
    project = homes(tmp_path / "homes", housing, {"problem": problem})
    result = project.run()
    judged = verdict(result, "ship-at: rmse")
    assert judged.outcome == "pass", judged
    assert judged.evidence.value < 0
    assert "today's" in judged.evidence.where
    advice = result.plain()["advice"]
    assert (advice["verdict"], advice["needed"]) == ("ship", "yes")


def test_a_world_without_signal_is_not_blamed_on_today(tmp_path: Path) -> None:
    project = begin(tmp_path / "project", ('  today: {rule: "hour(at) >= 20"}\n', ""), signal=0.0)
    result = project.run()
    assert result.status == "blocked"
    assert result.plain()["advice"]["verdict"] == "not yet"


def test_a_rule_is_met_on_decisions_where_the_metric_ranks(finished: Project) -> None:
    edit_spec(finished, ("metric: f1", "metric: average_precision"))
    result = finished.run()
    assert verdict(result, "beats-today").evidence.unit == "average_precision better"
    assert "ranks rows, which a rule can't: declare problem.value" in result.plain()["advice"]["text"]
    edit_spec(finished, frame(VALUE))
    valued = finished.run()
    assert verdict(valued, "beats-today").evidence.unit == "value better"
    assert "ranks rows" not in valued.plain()["advice"]["text"]
