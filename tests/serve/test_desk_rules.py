"""Rules before and after the model: the same for one row and many, logged as the reason of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from desk_world import Kept, ask, desk, planned, served
from serve_releases import Release, requests
from test_answer import ROW

from headrace.core.schema import Type
from headrace.core.spec.serve import Rule
from headrace.core.task import Kind
from headrace.serve.batch.file import score_file

FAR = Rule(name="too far", when="distance > 2000", answer=True)
BLOCKED = Rule(name="blocked", when="origin = 'EWR'", answer=False)
WINDY = Rule(name="windy", when="weather.wind > 20", answer=None)


def by_rules(row: dict[str, Any]) -> str | None:
    if row["distance"] is not None and row["distance"] > 2000:
        return "rule: too far"
    return "rule: blocked" if row["origin"] == "EWR" else None


def test_rules_before_the_model(binary: Release) -> None:
    log = Kept()
    plain = desk(served(binary))
    there = desk(served(binary, planned(binary, before=(FAR, BLOCKED))), log=log)
    rows = requests(80)
    told, modelled = ask(there, rows), ask(plain, rows)
    wanted = [by_rules(r) for r in rows]
    assert {"rule: too far", "rule: blocked", None} == set(wanted)
    for row, answer, own, rule in zip(rows, told, modelled, wanted, strict=True):
        assert answer["by"] == (rule or "model") and not answer["fallback"]
        if rule is None:
            assert answer["prediction"] == own["prediction"]
            assert abs(answer["probability"] - own["probability"]) < 1e-12
        else:
            assert answer["prediction"] is (rule == "rule: too far")
            assert answer["probability"] is None and answer["release"] == "r7"
        (alone,) = ask(there, [row])
        assert (alone["by"], alone["prediction"]) == (answer["by"], answer["prediction"])
    assert [e.by for e in log.entries[:80]] == [a["by"] for a in told]


def test_the_first_rule_counts(binary: Release) -> None:
    row = {**ROW, "distance": 2400.0, "origin": "EWR"}
    for rules, name in (((FAR, BLOCKED), "rule: too far"), ((BLOCKED, FAR), "rule: blocked")):
        assert ask(desk(served(binary, planned(binary, before=rules))), [row])[0]["by"] == name


def test_a_null_condition_does_not_hold(binary: Release) -> None:
    there = desk(served(binary, planned(binary, before=(FAR,))))
    assert ask(there, [{**ROW, "distance": None}])[0]["by"] == "model"


def test_rules_read_what_is_looked_up(binary: Release) -> None:
    """Among rules that read what was sent alone, and others that are decided by the model."""
    there = desk(served(binary, planned(binary, before=(WINDY, BLOCKED), after=())))
    rows = requests(80)
    (told, alone) = ask(there, rows), [ask(there, [r])[0] for r in rows]
    assert [a["by"] for a in told] == [a["by"] for a in alone]
    windy = [a for a in told if a["by"] == "rule: windy"]
    assert windy and all(a["prediction"] is None for a in windy)
    assert any(a["by"] == "model" for a in told)


def test_rules_after_the_model_overrule_it(binary: Release) -> None:
    sure = Rule(name="not sure", when="confidence < 0.9 and not prediction", answer=True)
    there = desk(served(binary, planned(binary, after=(sure,), before=(BLOCKED,))))
    rows = requests(80)
    modelled = ask(desk(served(binary)), rows)
    seen = set()
    for row, answer, own in zip(rows, ask(there, rows), modelled, strict=True):
        seen.add(answer["by"])
        if row["origin"] == "EWR":
            assert answer["by"] == "rule: blocked"
        elif not own["prediction"] and own["probability"] > 0.1 + 1e-9:
            assert (answer["by"], answer["prediction"]) == ("rule: not sure", True)
            assert answer["overruled"] is False and answer["probability"] == own["probability"]
        else:
            assert answer["by"] == "model" and "overruled" not in answer
    assert seen == {"rule: blocked", "rule: not sure", "model"}


def test_rules_of_other_tasks(multiclass: Release, regression: Release) -> None:
    spoken = {"prediction": Type.TEXT, "confidence": Type.NUMBER}
    rule = Rule(name="never early", when="prediction = 'early'", answer="on time")
    assert multiclass.serving.task.kind is Kind.MULTICLASS
    there = desk(served(multiclass, planned(multiclass, after=(rule,), spoken=spoken)))
    told = ask(there, requests(60))
    assert {"rule: never early", "model"} == {a["by"] for a in told}
    assert all(a["prediction"] == "on time" for a in told if a["by"] != "model")
    floor = Rule(name="floor", when="prediction < 95", answer=95.0)
    there = desk(served(regression, planned(regression, after=(floor,), spoken={"prediction": Type.NUMBER})))
    told = ask(there, requests(60))
    assert min(a["prediction"] for a in told) == 95 and {"rule: floor", "model"} == {a["by"] for a in told}
    assert all("probability" not in a for a in told)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_files_and_requests_agree(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    release: Release = request.getfixturevalue(kind)
    said, spoken = {
        "binary": ((True, False), {"prediction": Type.BOOL, "confidence": Type.NUMBER}),
        "multiclass": (("early", "on time"), {"prediction": Type.TEXT, "confidence": Type.NUMBER}),
        "regression": ((1.5, 95.0), {"prediction": Type.NUMBER}),
    }[kind]
    late = "prediction < 95" if kind == "regression" else "confidence < 0.7"
    manifest = planned(
        release,
        before=(Rule(name="far", when="distance > 2000", answer=said[0]), WINDY),
        after=(Rule(name="low", when=late, answer=said[1]),),
        spoken=spoken,
    )
    rows = requests(150)
    source, output = tmp_path / "rows.jsonl", tmp_path / "out.parquet"
    source.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    score_file(release.store, manifest, "r7", source, output)
    table = pq.read_table(output).to_pylist()
    asked = ask(desk(served(release, manifest)), rows)
    assert {"model", "rule: far", "rule: windy", "rule: low"} == {a["by"] for a in asked}
    for line, answer in zip(table, asked, strict=True):
        assert (line["by"], line["prediction"]) == (answer["by"], answer["prediction"])
        if kind == "binary":
            assert (line["probability"] is None) == (answer["probability"] is None)
        if kind == "multiclass" and answer["probability"]:
            assert abs(line["probability_early"] - answer["probability"]["early"]) < 1e-12
