"""What a script of the user's logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.told import RunTold
from headrace.report.figures.compare import series
from headrace.report.page import Section, number, para, table, text
from headrace.report.parts.common import drawn, short, spelled, two

_DRAWN = 24


def script_sections(told: RunTold) -> list[Section]:
    """Params, metrics by step, artifacts, and the model where one was given."""
    log = told.logged
    return [_params(log), _metrics(log), _kept(log)]


def _params(log: Mapping[str, Any]) -> Section:
    rows = [[name, spelled(value)] for name, value in log.get("params", {}).items()]
    body = table(["parameter", "value"], rows) if rows else para("None were logged.", "lead")
    return Section("params", "Parameters", body)


def _metrics(log: Mapping[str, Any]) -> Section:
    metrics = log.get("metrics", {})
    if not metrics:
        return Section("metrics", "Metrics", para("None were logged.", "lead"))
    rows: list[list[str]] = []
    drawings: list[str] = []
    for name, points in metrics.items():
        known = [p["value"] for p in points if p["value"] is not None]
        last = points[-1]["value"] if points else None
        ends = [min(known), max(known)] if known else [None, None]
        rows.append([name, number(last), *(number(e) for e in ends), f"{len(points):,}"])
        if len(points) > 1 and len(drawings) < _DRAWN:
            drawings.append(drawn(series(name, points), name, height=260))
    headers = ["metric", "last", "lowest", "highest", "points"]
    body = table(headers, rows, numbers=[1, 2, 3, 4]) + two(*drawings)
    return Section(
        "metrics", "Metrics", body, "As the script logged them; nothing here was measured by headrace."
    )


def _kept(log: Mapping[str, Any]) -> Section:
    kept = log.get("artifacts", {})
    rows = [[name, k["kind"], f"{k['size']:,}", short(k["digest"])] for name, k in kept.items()]
    body = (
        table(["name", "kind", "bytes", "SHA-256"], rows, numbers=[2])
        if rows
        else para("None were kept.", "lead")
    )
    model = log.get("model")
    if model:
        said = f"The model {model['name']} was given: `headrace run --model` takes it through the same gates."
        body += f"<p>{text(said)}</p>"
    return Section("artifacts", "Artifacts", body)
