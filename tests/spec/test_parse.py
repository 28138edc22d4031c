"""Every mistake of a spec, with its line and its mend: messages are specified behaviour."""

from __future__ import annotations

import pytest

from headrace.core.errors import SpecError
from headrace.core.spec import parse_spec
from headrace.core.spec.models import Spec, json_schema

GOOD = """headrace: 1
project: demo
problem:
  task: binary
  target: late
  metric: f1
data:
  events: trips
  tables:
    trips: {read: data/trips.csv}
split: {by: random}
features:
  hour: hour(at)
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    return [str(p) for p in caught.value.problems]


def test_a_small_spec_is_enough() -> None:
    parsed = parse_spec(GOOD)
    assert parsed.spec.models == ("linear", "tree", "forest", "boosting")
    assert parsed.spec.cv.folds == 5
    assert parsed.where("features", "hour") == "headrace.yaml:13 (features.hour)"


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "fix"),
    [
        ("task: binary", "task: binry", 4, "can't be 'binry'", "did you mean 'binary'?"),
        ("metric: f1", "metric: 3", 6, "must be text, not 3", "put it in quotes: '3'"),
        ("metric: f1", "metric: f1\n  shipat: 1", 7, "unknown key 'shipat'", "did you mean 'ship_at'?"),
        ("  target: late\n", "", 3, "'problem.target' is missing", "add `target:`"),
        ("by: random", "by: random, test: 150%", 11, "'150%' is no share", "a percentage such as '15%'"),
        ("by: random", "by: random, test: 1.5", 11, "1.5 is no share", "between 0 and 1"),
        ("by: random", "by: time, gap: 3 fortnights", 11, "is no duration", "'60 min' or '14 days'"),
        ("hour: hour(at)", "hour: {expr: a, knd: number}", 13, "key 'knd'", "did you mean 'kind'?"),
        ("hour: hour(at)", "hour: 3", 13, "must be text, not 3", "put it in quotes: '3'"),
        ("headrace: 1", "headrace: 2", 1, "can't be 2", "choose from: 1"),
        ("project: demo", "project: my demo", 2, "'project'", ""),
        ("  metric: f1", "  metric: f1\n  ship_at: {recall: '> x'}", 7, "is no rule", "'>= 0.95'"),
        ("  metric: f1", "  metric: f1\n  today: {rule: a, value: 3}", 7, "exactly one of", ""),
        ("  metric: f1", "  metric: f1\n  metric: auc", 7, "key 'metric' is given twice", "line 6"),
        ("split:", "models: []\nsplit:", 11, "'models' needs at least one entry", "The candidates."),
        ("split:", "cv: {folds: 1}\nsplit:", 11, "'cv.folds' is 1", "a number of at least 2"),
        ("split:", "cv: 5\nsplit:", 11, "must be a mapping", "write keys under it"),
        (
            "  metric: f1",
            "  metric: f1\n  go: {decided_by: a, on: '2026-01-02', expires: 2027-01-02}",
            7,
            "must be a date",
            "without quotes",
        ),
        ("split:", "models: linear\nsplit:", 11, "must be a list, not 'linear'", "write a list"),
    ],
)
def test_each_mistake_names_line_and_mend(old: str, new: str, line: int, what: str, fix: str) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new))
    assert len(found) == 1, found
    assert f"headrace.yaml:{line}" in found[0]
    assert what in found[0]
    assert fix in found[0]


def test_all_mistakes_at_once() -> None:
    text = GOOD.replace("binary", "binry").replace("metric: f1", "metrik: f1").replace("events:", "evnts:")
    found = "\n".join(problems(text))
    missing = ("'problem.metric' is missing", "'data.events' is missing")
    for expected in ("'binry'", "'metrik'", "'evnts'", *missing):
        assert expected in found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file is empty"),
        ("- a\n- b\n", "no mapping"),
        ("a: [1\nb: 2\n", "not valid YAML"),
        ("a: 'x\n", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_text_that_is_no_spec(text: str, what: str) -> None:
    assert what in problems(text)[0]


def test_a_tab_is_told_with_its_line() -> None:
    assert problems("a:\n\tb: 1\n")[0].startswith("headrace.yaml:2: not valid YAML")
    assert "spaces, no tabs" in problems("a:\n\tb: 1\n")[0]


def test_the_digest_is_of_the_meaning_not_the_text() -> None:
    reordered = GOOD.replace("headrace: 1\nproject: demo\n", "project: demo   # a comment\nheadrace: 1\n")
    explicit = GOOD + "seed: 0\ncv: {folds: 5}\n"
    digests = {parse_spec(t).spec.digest() for t in (GOOD, reordered, explicit)}
    assert len(digests) == 1
    assert parse_spec(GOOD + "seed: 1\n").spec.digest() not in digests


def test_python_users_build_the_same_models() -> None:
    plain = parse_spec(GOOD).spec.plain()
    plain["features"] = dict(plain["features"])
    assert Spec.model_validate(plain).digest() == parse_spec(GOOD).spec.digest()


def test_models_are_frozen() -> None:
    spec = parse_spec(GOOD).spec
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 3


def test_the_schema_describes_every_setting() -> None:
    schema = json_schema()
    assert schema["properties"]["problem"]
    for definition in [schema, *schema["$defs"].values()]:
        for name, field in definition.get("properties", {}).items():
            assert field.get("description"), f"{definition.get('title')}.{name} has no description"
    auto, named = schema["properties"]["features"]["anyOf"]
    assert auto == {"const": "auto"}
    assert named["type"] == "object"
