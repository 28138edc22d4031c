"""Errors say what, where, why and how to mend it, one or many at once."""

import pytest

from headrace.core import errors
from headrace.core.errors import HeadraceError, Problem, SpecError, did_you_mean


def test_a_problem_reads_from_the_place_to_the_mending() -> None:
    problem = Problem(
        "unknown column 'dep'", where="headrace.yaml:7", why="the model needs it", fix="rename it"
    )
    assert (
        str(problem) == "headrace.yaml:7: unknown column 'dep'\n  why: the model needs it\n  fix: rename it"
    )
    assert str(Problem("just this")) == "just this"


def test_an_error_carries_its_problem_and_prints_it() -> None:
    error = SpecError("no target", where="headrace.yaml:3", fix="add `target:`")
    assert error.problems == (Problem("no target", "headrace.yaml:3", "", "add `target:`"),)
    assert str(error) == "headrace.yaml:3: no target\n  fix: add `target:`"


def test_many_problems_are_raised_once() -> None:
    problems = [Problem("one"), Problem("two", fix="mend it")]
    error = SpecError.of(problems)
    assert type(error) is SpecError
    assert error.problems == tuple(problems)
    assert str(error) == "one\ntwo\n  fix: mend it"


def test_an_error_of_no_problem_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="an error needs at least one problem"):
        SpecError.of([])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("HeadraceError", 1),
        ("StoreError", 1),
        ("NoAnswer", 1),
        ("Conflict", 1),
        ("Corrupt", 1),
        ("Undelivered", 1),
        ("UserError", 2),
        ("SpecError", 2),
        ("ExprError", 2),
        ("DataError", 2),
        ("UserCodeError", 2),
        ("MissingDependency", 2),
        ("NotFound", 2),
        ("GateBlocked", 3),
        ("AwaitingApproval", 4),
    ],
)
def test_exit_codes(name: str, code: int) -> None:
    kind: type[HeadraceError] = getattr(errors, name)
    assert issubclass(kind, HeadraceError)
    assert kind("x").exit_code == code


def test_every_error_class_has_its_exit_code_tested() -> None:
    classes = {n for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, HeadraceError)}
    tested = {args[0] for args in test_exit_codes.pytestmark[0].args[1]}  # type: ignore[attr-defined] # set by pytest
    assert classes == tested


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("dep_tme", ["dep_time", "arr_time", "origin"], "did you mean 'dep_time'?"),
        ("arr_tim", ["arr_time", "arr_time2"], "did you mean 'arr_time' or 'arr_time2'?"),
        ("zzz", ["b", "a", "a"], "choose from: a, b"),
        (
            "zzz",
            [f"c{n:02d}" for n in range(13)],
            "choose from: " + ", ".join(f"c{n:02d}" for n in range(12)) + ", …",
        ),
        ("zzz", [], ""),
    ],
)
def test_hints(name: str, options: list[str], hint: str) -> None:
    assert did_you_mean(name, options) == hint
