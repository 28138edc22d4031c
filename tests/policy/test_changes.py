"""What counts as a change, how it is named, and what an arm is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS
from headrace.metrics.record import Predictions
from headrace.policy.ablation import effect, left_over
from headrace.policy.changes import System, Table, arm, changes, counted, name_of

TABLE = Table(1000, "a", ("x", "y"))


@pytest.mark.parametrize(
    ("new", "old", "name"),
    [
        ({"features": {"a": "x"}}, None, "first run"),
        ({"features": {"a": "x"}}, {"features": {"a": "x"}}, "no change"),
        ({"features": {"a": "x", "b": "y"}}, {"features": {"a": "x"}}, "features: +b"),
        ({"features": {"a": "y"}}, {"features": {"a": "x", "b": "y"}}, "features: ~a -b"),
        ({"models": ["tree"]}, {"models": ["tree", "linear"]}, "model: -linear"),
        ({"models": ["tree"]}, {}, "model: +models"),
        (
            {"models": [{"use": "tree", "params": {"depth": 2}}]},
            {"models": [{"use": "tree"}]},
            "model: ~tree",
        ),
        (
            {"seed": 2, "split": {"by": "time"}},
            {"split": {"by": "random"}},
            "data: split.by random → time; tuning: seed = 2",
        ),
        ({"project": "b"}, {"project": "a"}, "frame: project a → b"),
        ({"tune": {"trials": 9}, "cv": {"folds": 3}}, {"cv": {"folds": 5}}, "tuning: +tune cv.folds 5 → 3"),
        ({"models": ["a", "b"]}, {"models": ["b", "a"]}, "model: ~models (order)"),
        ({"calibrate": "sigmoid"}, {}, "model: calibrate = sigmoid"),
        (
            {"data": {"tables": {"w": {"ttl": "4 h"}}, "pii": {"email": "drop"}}},
            {"data": {"tables": {"w": {"ttl": "3 h"}}}},
            "data: tables.w.ttl 3 h → 4 h +pii",
        ),
        ({"data": {"expect": ["x > 0"]}}, {"data": {}}, "frame: data = …"),
        ({"problem": {"ship_at": 0.4}}, {"problem": {"ship_at": 0.3}}, "frame: problem.ship_at 0.3 → 0.4"),
        ({"serve": {"p50": "5 ms"}}, {"serve": {"p50": "9 ms"}}, "frame: serve.p50 9 ms → 5 ms"),
        (
            {"serve": {"p50": "5 ms", "rules": {"before": [{"name": "far", "when": "x > 2"}]}}},
            {"serve": {"p50": "5 ms", "rules": {"before": [{"name": "far", "when": "x > 1"}]}}},
            "rules: rules.before ~far",
        ),
        ({"review": {"risk": 0.1}}, {"review": {"risk": 0.2}}, "rules: review.risk 0.2 → 0.1"),
        ({"serve": {"queue": 5, "inputs": {"range": "reject"}}}, {}, "rules: +serve; frame: +serve"),
    ],
)
def test_a_run_is_named_by_what_changed(new: dict[str, Any], old: dict[str, Any] | None, name: str) -> None:
    named = name_of(System(new), System(old) if old is not None else None)
    assert named == name.replace("data = …", "+data")


def test_what_rules_change_counts_and_what_targets_change_does_not() -> None:
    old = System({"serve": {"p50": "5 ms", "inputs": {"range": "flag"}}})
    new = System({"serve": {"p50": "9 ms", "inputs": {"range": "reject"}}})
    assert [c.component for c in counted(changes(new, old))] == ["rules"]
    targets = System({"serve": {"p50": "9 ms", "inputs": {"range": "flag"}}})
    assert targets.digest() == old.digest() != new.digest()


def test_an_arm_of_rules_takes_them_alone() -> None:
    old = {"models": ["a"], "serve": {"p50": "5 ms", "rules": {"after": [1]}}}
    new = {"models": ["b"], "serve": {"p50": "9 ms", "inputs": {"range": "reject"}}, "review": {"risk": 0.1}}
    assert arm(old, new, "rules") == {"models": ["a"], "serve": new["serve"], "review": {"risk": 0.1}}
    assert arm(old, new, "model") == {"models": ["b"], "serve": {"p50": "9 ms", "rules": {"after": [1]}}}
    assert arm({"models": ["a"]}, {"models": ["b"]}, "model") == {"models": ["b"]}


def test_many_changes_are_cut_short() -> None:
    new = System({"features": {f"f{i}": "x" for i in range(9)}})
    assert name_of(new, System({"features": {}})) == "features: +f0 +f1 +f2 +f3 +f4 +f5 (+3 more)"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (Table(2204, "b", ("x", "y")), "data: t +1,204 rows"),
        (Table(900, "b", ("x",)), "data: -t.y t -100 rows"),
        (Table(1000, "b", ("x", "y", "z")), "data: +t.z"),
        (Table(1000, "b", ("x", "y")), "data: ~t (still 1,000 rows)"),
        (Table(1000, "a", ("x", "y")), "no change"),
    ],
)
def test_data_change_though_the_spec_does_not(table: Table, said: str) -> None:
    assert name_of(System({}, {"t": table}), System({}, {"t": TABLE})) == said


def test_what_was_not_recorded_is_no_change() -> None:
    assert name_of(System({}, None), System({}, {"t": TABLE})) == "no change"
    assert name_of(System({}, code={"a.py": "1"}), System({}, code=None)) == "no change"
    assert name_of(System({}, modules={"headrace.x": "1"}), System({}, modules=None)) == "no change"


def test_code_is_the_users_and_headraces() -> None:
    old = System(
        {}, code={"a.py": "1", "b.py": "1"}, modules={"headrace.x": "1"}, version="1", commit="c" * 9
    )
    moved = System(
        {}, code={"a.py": "2", "c.py": "1"}, modules={"headrace.x": "1"}, version="1", commit="d" * 9
    )
    assert name_of(moved, old) == "code: +c.py -b.py ~a.py (commit ccccccc → ddddddd)"
    committed = System({}, code=old.code, modules=old.modules, version="1", commit="e" * 9)
    assert name_of(committed, old) == "no change", "a commit that touches none of the code is none"
    other = System({}, code=old.code, modules={"headrace.x": "2", "headrace.knn": "1"}, version="1")
    assert name_of(other, old) == "code: ~headrace (1 of its own files)"
    upgraded = System({}, code=old.code, modules={"headrace.x": "2"}, version="2")
    assert name_of(upgraded, old) == "code: headrace 1 → 2"
    wider = System({}, code=old.code, modules={"headrace.x": "1", "headrace.knn": "1"}, version="1")
    assert name_of(wider, old) == "no change", "the spec's choice of another candidate is no change of code"


def test_a_given_model_is_a_change_of_the_model() -> None:
    assert name_of(System({}, given=("mine", "d1")), System({})) == "model: mine, given by a script"
    assert name_of(System({}), System({}, given=("mine", "d1"))) == "model: -mine, given by a script"


def test_the_frame_is_shown_and_not_counted() -> None:
    new = {
        "problem": {"ship_at": 0.2},
        "evaluate": {"floor": ">= 0.1"},
        "seed": 1,
        "context": {"team": "two"},
    }
    found = changes(System(new), System({"problem": {"ship_at": 0.3}}))
    assert [c.component for c in found] == ["tuning", "frame"]
    assert [c.component for c in counted(found)] == ["tuning"]


def test_systems_are_named_by_what_counts() -> None:
    base = System({"features": {"a": "x"}, "problem": {"metric": "f1"}}, {"t": TABLE}, {}, {})
    reframed = System(
        {"features": {"a": "x"}, "problem": {"metric": "mcc"}}, {"t": TABLE}, {}, {}, commit="c"
    )
    assert base.digest() == reframed.digest()
    for other in (
        System({"features": {"a": "y"}}, {"t": TABLE}, {}, {}),
        System({"features": {"a": "x"}}, {"t": Table(1, "b", ())}, {}, {}),
        System({"features": {"a": "x"}}, {"t": TABLE}, {"a.py": "1"}, {}),
        System({"features": {"a": "x"}}, {"t": TABLE}, {}, {}, given=("m", "d")),
    ):
        assert other.digest() != base.digest()


def test_an_arm_is_the_old_system_with_one_new_component_in_the_new_frame() -> None:
    old = {"features": {"a": "x"}, "models": ["tree"], "split": {"by": "time"}, "problem": {"ship_at": 1}}
    new = {
        "features": {"a": "y"},
        "tune": {"trials": 2},
        "split": {"by": "random"},
        "problem": {"ship_at": 2},
    }
    assert arm(old, new, "features") == {
        "features": {"a": "y"},
        "models": ["tree"],
        "split": {"by": "time"},
        "problem": {"ship_at": 2},
    }
    assert "models" not in arm(old, new, "model"), "the new system has the default"
    assert arm(old, new, "code") == {**old, "problem": {"ship_at": 2}}
    assert arm(old, new, "tuning")["tune"] == {"trials": 2}


def _predictions(noise: float, seed: int, rows: int = 400) -> tuple[Predictions, Predictions]:
    rng = np.random.default_rng(seed)
    y, units = rng.normal(size=rows), np.arange(rows) // 8
    return tuple(
        Predictions(Task(Kind.REGRESSION), y, y + rng.normal(0, s, rows), units) for s in (noise, 1.0)
    )


def test_effects_and_what_is_left_over_add_up() -> None:
    mae = METRICS["mae"]
    ours, theirs = _predictions(0.5, 1)
    arm_of, _ = _predictions(0.8, 2)
    arm_of = Predictions(ours.task, ours.y, arm_of.score - arm_of.y + ours.y, ours.units)
    total = effect("total", "", "r", mae, ours, theirs, seed=0)
    alone = effect("model", "", "r", mae, arm_of, theirs, seed=0)
    rest = left_over(mae, [(1.0, ours), (-1.0, theirs), (-1.0, arm_of), (1.0, theirs)], seed=0)
    assert total.effect == pytest.approx(alone.effect + rest.effect)
    assert (total.says, alone.says) == ("better", "better")
    nothing = left_over(mae, [(1.0, ours), (-1.0, ours)], seed=0)
    assert (nothing.effect, nothing.interval) == (0.0, (0.0, 0.0))


def test_the_interval_of_what_is_left_over_covers_zero_where_nothing_interacts() -> None:
    """Two changes whose errors are drawn apart: the difference of differences is zero in truth."""
    mae, missed = METRICS["mae"], 0
    for seed in range(200):
        rng = np.random.default_rng([5, seed])
        y, units = rng.normal(size=300), np.arange(300) // 10
        day = rng.normal(0, 1, 30)[units]
        four = [
            Predictions(Task(Kind.REGRESSION), y, y + rng.normal(0, 1, 300) * np.exp(0.3 * day), units)
            for _ in "abcd"
        ]
        found = left_over(mae, list(zip((1.0, -1.0, -1.0, 1.0), four, strict=True)), seed=seed)
        assert found.interval is not None
        missed += not found.interval[0] <= 0 <= found.interval[1]
    assert missed / 200 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
    assert missed, "an interval that never misses is too wide"


def test_too_few_units_say_so() -> None:
    ours, theirs = _predictions(0.5, 1, rows=24)
    found = left_over(METRICS["mae"], [(1.0, ours), (-1.0, theirs)], seed=0)
    assert (found.interval, found.says) == (None, "not told apart")
    assert "3 independent units" in found.why_none
