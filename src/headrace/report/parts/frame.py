"""What is decided, how good it has to be, and what it is worth; and what the features are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.spec.features import text_of
from headrace.core.told import RunTold
from headrace.policy.changes import features_of
from headrace.report.page import Html, Section, chip, listed, more, number, para, table, text
from headrace.report.parts.common import code, spelled
from headrace.report.records import Records


def frame_section(told: RunTold, records: Records) -> Section:
    """The problem as it was declared."""
    del records
    problem = told.spec.get("problem", {})
    if not problem:
        return Section("frame", "Frame", para("The spec of this run is no longer kept.", "lead"))
    today, task = problem.get("today"), problem.get("task", "")
    positive = f", positive is {problem['positive']}" if problem.get("positive") is not None else ""
    body = listed(
        [
            ("Objective", problem.get("objective", "")),
            ("Decision", problem.get("decision", "")),
            ("Use", problem.get("use", "")),
            ("Predicts", Html(f"{code(problem.get('target', ''))} ({text(task + positive)})")),
            ("Why supervised", problem.get("supervision", "")),
            ("Chooses by", code(problem.get("goal") or problem.get("metric", ""))),
            ("Today", _today(today)),
            ("Ships at", Html(" and ".join(code(b) for b in _bars(problem)))),
            ("Worth", _worth(problem.get("value"))),
            ("Go", _go(problem.get("go"))),
            ("Answers for it", spelled(problem.get("owners", {})).removeprefix("default ")),
            ("Approval", "by its author" if problem.get("approval") == "self" else "by somebody else"),
        ]
    )
    body += _assumptions(told, problem) + _features(told) + _columns(problem)
    return Section("frame", "Frame", body, "What is decided with a prediction, and how good it has to be.")


def _today(today: Mapping[str, Any] | None) -> str:
    if not today:
        return "no solution of today is declared"
    if today.get("rule") is not None:
        return code(today["rule"])
    source = f" ({today['source']})" if today.get("source") else ""
    return f"{number(today['value'])}{source}"


def _bars(problem: Mapping[str, Any]) -> list[str]:
    bar = problem.get("ship_at")
    if bar is None:
        return []
    if isinstance(bar, Mapping):
        return [f"{metric} {limit}" for metric, limit in bar.items()]
    return [f"{problem.get('metric')} reaches {number(bar)}"]


def _worth(value: Mapping[str, Any] | None) -> str:
    if not value:
        return ""
    unit = value.get("unit", "")
    told = [f"{k.replace('_', ' ')} {number(v)}" for k, v in value.items() if k != "unit" and v]
    return ", ".join(told) + (f" {unit}" if unit else "")


def _go(go: Mapping[str, Any] | None) -> str:
    return "" if not go else f"decided by {go['decided_by']} on {go['on']}, holds until {go['expires']}"


def _assumptions(told: RunTold, problem: Mapping[str, Any]) -> str:
    declared = problem.get("assumptions", ())
    if not declared:
        return ""
    outcome = {
        v.gate.partition(": ")[2]: v.outcome.value for v in told.verdicts if v.gate.startswith("assumption: ")
    }
    rows = [
        [a["text"], code(a["check"]) if a.get("check") else "–",
         chip(outcome.get(a.get("check", ""), "not measured"))]
        for a in declared
    ]  # fmt: skip
    return "<h3>Assumptions</h3>" + table(["what has to be true", "check", "held"], rows)


def _features(told: RunTold) -> str:
    declared = {n: f for n, f in features_of(told.spec).items() if n != "auto"}
    kinds = {f["name"]: f["kind"] for f in told.facts("features").get("features", ())}
    rows = []
    for name, said in declared.items():
        long = said if isinstance(said, Mapping) else {}
        kind = kinds.get(name) or long.get("kind") or "–"
        rows.append([name, code(text_of(said)), kind, long.get("description", "")])
    rows += [[n, _origin(n, declared), kinds[n], ""] for n in kinds if n not in declared]
    headers = ["feature", "definition", "kind", "meaning"]
    return more(f"{len(rows)} features", table(headers, rows, lean=True)) if rows else ""


def _origin(column: str, declared: Mapping[str, Any]) -> str:
    """Where a column of the matrix comes from that no feature is called by."""
    forms = [n for n, said in declared.items() if isinstance(said, Mapping) and "expr" not in said]
    several = [n for n in forms if column.startswith(f"{n}_")]
    return f"one of {max(several, key=len)}" if several else "made by cleaning"


def _columns(problem: Mapping[str, Any]) -> str:
    meanings = problem.get("columns", {})
    if not meanings:
        return ""
    return more("What columns mean", table(["column", "meaning"], [[k, v] for k, v in meanings.items()]))
