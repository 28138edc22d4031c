"""What the evaluation found, in a few lines of `headrace show`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.cli.common import number, span, table


def evaluation_text(summary: Mapping[str, Any]) -> str:
    """A run's summary to text: the worst slices, groups, faults, and what the learning curve says; empty
    where nothing was evaluated."""
    found = summary.get("evaluation") or {}
    parts = [
        _slices(found.get("slices") or {}),
        _fairness(found.get("fairness") or {}),
        _faults(found.get("robustness") or ()),
        _calibration(found.get("calibration")),
        _missing((found.get("errors") or {}).get("missing", ())),
        _curve(found.get("learning_curve")),
        _important(found.get("explanations") or ()),
    ]
    return "\n\n".join(p for p in parts if p)


def _slices(found: Mapping[str, Any]) -> str:
    parts = []
    rows = [_slice(s) for s in found.get("declared", ())]
    header = ["worst declared slices", "rows", "value", "interval", "worse by", "p"]
    if rows:
        parts.append(table(header, rows, right=(1, 2, 4, 5)))
    search = found.get("search")
    if search and search["found"]:
        header[0] = f"found slices ({search['looked_at']:,} looked at)"
        parts.append(table(header, [_slice(s) for s in search["found"]], right=(1, 2, 4, 5)))
    elif search:
        why = search["why_none"]
        looked = f"{search['looked_at']:,} looked at, {search['tested']} tested"
        parts.append(f"slices: nothing searched: {why}" if why else f"slices: none found worse ({looked})")
    return "\n".join(parts)


def _slice(s: Mapping[str, Any]) -> list[Any]:
    p = "–" if s["p_corrected"] is None else f"{s['p_corrected']:.2g}"
    return [s["name"], s["rows"], s["value"], span(s["interval"]), s["worse_by"], p]


def _fairness(found: Mapping[str, Any]) -> str:
    rows = []
    for d in found.get("known", ()):
        name = f"{d['column']}: {d['measure']}" + (f" of {d['of']}" if d["of"] else "")
        rows.append([name, d["value"], span(d["interval"]), f"{d['lowest']} … {d['highest']}"])
    header = ["fairness", "value", "interval", "lowest … highest"]
    parts = [table(header, rows, right=(1,))] if rows else []
    if found.get("unknown"):
        parts.append(f"fairness: {found['unknown']} measures unknown, such as {found['why_none']}")
    return "\n".join(parts)


def _faults(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [[w["kind"], w["loss"], span(w["interval"]), w["why_none"] or w["what"]] for w in found]
    header = ["robustness", "share lost", "interval", "worst"]
    return table(header, rows, right=(1,)) if rows else ""


def _calibration(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    return f"calibration error: {number(found['ece'])} {span(found['interval'])} ({found['of']})"


def _missing(found: Sequence[Mapping[str, Any]]) -> str:
    told = [f"{s['name']} ({s['rows']:,} rows): {number(s['value'])}" for s in found]
    return "errors gather where " + "; ".join(told) if told else ""


def _curve(found: Mapping[str, Any] | None) -> str:
    return f"learning curve of {found['model']}: {found['says']}\n  {found['because']}" if found else ""


def _important(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [[i["name"], i["drop"], span(i["interval"])] for i in found]
    return table(["most important columns", "metric lost", "interval"], rows, right=(1,)) if rows else ""
