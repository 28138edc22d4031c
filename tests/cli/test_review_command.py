"""`headrace review`: ask, list, next, decide, status, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spine import command
from worlds import wine

from headrace.project import Project


def call(project: Project, *args: str) -> tuple[int, str, str]:
    done = command(project, "review", *args)
    return done.exit_code, done.stdout, done.stderr


def told(project: Project, *args: str) -> Any:
    code, out, _ = call(project, *args, "--json")
    assert code == 0
    return json.loads(out)


def test_a_reviewers_morning(finished: Project, tmp_path: Path) -> None:
    assert "nothing is there" in call(finished, "list")[1]
    assert "nothing is there" in call(finished, "next")[1]
    assert "3 rows are in the queue" in call(finished, "ask", "--uncertain", "3")[1]
    code, shown, _ = call(finished, "next", "--by", "ann")
    assert code == 0
    name = shown.split(":")[0]
    assert "the model is least sure of these" in shown
    assert "weather.wind" in shown
    assert f"headrace review decide {name} False | True" in shown
    other = told(finished, "next", "--by", "bob", "--lease", "5 min")
    assert other["id"] != name
    code, _, error = call(finished, "decide", name, "true", "--by", "bob")
    assert code == 2
    assert "held by somebody else" in error
    assert f"{name}: True" in call(finished, "decide", name, "true", "--by", "ann", "--comment", "a storm")[1]
    assert told(finished, "decide", other["id"], "false", "--by", "bob")["decision"] is False
    listed = told(finished, "list", "--state", "decided")
    assert {i["id"] for i in listed} == {name, other["id"]}
    assert "decided" in call(finished, "list")[1]
    source = f"rows: {finished.show().run}"
    status = told(finished, "status", "--source", source)
    assert (status["open"], status["decided"], status["reviewers"]) == (1, 2, {"ann": 1, "bob": 1})
    assert "1 open (0 taken), 2 decided, 0 expired" in call(finished, "status", "--source", source)[1]
    assert "2 decisions" in call(finished, "export", str(tmp_path / "x.csv"))[1]


def test_two_decide(finished: Project) -> None:
    (name,) = told(finished, "ask", "--sample", "1", "--double")
    assert "1 more to decide it" in call(finished, "decide", name, "true", "--by", "ann")[1]
    assert "True (answered" in call(finished, "decide", name, "true", "--by", "bob")[1]
    status = call(finished, "status", "--source", f"rows: {finished.show().run}")[1]
    assert "two reviewers agreed on 1 of 1 items; everybody said the same" in status


def test_the_champions_plan_is_told(tmp_path: Path) -> None:
    project = wine(tmp_path, {"review": {"risk": 0.2, "level": 0.9}})
    assert project.run().status == "released"
    assert "risk 0.2: a confidence of 0." in call(project, "status")[1]
    assert told(project, "status")["plan"]["control"]["units"] == 36


def test_mistakes_are_told(finished: Project) -> None:
    for args, said in (
        (["decide", "p9", "true"], "no item 'p9'"),
        (["next", "p9"], "no item 'p9'"),
        (["next", "--lease", "soon"], "soon"),
        (["ask"], "which rows"),
        (["ask", "--slice", "nothing > 1"], "nothing"),
        (["export", "x.txt"], "neither"),
        (["export", "missing/x.csv"], "can't be written"),
    ):
        code, _, error = call(finished, *args)
        assert code == 2
        assert said in error
