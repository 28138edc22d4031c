"""Goals and limits as text: what is read, and what is refused with a word on how to mend it."""

from __future__ import annotations

import pytest

from headrace.core.errors import UserError
from headrace.core.goal import Constraint, Goal, Limit, parse_goal, parse_limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (">= 0.95", Limit(">=", 0.95)),
        ("<=10%", Limit("<=", 0.1)),
        ("> -3e2", Limit(">", -300.0)),
        ("<= 0.8 * today", Limit("<=", 0.8, relative=True)),
        ("<= 80% * today", Limit("<=", 0.8, relative=True)),
        (">= today * 1.1", Limit(">=", 1.1, relative=True)),
        ("> Today", Limit(">", 1.0, relative=True)),
    ],
)
def test_limits_that_are_read(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit
    assert parse_limit(str(limit)) == limit, "what is shown can be written"


@pytest.mark.parametrize(
    "text", ["", "0.9", ">= ", ">= x", ">= 0.8 today", "=> 1", ">= yesterday", ">= 0.8 *"]
)
def test_limits_that_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no rule") as error:
        parse_limit(text)
    assert "0.8 * today" in error.value.problems[0].fix


@pytest.mark.parametrize("text", ["<= 0 * today", ">= -1 * today"])
def test_a_factor_is_above_zero(text: str) -> None:
    with pytest.raises(UserError, match="times today"):
        parse_limit(text)


def test_a_goal_with_two_constraints() -> None:
    goal = parse_goal("Maximize precision SUBJECT TO recall >= 90% and fpr <= 0.8 * today")
    recall, fpr = Constraint("recall", Limit(">=", 0.9)), Constraint("fpr", Limit("<=", 0.8, relative=True))
    assert goal == Goal(True, "precision", (recall, fpr))
    assert str(goal) == "maximise precision subject to recall >= 0.9 and fpr <= 0.8 * today"
    assert parse_goal(str(goal)) == goal
    assert parse_goal("maximise value") == Goal(True, "value")


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("recall >= 0.95", "is no goal", "begin with 'maximise' or 'minimise'"),
        ("improve fpr subject to recall >= 0.9", "is no goal", "begin with"),
        ("minimise", "is no goal", "begin with"),
        ("minimise fpr recall >= 0.9", "is no goal", "begin with"),
        ("minimise fpr subject to", "a constraint is missing", "a metric, a comparison and a bound"),
        ("minimise fpr subject to recall", "'recall' is no constraint", "a metric, a comparison"),
        ("minimise fpr subject to recall >= 0.9 and", "a constraint is missing", "a metric, a comparison"),
        ("minimise fpr subject to recall >= high", "'>= high' is no rule", "'>= 0.95'"),
        ("minimise fpr subject to recall >= 0.9, recall >= 0.8", "'recall' is constrained twice", "tighter"),
    ],
)
def test_goals_that_are_refused(text: str, what: str, fix: str) -> None:
    with pytest.raises(UserError) as error:
        parse_goal(text)
    assert what in error.value.problems[0].what
    assert fix in error.value.problems[0].fix


def test_every_mistake_of_a_goal_is_told() -> None:
    with pytest.raises(UserError) as error:
        parse_goal("minimise fpr subject to recall and precision >= x")
    assert [p.what for p in error.value.problems] == ["'recall' is no constraint", "'>= x' is no rule"]
