"""Whether a person is to look: by confidence, by a condition, by chance, and by what the reviewers manage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.core.review import AUDIT, Period, Reviewed, ReviewPlan, RiskControl, State
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import Kind, Task
from headrace.expr import parse
from headrace.expr.to_onnx import compile_exprs
from headrace.policy.review_found import overturned
from headrace.serve.attention import FAILED, OVER, Attention, Look, Outcome
from headrace.stores import EmbeddedStore
from headrace.stores.reviews import SqliteReviews

BINARY = Task(Kind.BINARY, (False, True))
THREE = Task(Kind.MULTICLASS, ("a", "b", "c"))
VALUES = Task(Kind.REGRESSION)
DAY = 86_400_000_000
NOW = 1_800_000_000_000_000 - 1_800_000_000_000_000 % DAY


class Time:
    """A clock for both: microseconds since 1970, and seconds that went by."""

    def __init__(self) -> None:
        self.micros = NOW

    def now(self) -> int:
        return self.micros

    def elapsed(self) -> float:
        return self.micros / 1e6


def held(threshold: float | None) -> RiskControl:
    return RiskControl(0.1, 0.95, "by hand", threshold, 100, 100, 0.5, 0.05)


def attention(
    folder: Path, plan: ReviewPlan, task: Task = BINARY, time: Time | None = None, **more: Any
) -> Attention:
    time = time or Time()
    return Attention(plan, "r1", task, EmbeddedStore(folder), now=time.now, elapsed=time.elapsed, **more)


def binary(*ps: float) -> list[dict[str, Any]]:
    return [{"prediction": p >= 0.5, "probability": p} for p in ps]


def whys(
    found: Attention, answers: Sequence[Mapping[str, Any]], by: Sequence[str] | None = None, **feeds: Any
) -> list[str]:
    names = [f"p{n}" for n in range(len(answers))]
    return [k.why for k in found.look(names, answers, by or ["model"] * len(answers), feeds)]


def test_answers_that_are_not_sure_enough_are_looked_at(tmp_path: Path) -> None:
    found = attention(tmp_path, ReviewPlan("risk 0.1", control=held(0.8)))
    assert whys(found, binary(0.9, 0.6, 0.3, 0.2, 0.1)) == [
        "",
        "confidence 0.6 < 0.8",
        "confidence 0.7 < 0.8",
        "",
        "",
    ]


def test_of_three_classes_the_predicted_one_counts(tmp_path: Path) -> None:
    found = attention(tmp_path, ReviewPlan("risk 0.1", control=held(0.8)), THREE)
    answers = [
        {"prediction": "b", "probability": {"a": 0.1, "b": 0.85, "c": 0.05}},
        {"prediction": "a", "probability": {"a": 0.5, "b": 0.3, "c": 0.2}},
        {"prediction": None, "probability": {"a": 0.9, "b": 0.1, "c": 0.0}},  # the release abstained
    ]
    assert [bool(w) for w in whys(found, answers)] == [False, True, True]


def test_where_nothing_is_sure_enough_people_look_at_everything(tmp_path: Path) -> None:
    found = attention(tmp_path, ReviewPlan("risk 0.1", control=held(None)))
    assert whys(found, binary(1.0)) == ["no confidence was shown to be enough"]


def test_a_risk_is_the_models_not_a_rules(tmp_path: Path) -> None:
    """A rule's answer is nobody's guess; one without an answer asks for a person; a fallback is no model."""
    found = attention(tmp_path, ReviewPlan("risk 0.1", control=held(0.8)))
    answers = [{"prediction": True}, {"prediction": None}, {"prediction": True}]
    told = whys(found, answers, ["rule: known", "rule: odd", "fallback: value (timeout)"])
    assert told == ["", "rule: odd: somebody has to look", "fallback: value (timeout)"]


def planned(folder: Path, when: str, types: Mapping[str, Type], **more: Any) -> ReviewPlan:
    expr = parse(when, types)
    graph = EmbeddedStore(folder).put(compile_exprs({"when": expr})).digest
    return ReviewPlan(when, graph=graph, reads=expr.columns, **more)


def test_a_condition_over_columns_and_answers(tmp_path: Path) -> None:
    types = {"amount": Type.NUMBER, "land": Type.TEXT, "prediction": Type.BOOL, "confidence": Type.NUMBER}
    plan = planned(tmp_path, "(amount > 100 and confidence < 0.9) or (land = 'NL' and prediction)", types)
    found = attention(tmp_path, plan)
    land = np.array(["DE", "DE", "NL", "NL", NULL_TEXT], object)
    amount = np.array([200.0, 50.0, 1.0, 1.0, math.nan])
    told = whys(found, binary(0.8, 0.8, 0.99, 0.01, 0.6), amount=amount, land=land)
    assert [bool(w) for w in told] == [True, False, True, False, False]
    assert told[0] == plan.text
    # what the model did not answer is not asked the condition
    by = ["model", "fallback: value", "model", "model", "model"]
    told = whys(found, binary(0.8, 0.8, 0.99, 0.01, 0.6), by, amount=amount + 200, land=land)
    assert [bool(w) for w in told] == [True, False, True, False, False]


def test_a_condition_over_classes_sets_and_intervals(tmp_path: Path) -> None:
    types = {"prediction": Type.TEXT, "probability": Type.NUMBER, "set_size": Type.NUMBER}
    found = attention(
        tmp_path, planned(tmp_path, "set_size > 1 or (prediction = 'c' and probability < 0.6)", types), THREE
    )
    answers = [
        {"prediction": "a", "probability": {"a": 0.5, "b": 0.3, "c": 0.2}, "set": ["a", "b"]},
        {"prediction": "a", "probability": {"a": 0.5, "b": 0.3, "c": 0.2}, "set": ["a"]},
        {"prediction": "c", "probability": {"a": 0.1, "b": 0.4, "c": 0.5}, "set": ["c"]},
    ]
    assert [bool(w) for w in whys(found, answers)] == [True, False, True]
    types = {"prediction": Type.NUMBER, "lower": Type.NUMBER, "upper": Type.NUMBER}
    found = attention(tmp_path, planned(tmp_path, "upper - lower > 10 or prediction < 0", types), VALUES)
    values = [
        {"prediction": 5.0, "lower": 0.0, "upper": 20.0},
        {"prediction": -5.0, "lower": -6.0, "upper": -4.0},
        {"prediction": 5.0, "lower": 4.0, "upper": 6.0},
        {"prediction": 5.0, "lower": None, "upper": None},  # unbounded: null, and no condition holds for null
    ]
    assert [bool(w) for w in whys(found, values)] == [True, True, False, False]


def test_chance_picks_among_the_others_as_often_as_stated(tmp_path: Path) -> None:
    found = attention(tmp_path, ReviewPlan("risk", control=held(0.8), audit=0.1))
    answers = binary(*[0.9, 0.6] * 5000)
    looks = found.look([f"p{n}" for n in range(10_000)], answers, ["model"] * 10_000)
    sure, unsure = looks[::2], looks[1::2]
    assert {k.chance for k in unsure} == {1.0}
    assert not any(k.why == AUDIT for k in unsure)
    drawn = [k for k in sure if k.why]
    assert {(k.why, k.chance) for k in drawn} == {(AUDIT, 0.1)}
    assert abs(len(drawn) - 500) < 4 * math.sqrt(450)


def test_an_item_says_what_was_asked(tmp_path: Path) -> None:
    plan = ReviewPlan("risk", control=held(0.8), deadline_us=3_600_000_000, fallback="none", double=0.5)
    found = attention(tmp_path, plan, THREE)
    answer = {"prediction": "a", "probability": {"a": 0.5, "b": 0.3, "c": 0.2}}
    made = [found.item(f"p{n}", {"x": 1.5}, answer, Look("why", 0.25)) for n in range(2000)]
    first = made[0]
    assert (first.release, first.why, first.chance, first.stands) == ("r1", "why", 0.25, "none")
    assert (first.asked, first.deadline) == (NOW, NOW + 3_600_000_000)
    assert (first.inputs, first.answer, first.choices) == ({"x": 1.5}, answer, ("a", "b", "c"))
    assert abs(sum(i.wanted == 2 for i in made) - 1000) < 4 * math.sqrt(500)
    assert attention(tmp_path, plan).item("p", {}, {}, Look("w")).choices == (False, True)


@pytest.mark.parametrize(
    ("look", "why_not", "model", "none"),
    [
        (Look("unsure"), "", Outcome(True), Outcome(True, withheld=True)),
        (Look("unsure"), OVER, Outcome(False, OVER), Outcome(False, OVER, True)),
        (Look("unsure"), FAILED, Outcome(False, FAILED), Outcome(False, FAILED, True)),
        (Look(over=True), "", Outcome(False, OVER), Outcome(False, OVER, True)),
        (Look(AUDIT, 0.1), "", Outcome(True), Outcome(True)),
        (Look(AUDIT, 0.1), OVER, Outcome(False), Outcome(False)),
        (Look(AUDIT, 0.1, over=True), "", Outcome(True, OVER), Outcome(True, OVER, True)),
        (Look(), "", Outcome(), Outcome()),
    ],
)
def test_what_a_caller_is_told(
    tmp_path: Path, look: Look, why_not: str, model: Outcome, none: Outcome
) -> None:
    plan = ReviewPlan("risk", control=held(0.8), audit=0.1)
    assert attention(tmp_path, plan).outcome(look, why_not) == model
    assert attention(tmp_path, replace(plan, fallback="none")).outcome(look, why_not) == none


def test_without_a_capacity_nothing_is_held_back(tmp_path: Path) -> None:
    found = attention(tmp_path, ReviewPlan("risk", control=held(0.8), audit=0.1))
    queue = SqliteReviews(tmp_path / "reviews.db")
    found.tick(queue)
    assert all(whys(found, binary(*[0.6] * 500)))
    assert not (tmp_path / "reviews.db").exists()


def test_a_day_of_three_processes_fits_what_reviewers_manage(tmp_path: Path) -> None:
    """Traffic that rises and falls, 2,600 candidates and room for 300: never more, nearly all of it used, at
    every hour, on the least sure; and the random share goes on."""
    time, queue = Time(), SqliteReviews(tmp_path / "reviews.db")
    plan = ReviewPlan("risk", control=held(0.8), audit=0.01, capacity=300, deadline_us=2 * DAY)
    desks = [attention(tmp_path, plan, time=time, holder=f"worker {n}") for n in range(3)]
    rng = np.random.default_rng(0)
    hours: list[int] = []
    candidates: list[float] = []
    number = 0
    for step in range(24 * 6):  # of ten minutes each
        busy = 20 * (1 + 0.8 * math.sin(2 * math.pi * step / 144))
        for desk in desks:
            sure = 0.5 + 0.5 * rng.random(rng.poisson(busy)) ** 0.7
            names = [f"p{number + n}" for n in range(len(sure))]
            number += len(names)
            answers = binary(*sure.tolist())
            looks = desk.look(names, answers, ["model"] * len(names))
            candidates += [s for s in sure.tolist() if s < 0.8]
            items = [desk.item(n, {}, a, k) for n, a, k in zip(names, answers, looks, strict=True) if k.why]
            refused = queue.put(items, period=desk.period())
            hours += [step // 6] * (len(items) - len(refused))
            if refused:
                desk.full()
        time.micros += 600_000_000
        for desk in desks:
            desk.tick(queue)
    kept = [i.item for _, i in queue.items(limit=1000)]
    assert 270 <= len(kept) <= 300
    assert len(candidates) > 2000
    asked = [i.answer["probability"] for i in kept if i.why != AUDIT]
    assert np.mean(asked) < np.quantile(candidates, 0.2)
    assert sum(i.why == AUDIT for i in kept) > 20
    assert {i.chance for i in kept if i.why != AUDIT} == {1.0}
    assert all(hours.count(h) >= 2 for h in range(1, 23))
    told = queue.load(Period(NOW, NOW + DAY, 300), now=time.micros)
    assert told.sent == len(kept)
    assert told.sent + told.refused >= 0.95 * len(candidates)


def test_values_are_thinned_by_chance_and_say_so(tmp_path: Path) -> None:
    """A regression is as sure of one row as of the next: who is asked is drawn, and labels weigh more."""
    time, queue = Time(), SqliteReviews(tmp_path / "reviews.db")
    plan = planned(tmp_path, "prediction > 0", {"prediction": Type.NUMBER}, capacity=100, deadline_us=2 * DAY)
    found = attention(tmp_path, plan, VALUES, time)
    weights = 0.0
    for step in range(144):
        answers = [{"prediction": 1.0}] * 20
        names = [f"p{step}-{n}" for n in range(20)]
        looks = found.look(names, answers, ["model"] * 20, {})
        items = [found.item(n, {}, a, k) for n, a, k in zip(names, answers, looks, strict=True) if k.why]
        queue.put(items, period=found.period())
        weights += sum(1 / i.chance for i in items)
        time.micros += 600_000_000
        found.tick(queue)
    kept = [i.item for _, i in queue.items(limit=1000)]
    assert 85 <= len(kept) <= 100
    assert len({i.chance for i in kept}) > 10
    # each step's weights add up to its rows, on average
    assert abs(weights - 2880) < 900


@pytest.mark.parametrize(("kind", "capacity", "audit"), [
    (Kind.REGRESSION, 30_000_000, 0.2),
    (Kind.REGRESSION, 15_000_000, 0.1),
    (Kind.BINARY, 25_000_000, 0.2),
])  # fmt: skip
def test_weights_add_up_to_the_rows_where_candidates_are_thinned(
    tmp_path: Path, kind: Kind, capacity: int, audit: float
) -> None:
    """A candidate is drawn as such, and once more for the audit where it loses: its label weighs one over the
    chance of either. How often the machine alone is wrong is told by the audit's own chance."""
    time, queue, rows = Time(), SqliteReviews(tmp_path / "reviews.db"), 40_000
    if kind is Kind.REGRESSION:
        types = {"prediction": Type.NUMBER}
        plan, task = planned(tmp_path, "prediction > 0", types, capacity=capacity, audit=audit), VALUES
        two = [{"prediction": 1.0}, {"prediction": -1.0}]
    else:  # a stump: all candidates are equally sure
        plan, task = ReviewPlan("risk", control=held(0.8), capacity=capacity, audit=audit), BINARY
        two = binary(0.6, 0.9)
    found = attention(tmp_path, plan, task, time)
    found.look([f"w{n}" for n in range(1000)], two * 500, ["model"] * 1000, {})
    time.micros += 1_000_000
    found.tick(queue)  # 43 million candidates are expected until midnight
    names = [f"p{n}" for n in range(rows)]
    looks = found.look(names, two * (rows // 2), ["model"] * rows, {})
    candidates, others = looks[::2], looks[1::2]
    assert {k.chance for k in others if k.why} == {audit}
    (thinned,) = {k.drawn for k in candidates if k.why not in ("", AUDIT)}
    assert thinned is not None and 0.1 < thinned < 0.7
    for some in (candidates, others):
        chance = next(k.chance for k in some if k.why)
        off = math.sqrt(len(some) * (1 - chance) / chance)  # of the sum of weights, one standard deviation
        assert abs(sum(1 / k.chance for k in some if k.why) - len(some)) < 4 * off
    # people overturn every candidate, and nothing else
    items = [found.item(name, {}, {"prediction": 1.0}, look) for name, look in zip(names, looks, strict=True)]
    made = [
        Reviewed(item, State.DECIDED, 0.0 if n % 2 == 0 else 1.0)
        for n, item in enumerate(items)
        if looks[n].why
    ]
    alone = sum(k.why in ("", AUDIT) for k in candidates)
    told = overturned(made, by_chance=True)
    assert told.share is not None
    assert abs(told.share - alone / (alone + len(others))) < 4 * 0.5 / math.sqrt(told.settled)


def test_the_next_day_begins_anew(tmp_path: Path) -> None:
    time, queue = Time(), SqliteReviews(tmp_path / "reviews.db")
    plan = ReviewPlan("risk", control=held(0.8), capacity=5, deadline_us=3_600_000_000)
    found = attention(tmp_path, plan, time=time)

    def send(count: int) -> int:
        answers = binary(*[0.6] * count)
        names = [f"p{time.micros}-{n}" for n in range(count)]
        looks = found.look(names, answers, ["model"] * count)
        items = [found.item(n, {}, a, k) for n, a, k in zip(names, answers, looks, strict=True) if k.why]
        return len(items) - len(queue.put(items, period=found.period()))

    assert send(9) == 5
    found.full()
    assert send(9) == 0
    time.micros = NOW + DAY
    found.tick(queue)
    assert 1 <= send(40) <= 5  # what was not decided in an hour has expired, and waits no more
    assert queue.counts(now=time.micros).expired == 5
    queue.expire(now=time.micros)
    assert len(queue.items(state=State.EXPIRED)) == 5
