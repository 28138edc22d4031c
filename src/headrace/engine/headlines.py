"""An evaluation in a few lines, for people at a terminal: what stands out in each look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.checks.errors import Errors
from headrace.checks.fairness import Fairness
from headrace.checks.learning_curve import LearningCurve
from headrace.checks.robustness import Robustness
from headrace.checks.slices import Search, Slices
from headrace.core.codec import to_plain
from headrace.core.evidence import Interval
from headrace.explain.record import Explanations
from headrace.metrics.calibration import Reliability
from headrace.metrics.worth import Worth


def headlines(records: Mapping[str, Any]) -> dict[str, Any]:
    """By role: the worst declared slices and the found ones, the worst group of each sensitive column,
    the worst fault of each kind, where errors gather, what matters most. Small; the whole is in the
    artifacts."""
    found: dict[str, Any] = {}
    for role, record in records.items():
        match record:
            case Slices():
                found[role] = _slices(record)
            case Fairness():
                found[role] = _fairness(record)
            case Robustness():
                found[role] = [to_plain(w) for w in record.worst]
            case LearningCurve():
                found[role] = {"model": record.model, "says": record.statement, "because": record.because}
            case Reliability():
                found[role] = {"ece": record.ece, "interval": _plain(record.interval), "of": record.of}
            case Worth():
                found[role] = to_plain(record)
            case Errors():
                found[role] = _errors(record)
            case Explanations():
                found[role] = _important(record)
    return found


def _slices(slices: Slices) -> dict[str, Any]:
    known = [s for s in slices.declared if s.worse_by is not None]
    known.sort(key=lambda s: -(s.worse_by or 0.0))
    found: dict[str, Any] = {"declared": [to_plain(s) for s in known[:5]]}
    if slices.search is not None:
        found["search"] = _search(slices.search)
    return found


def _fairness(fairness: Fairness) -> dict[str, Any]:
    """What could be measured, and of what could not the number and the first reason."""
    known = [d for d in fairness.disparities if d.value is not None]
    unknown = [d for d in fairness.disparities if d.value is None]
    return {
        "known": [to_plain(d) for d in known],
        "unknown": len(unknown),
        "why_none": f"{unknown[0].column} {unknown[0].measure}: {unknown[0].why_none}" if unknown else "",
    }


def _search(search: Search) -> dict[str, Any]:
    return {
        "looked_at": search.looked_at,
        "tested": len(search.tested),
        "found": [to_plain(s) for s in search.tested[: search.found]],
        "why_none": search.why_none,
    }


def _errors(errors: Errors) -> dict[str, Any]:
    gathered = [s for s in errors.by_missing if s.p_corrected is not None and s.p_corrected <= 0.05]
    return {"missing": [to_plain(s) for s in gathered[:3]]}


def _important(explained: Explanations) -> list[dict[str, Any]]:
    """The columns whose loss costs most."""
    known = [i for i in explained.columns if i.drop is not None]
    return [{"name": i.name, "drop": i.drop, "interval": _plain(i.interval)} for i in known[:5]]


def _plain(interval: Interval | None) -> Any:
    return None if interval is None else to_plain(interval)
