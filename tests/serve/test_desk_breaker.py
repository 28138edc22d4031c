"""The circuit breaker, by a clock that tests move."""

from __future__ import annotations

from headrace.serve.desk.breaker import Breaker, Circuit, Limits

LIMITS = Limits(failures=3, window=10.0, rest=2.0, longest=5.0)


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(LIMITS)
    for _ in range(3):
        breaker.failed(at)
    return breaker


def test_failures_within_the_window_open_it() -> None:
    breaker = Breaker(LIMITS)
    for moment in (0.0, 5.0):
        breaker.failed(moment)
        assert breaker.asks(moment)
    breaker.failed(10.0)
    assert breaker.circuit is Circuit.OPEN and not breaker.asks(10.0)


def test_failures_that_lie_apart_do_not() -> None:
    breaker = Breaker(LIMITS)
    for moment in range(0, 600, 6):
        breaker.failed(float(moment))
    assert breaker.circuit is Circuit.CLOSED


def test_one_request_tries_after_the_rest() -> None:
    breaker = opened()
    assert not breaker.asks(1.9)
    assert breaker.asks(2.0) and breaker.circuit is Circuit.HALF_OPEN
    assert not breaker.asks(2.1)
    breaker.succeeded()
    assert breaker.circuit is Circuit.CLOSED and breaker.asks(2.2)
    breaker.failed(2.3)
    assert breaker.circuit is Circuit.CLOSED  # what was before it opened is forgotten


def test_a_failed_try_rests_longer_and_longer() -> None:
    breaker, moment = opened(), 0.0
    for rest in (2.0, 4.0, 5.0, 5.0):
        assert not breaker.asks(moment + rest - 0.1)
        moment += rest
        assert breaker.asks(moment)
        breaker.failed(moment)
    assert breaker.asks(moment + 5.0)
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(moment + 6.0)
    assert not breaker.asks(moment + 7.9) and breaker.asks(moment + 8.0)


def test_a_try_that_was_left_or_never_came_back_is_made_again() -> None:
    breaker = opened()
    assert breaker.asks(2.0)
    breaker.left()
    assert breaker.asks(2.1)
    assert not breaker.asks(4.0) and breaker.asks(4.2)


def test_what_answers_meanwhile_does_not_close_an_open_one() -> None:
    breaker = opened()
    breaker.succeeded()
    assert breaker.circuit is Circuit.OPEN
