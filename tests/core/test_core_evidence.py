"""`judge`, the only place where a measurement meets a bound."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import UserError
from headrace.core.evidence import Evidence, Interval, Outcome, Rule, Verdict, Waiver, judge, parse_rule


def measured(
    value: float | None, low: float | None = None, high: float | None = None, n: int = 100
) -> Evidence:
    interval = Interval(low, high) if low is not None and high is not None else None
    return Evidence("gate", value, n=n, interval=interval)


@pytest.mark.parametrize(
    ("rule", "value", "outcome", "reason"),
    [
        (Rule(">=", 0.3), 0.3, Outcome.PASS, "0.3 >= 0.3"),
        (Rule(">=", 0.3), 0.29, Outcome.FAIL, "0.29 is not >= 0.3"),
        (Rule("<=", 0.3), 0.3, Outcome.PASS, "0.3 <= 0.3"),
        (Rule("<=", 0.3), 0.31, Outcome.FAIL, "0.31 is not <= 0.3"),
        (Rule(">", 0.0), 0.0, Outcome.FAIL, "0 is not > 0"),
        (Rule(">", 0.0), 1e-9, Outcome.PASS, "1e-09 > 0"),
        (Rule("<", 5.0), 5.0, Outcome.FAIL, "5 is not < 5"),
        (Rule("==", 0.0), 0.0, Outcome.PASS, "0 == 0"),
        (Rule("==", 0.0), 1.0, Outcome.FAIL, "1 is not == 0"),
        (Rule("<=", 1.0), math.inf, Outcome.FAIL, "inf is not <= 1"),
    ],
)
def test_a_value_against_a_bound(rule: Rule, value: float, outcome: Outcome, reason: str) -> None:
    assert judge(measured(value), rule) == (outcome, reason)


@pytest.mark.parametrize(
    ("rule", "low", "high", "outcome"),
    [
        (Rule(">=", 0.3, safe_end=True), 0.31, 0.9, Outcome.PASS),
        (Rule(">=", 0.3, safe_end=True), 0.29, 0.9, Outcome.FAIL),
        (Rule(">", 0.3, safe_end=True), 0.3, 0.9, Outcome.FAIL),
        (Rule("<=", 0.3, safe_end=True), 0.0, 0.3, Outcome.PASS),
        (Rule("<=", 0.3, safe_end=True), 0.0, 0.31, Outcome.FAIL),
        (Rule("<", 0.3, safe_end=True), 0.0, 0.3, Outcome.FAIL),
    ],
)
def test_the_safe_end_is_the_unfavourable_one(rule: Rule, low: float, high: float, outcome: Outcome) -> None:
    assert judge(measured((low + high) / 2, low, high), rule)[0] is outcome


def test_the_point_does_not_matter_at_the_safe_end() -> None:
    rule = Rule(">=", 0.5, safe_end=True)
    assert judge(measured(0.9, 0.4, 0.99), rule) == (Outcome.FAIL, "0.4 is not >= 0.5")


@pytest.mark.parametrize(
    ("evidence", "rule", "reason"),
    [
        (measured(None), Rule(">=", 0.0), "nothing was measured"),
        (measured(math.nan), Rule(">=", 0.0), "nothing was measured"),
        (Evidence("g", None, why_none="labels are late"), Rule(">=", 0.0), "labels are late"),
        (measured(1.0, n=9), Rule(">=", 0.0, min_n=10), "9 units measured, 10 needed"),
        (measured(1.0), Rule(">=", 0.0, safe_end=True), "no interval could be computed"),
        (
            Evidence("g", 1.0, n=5, why_none="one block only"),
            Rule(">=", 0.0, safe_end=True),
            "one block only",
        ),
        (measured(1.0, math.nan, 2.0), Rule(">=", 0.0, safe_end=True), "the interval has no safe end"),
        (measured(1.0, 0.0, math.nan), Rule("<=", 2.0, safe_end=True), "the interval has no safe end"),
    ],
)
def test_what_is_unknown(evidence: Evidence, rule: Rule, reason: str) -> None:
    assert judge(evidence, rule) == (Outcome.UNKNOWN, reason)


def test_what_does_not_apply_says_why() -> None:
    evidence = Evidence("g", None, applies=False, why_none="no champion yet")
    assert judge(evidence, Rule(">", 0.0)) == (Outcome.NOT_APPLICABLE, "no champion yet")
    assert judge(Evidence("g", 1.0, applies=False), Rule(">", 0.0))[1] == "does not apply here"


@given(
    value=st.none() | st.floats(),
    low=st.floats(),
    high=st.floats(),
    n=st.integers(0, 50),
    op=st.sampled_from([">=", "<=", ">", "<", "=="]),
    bound=st.floats(allow_nan=False),
    safe_end=st.booleans(),
)
def test_nothing_passes_that_does_not_hold(
    value: float | None, low: float, high: float, n: int, op: str, bound: float, safe_end: bool
) -> None:
    outcome, reason = judge(measured(value, low, high, n), Rule(op, bound, safe_end, min_n=10))
    assert reason
    if outcome is Outcome.PASS:
        assert value is not None
        assert n >= 10
        compared = value if not safe_end else low if op in (">=", ">") else high
        assert not math.isnan(compared)
        holds = {
            ">=": compared >= bound,
            "<=": compared <= bound,
            ">": compared > bound,
            "<": compared < bound,
        }
        assert holds.get(op, compared == bound)


@pytest.mark.parametrize(
    ("outcome", "waived", "allows"),
    [
        (Outcome.PASS, False, True),
        (Outcome.NOT_APPLICABLE, False, True),
        (Outcome.FAIL, False, False),
        (Outcome.UNKNOWN, False, False),
        (Outcome.FAIL, True, True),
        (Outcome.UNKNOWN, True, True),
    ],
)
def test_what_a_verdict_allows(outcome: Outcome, waived: bool, allows: bool) -> None:
    waiver = Waiver("g", "known", "ann", "2026-12-01", "e") if waived else None
    assert Verdict("g", "test", outcome, measured(1.0), ">= 1", "…", waiver).allows is allows


@pytest.mark.parametrize(
    ("text", "op", "bound"),
    [
        (">= 0.95", ">=", 0.95),
        ("<=10%", "<=", 0.1),
        ("== 0", "==", 0.0),
        (" > -1.5e-3 ", ">", -0.0015),
        ("< .5", "<", 0.5),
        (">= 1.", ">=", 1.0),
    ],
)
def test_rules_are_read(text: str, op: str, bound: float) -> None:
    assert parse_rule(text) == Rule(op, bound)
    assert parse_rule(text, safe_end=True, min_n=30) == Rule(op, bound, True, 30)


@pytest.mark.parametrize("text", ["", "0.95", "=> 1", "= 1", ">= x", ">= 1 2", ">= nan", "!= 1", ">= 1%%"])
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(UserError, match="is no rule") as caught:
        parse_rule(text)
    assert caught.value.problems[0].fix == "write a comparison with a number, such as '>= 0.95'"


def test_a_rule_says_what_it_asks() -> None:
    assert str(Rule(">=", 0.3)) == ">= 0.3"
    assert str(Rule("<=", 0.25, safe_end=True)) == "<= 0.25 at the safe end"
