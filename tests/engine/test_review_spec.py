"""People in the loop, from the spec to the manifest and to rows that people are asked about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spine import begin, clock, edit_spec, finished
from worlds import homes, wine

from headrace.core.errors import NotFound, SpecError, UserError
from headrace.core.review import State
from headrace.project import Project
from headrace.serve.answer import Answerer
from headrace.serve.attention import Attention

__all__ = ["clock", "finished"]


def mistakes(folder: Path, review: str) -> list[str]:
    project = begin(folder, ("models: [tree]", f"models: [tree]\nreview: {review}"), rows=60)
    with pytest.raises(SpecError) as told:
        project.check()
    assert all("headrace.yaml:" in p.where for p in told.value.problems)
    return [p.what for p in told.value.problems]


@pytest.mark.parametrize(
    ("review", "told"),
    [
        ("{}", "of no answer"),
        ("{when: depot = 'north', risk: 0.1}", "both when and risk"),
        ("{when: deopt = 'north'}", "deopt"),
        ("{when: late > 3}", "target's column 'late'"),
        ("{when: distance}", "no condition"),
        ("{when: 1 = 1}", "reads nothing"),
        ("{when: set_size > 1}", "set_size"),
        ("{when: upper > 1}", "upper"),
        ("{when: prediction = 'late'}", "prediction"),
        ("{when: confidence < 0.9, level: 0.9}", "review.level is of a risk"),
        ("{risk: 1.5}", "review.risk"),
        ("{risk: 0.000001, level: 0.9999}", "faultless rows"),
        ("{audit: 0.1, capacity: 5 / s}", "not counted by the second"),
        ("{audit: 0.1, capacity: 0.5 / day}", "no whole number"),
        ("{audit: 0.1, capacity: 1 / day, double: 0.5}", "two can't decide"),
        ("{audit: 0.1, deadline: 0 min}", "no time at all"),
        ("{audit: 0.1, deadline: soon}", "soon"),
        ("{audit: 1.5}", "review.audit"),
        ("{audit: 0.1, fallback: rule}", "fallback"),
        ("{adit: 0.1}", "adit"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, review: str, told: str) -> None:
    assert any(told in what for what in mistakes(tmp_path / "p", review)), mistakes(tmp_path / "q", review)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    told = mistakes(tmp_path, "{when: nothing > 1, risk: 0.1, deadline: 0 s, capacity: 0.5 / day}")
    assert len(told) == 4


def test_a_regression_has_no_wrong_answers(tmp_path: Path, housing: Path) -> None:
    with pytest.raises(SpecError, match="a value is not right or wrong"):
        homes(tmp_path / "a", housing, {"review": {"risk": 0.1}}, rows=200).check()
    homes(
        tmp_path / "b", housing, {"review": {"when": "prediction > 300000", "audit": 0.05}}, rows=200
    ).check()
    sure = {"uncertainty": {"level": 0.8}, "review": {"when": "upper - lower > 100000"}}
    homes(tmp_path / "c", housing, sure, rows=200).check()


def test_a_risk_and_abstention_are_two_rules(tmp_path: Path) -> None:
    changes: Mapping[str, Any] = {"uncertainty": {"level": 0.9, "abstain": True}, "review": {"risk": 0.1}}
    with pytest.raises(SpecError, match="two rules say"):
        wine(tmp_path, changes).check()


def test_the_confidence_that_a_risk_needs_is_in_the_manifest(tmp_path: Path) -> None:
    """Fitted on the validation rows, which the packaged graph answers; another risk is another release, and
    nothing that was learned is learned again."""
    review: dict[str, Any] = {
        "risk": 0.2,
        "level": 0.9,
        "audit": 0.1,
        "capacity": "20 / day",
        "deadline": "4 h",
    }
    project = wine(tmp_path, {"review": review})
    first = project.run()
    plan = project.release(first.release)[1].review
    assert plan is not None
    assert plan.control is not None
    assert plan.control.threshold is not None
    assert plan.control.rows == plan.control.units == 36
    assert plan.control.wrong is not None
    assert plan.control.wrong <= 0.2
    assert "exact binomial" in plan.control.method
    assert (plan.audit, plan.capacity, plan.period_us, plan.deadline_us) == (
        0.1,
        20,
        86_400_000_000,
        14_400_000_000,
    )
    edit_spec(project, ("risk: 0.2", "risk: 0.01"))
    second = project.run()
    plan = project.release(second.release)[1].review
    assert second.release != first.release
    assert plan is not None
    assert plan.control is not None
    assert plan.control.threshold is None
    assert "needs 288" in plan.control.why_none
    ran = {s.name for s in second.stages if s.status == "ran"}
    assert "learn" not in ran
    assert "package" not in ran


def test_a_condition_is_asked_of_what_a_server_knows(tmp_path: Path) -> None:
    """Over a column that no feature reads, a lookup, and the answer: who is looked at is who meets it."""
    when = "(courier = 'c3' or weather.wind > 14) and confidence < 0.95"
    project = begin(
        tmp_path, ("models: [tree]", f'models: [tree]\nreview: {{when: "{when}", fallback: none}}')
    )
    done = project.run()
    found, manifest = project.release(done.release)
    assert manifest.review is not None
    assert manifest.review.text == when
    assert manifest.review.fallback == "none"
    assert set(manifest.review.reads) == {"courier", "weather.wind", "confidence"}
    answerer = Answerer(project.store, manifest.serving, found.release)
    assert "courier" in answerer.types
    draw = np.random.default_rng(0)
    rows = [
        {
            "at": f"2024-02-{draw.integers(1, 28):02d}T{draw.integers(0, 24):02d}:30:00Z",
            "depot": str(draw.choice(["north", "south"])),
            "courier": f"c{draw.integers(0, 6)}",
            "distance": float(draw.uniform(1, 50)),
        }
        for _ in range(300)
    ]
    feeds, _ = answerer.complete(rows, answerer.encode(rows))
    answers = answerer.decide(feeds, len(rows))
    attention = Attention(manifest.review, found.release, manifest.serving.task, project.store)
    looks = attention.look([str(n) for n in range(300)], answers, ["model"] * 300, feeds)
    wanted = [
        (row["courier"] == "c3" or wind > 14) and max(a["probability"], 1 - a["probability"]) < 0.95
        for row, wind, a in zip(rows, feeds["weather.wind"].tolist(), answers, strict=True)
        if a["prediction"] == (a["probability"] >= 0.5)
    ]
    told = [
        bool(k.why)
        for k, a in zip(looks, answers, strict=True)
        if a["prediction"] == (a["probability"] >= 0.5)
    ]
    assert told == wanted
    assert 10 < sum(told) < 290


def test_rows_of_a_run_are_asked_about(finished: Project) -> None:
    some = finished.review_ask(sample=10)
    assert len(set(some)) == 10
    assert finished.review_ask(sample=10) == some  # the same rows: they are there already
    assert len(finished.review_list()) == 10
    item = finished.reviews().get(some[0])
    assert item is not None
    assert set(item.item.inputs) == {"at", "depot", "distance", "weather.wind"}
    assert item.item.inputs["at"].endswith("+00:00")
    assert item.item.source == f"rows: {finished.show().run}"
    assert (item.item.deadline, item.item.choices) == (0, (False, True))
    assert 0 < item.item.chance < 0.1
    unsure = finished.review_ask(uncertain=5, double=True, deadline="2 days")
    every = finished.review_ask(where="distance > 0")
    kept_items = [i.item for _, i in finished.reviews().items(limit=1000)]
    assert len(kept_items) == len(every)
    sure = {
        i.id: i.answer["probability"] if i.answer["prediction"] else 1 - i.answer["probability"]
        for i in kept_items
    }
    assert max(sure[n] for n in unsure) <= min(s for n, s in sure.items() if n not in unsure)
    assert {i.wanted for i in kept_items if i.id in set(unsure) - set(some)} == {2}
    slice_ = finished.review_ask(where="depot = 'north' and hour(at) >= 20", sample=3)
    for name in slice_:
        kept = finished.reviews().get(name)
        assert kept is not None
        assert kept.item.inputs["depot"] == "north"
    assert set(every) >= {*some, *unsure, *slice_}


def test_the_test_rows_stay_sealed(finished: Project) -> None:
    with pytest.raises(UserError, match="sealed"):
        finished.review_ask(sample=3, part="test")


def test_what_can_not_be_asked(finished: Project) -> None:
    with pytest.raises(UserError, match="which rows"):
        finished.review_ask()
    with pytest.raises(UserError, match="or a sample"):
        finished.review_ask(sample=3, uncertain=3)
    with pytest.raises(UserError, match="no row is asked for"):
        finished.review_ask(sample=0)
    with pytest.raises(UserError, match="no condition"):
        finished.review_ask(where="distance")
    with pytest.raises(UserError, match="distnce"):
        finished.review_ask(where="distnce > 1")
    with pytest.raises(UserError, match="no validation row meets"):
        finished.review_ask(where="distance < 0")
    with pytest.raises(NotFound):
        finished.review_ask("run-99", sample=3)
    assert finished.review_list() == []


def test_a_regression_is_not_asked_for_its_least_certain(tmp_path: Path, housing: Path) -> None:
    project = homes(tmp_path, housing, {"models": ["linear"]}, rows=300)
    project.run()
    with pytest.raises(UserError, match="how sure it is"):
        project.review_ask(uncertain=3)
    name = project.review_ask(sample=2)[0]
    assert project.review_decide(name, 123_000)["decision"] == 123_000.0


def test_decisions_are_written_out(finished: Project, tmp_path: Path) -> None:
    names = finished.review_ask(sample=3)
    finished.review_decide(names[0], True, by="ann", comment="seen")
    finished.review_decide(names[1], "false", by="bob")
    source = f"rows: {finished.show().run}"
    assert finished.review_export(tmp_path / "x.jsonl") == 2
    assert finished.review_export(tmp_path / "x.csv", source="traffic") == 0
    assert finished.review_export(tmp_path / "x.csv", source=source) == 2
    import polars as pl

    table = pl.read_csv(tmp_path / "x.csv")
    assert table["label"].to_list() == [True, False]
    assert table["weight"][0] > 10
    assert "input_weather.wind" in table.columns
    with pytest.raises(UserError, match=r"neither \.csv nor \.jsonl"):
        finished.review_export(tmp_path / "x.txt")
    told = finished.review_status(source=source)
    assert (told["open"], told["decided"]) == (1, 2)
    events = list(finished.store.read(kinds=["review.settled"]))
    assert [e.payload["decided"] for e in events] == [2]
    assert finished.reviews().items(state=State.OPEN)[0][1].item.id == names[2]


def test_who_is_erased_is_forgotten_by_reviewers_too(finished: Project) -> None:
    names = finished.review_ask(where="depot = 'north'", sample=3)
    others = finished.review_ask(where="depot = 'south'", sample=2)
    finished.review_decide(names[0], True)
    finished.log_erase("north", column="depot")
    assert {i["id"] for i in finished.review_list()} == set(others)
