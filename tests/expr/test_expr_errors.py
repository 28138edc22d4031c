"""What is said about expressions that can't be used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headrace.core.errors import ExprError
from headrace.core.schema import Type
from headrace.expr import parse
from headrace.expr.functions import REFUSED

COLUMNS = {
    "delay": Type.NUMBER,
    "late": Type.BOOL,
    "origin": Type.TEXT,
    "dep": Type.TIME,
    "arr": Type.TIME,
    "weather.temp": Type.NUMBER,
}


def problems(text: str, **options: str) -> list[tuple[str, str, str]]:
    with pytest.raises(ExprError) as caught:
        parse(text, COLUMNS, **options)
    return [(p.what, p.why, p.fix) for p in caught.value.problems]


def only(text: str) -> tuple[str, str, str]:
    (problem,) = problems(text)
    return problem


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("dealy + 1", "unknown column 'dealy'", "did you mean 'delay'?"),
        ("weather.tmp", "unknown column 'weather.tmp'", "did you mean 'weather.temp'?"),
        ("hourr(dep)", "unknown function 'hourr'", "did you mean 'hour'?"),
        ("delay + origin", "`+` needs a number, but `origin` is text",
         "cast(origin as double), if it spells numbers"),
        ("origin + origin", "`+` can't take text and text: `origin + origin`", "join texts with ||"),
        ("dep + 1", "`+` can't take time and number: `dep + 1`",
         "add a span, such as t + interval '3 hours', or subtract two times"),
        ("delay = 'x'", "`=` can't mix number and text: `delay` is a number, `'x'` is text",
         "cast('x' as double), if it spells numbers"),
        ("late > true", "`>` can't order bool values", "compare with =, <> or in (...)"),
        ("delay and late", "`and` needs true or false, but `delay` is a number",
         "compare it, such as delay > 0"),
        ("not delay", "`not` needs true or false, but `delay` is a number", "compare it, such as delay > 0"),
        ("hour(delay)", "hour() needs a time, but `delay` is a number", "use a time there"),
        ("case when late then 1 else 'a' end",
         "`case` can't mix number and text: `1` is a number, `'a'` is text",
         "cast('a' as double), if it spells numbers"),
        ("coalesce(delay, dep)", "coalesce() can't mix time and number: `dep` is a time, `delay` is a number",
         "use a time there"),
        ("abs()", "abs() can't take 0 arguments: `abs()`", "write abs(number) -> number"),
        ("round(delay, 0.5)", "round() needs a whole number from -15 to 15, not 0.5", "such as round(x, 2)"),
        ("date_trunc('weak', dep)", "date_trunc() knows no unit 'weak'", "did you mean 'week'?"),
        ("extract(hourly from dep)", "extract() knows no part 'hourly'", "did you mean 'hour'?"),
        ("dep - interval '1 month'", "a month has no fixed length",
         "use microseconds to weeks, such as interval '90 minutes' or interval '28 days'"),
        ("dep > 'soon'", "'soon' is no date or time",
         "write '2013-01-31', '2013-01-31 17:30' or '2013-01-31 17:30:00+02:00'"),
        ("interval '1 hour'", "a span of time can only be added to or taken from a time: `INTERVAL '1' HOUR`",
         "write t + interval '3 hours'"),
        ("origin in ('JFK', delay)", "`in` can't mix text and number: `origin` is text, `delay` is a number",
         "compare numbers with numbers, without quotes"),
        ("delay in (delay)", "`in` needs literals, but `delay` is none", "write a = b or a = c"),
        ("cast(dep as int)", "can't cast time to int: `CAST(dep AS INT)`",
         "use epoch(t), a date part or a difference"),
        ("cast(delay as varchar)", "can't cast number to text: `CAST(delay AS TEXT)`",
         "use the number as it is, or case"),
        ("delay is origin", "`is` tests for null, true or false: `delay IS origin`",
         "write x is null, or x = y to compare"),
        ("null", "the expression is always null", "remove it, or give it a value"),
        ("", "the expression is empty", "write one, such as a + b or hour(time)"),
        ("1e999", "`1e999` is too large for a double", "numbers go to 1.797e308"),
        ("delay; late", "`delay; late` holds more than one expression", "remove the `;`"),
        ("delay late", "can't read `delay late`: unexpected `late`, ending at column 10",
         "write one SQL expression, such as a + b, x = 'text' or hour(time)"),
        ("delay +", "can't read `delay +`: something is missing beside `+`",
         "write one SQL expression, such as a + b, x = 'text' or hour(time)"),
        ("origin = 'JFK", "can't read `origin = 'JFK`: a quote or comment is never closed",
         "text literals are 'in single quotes', names \"in double quotes\""),
    ],
)  # fmt: skip
def test_a_mistake_and_its_repair(text: str, what: str, fix: str) -> None:
    found = only(text)
    assert (found[0], found[2]) == (what, fix)


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("origin < 'b'", "`<` can't order text values", "the model graph has no order of texts"),
        ("length(origin)", "length() is refused", "the model graph can't count characters"),
        ("sum(delay)", "sum() is refused", "it looks at many rows, and a row expression sees one"),
        ("count(*)", "count() is refused", "it looks at many rows, and a row expression sees one"),
        ("lag(delay) over ()", "window functions are refused: `lag(delay) OVER ()`",
         "they look at other rows, and an expression sees one"),
        ("(select 1)", "subqueries are refused: `(SELECT 1)`", "a row expression sees one row"),
        ("delay in (select 1)", "`in` needs a list of literals: `delay IN (SELECT 1)`", ""),
        ("contains(origin, origin)", "contains() needs a text in quotes as argument 2, not `origin`",
         "the model graph holds it as a constant"),
        ("origin like 'a_c'", "`like 'a_c'` is beyond what the model graph can match",
         "patterns are limited to prefix, suffix and contains"),
        ("now()", "now() is refused", "the answer must not depend on when it is computed"),
        ("current_date", "current_date is refused", "the answer must not depend on when it is computed"),
        ("random()", "random() is refused", "the answer must be the same every time"),
        ("atan(delay)", "atan() is refused", "onnxruntime has no arc functions in double precision"),
        ("dep at time zone 'UTC'", "`at time zone` is refused: `dep AT TIME ZONE 'UTC'`",
         "one zone holds for the whole project"),
    ],
)  # fmt: skip
def test_what_the_graph_cannot_do_is_refused_by_name(text: str, what: str, why: str) -> None:
    found = only(text)
    assert found[:2] == (what, why)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_refusal_reaches_the_user(name: str) -> None:
    what, why, fix = only(f"{name}(delay)")
    assert what == f"{name}() is refused"
    assert (why, fix) == REFUSED[name]


def test_all_mistakes_of_one_expression_are_told() -> None:
    found = problems("dealy + hourr(dpe) + length(origin) + abs(origin)")
    assert [what for what, _, _ in found] == [
        "unknown column 'dealy'",
        "unknown function 'hourr'",
        "unknown column 'dpe'",
        "length() is refused",
        "abs() needs a number, but `origin` is text",
    ]


def test_the_place_is_told() -> None:
    with pytest.raises(ExprError) as caught:
        parse("dealy", COLUMNS, where="headrace.yaml:12 features.d")
    assert str(caught.value).startswith("headrace.yaml:12 features.d: unknown column 'dealy'")
    assert caught.value.exit_code == 2


def test_an_unknown_zone() -> None:
    for zone in ("Mars/Base", "../etc/passwd", ""):
        ((what, _, _),) = problems("hour(dep)", zone=zone)
        assert what == f"unknown time zone '{zone}'"


@pytest.mark.parametrize(
    "text", ["(" * 3000 + "delay" + ")" * 3000, "delay" + " + delay" * 900, "-" * 500 + "delay"]
)
def test_bottomless_nesting_is_an_error_not_a_crash(text: str) -> None:
    found = problems(text)
    assert found


@pytest.mark.parametrize(
    "text", ["delay::int[]", "{'a': 1}", "[1]", "delay[1]", "x -> x", "?", "delay & 1", "a.b.c.d.e"]
)
def test_other_sql_is_refused_in_words(text: str) -> None:
    assert problems(text)


def test_parsing_loads_no_onnx() -> None:
    code = "import sys, headrace.expr as e; e.to_sql(e.parse('1 + 1', {})); print('onnx' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "False"
