"""A release's input and output for callers: what to send, in which ranges it was seen, what comes back."""

from __future__ import annotations

from typing import Any

from headrace.core.clock import from_micros, iso
from headrace.core.codec import to_plain
from headrace.core.schema import Type
from headrace.core.spelled import spelled
from headrace.core.task import Kind, label, labels
from headrace.release.manifest import Field, Manifest, Serving, Sureness


def describe(manifest: Manifest, release: str) -> dict[str, Any]:
    """The release, ready for JSON.

    `fields` are what a caller sends, each with type and, where the model reads it and it is not personal,
    what the training rows held (`low`, `high`, `categories`, `null_share`) and, where the spec says what
    it means, `description`; `looked_up` is what the server adds, by table and key, and `histories` say what
    it computes of earlier rows, `functions` what the project's own code computes. `not_at_edge` says why the
    release needs a server with Python (null: it doesn't). `explain` is how to ask for contributions (null:
    the release can't give them).
    """
    serving = manifest.serving
    known = {f.name: f for f in serving.fields}
    keys = set(serving.key_columns)
    return {
        "release": release,
        "project": manifest.project,
        "target": manifest.target,
        "task": serving.task.kind.value,
        "classes": list(labels(serving.task)),
        "threshold": serving.threshold,
        "calibration": serving.calibration or None,
        "uncertainty": None if serving.sureness is None else to_plain(serving.sureness),
        "zone": serving.zone,
        "fields": [
            {
                "name": name,
                "type": kind.value,
                "key": name in keys,
                **_meaning(manifest, name),
                **_seen(None if name in serving.treated else known.get(name)),
            }
            for name, kind in serving.event_types().items()
        ],
        "looked_up": [
            {
                "name": f.name,
                "type": f.type.value,
                "table": f.source,
                **_meaning(manifest, f.name),
                **_seen(f),
            }
            for f in serving.fields
            if f.source != "event"
        ],
        "lookups": [
            {"table": t.table, "key": list(t.key), "columns": list(t.columns), "timed": bool(t.time)}
            for t in serving.lookups
        ],
        "histories": [
            {"name": h.column, "is": h.text, "table": h.table, "by": list(h.by)} for h in serving.histories
        ],
        "functions": [{"name": f.column, "is": f.text, "type": f.type.value} for f in serving.functions],
        "not_at_edge": serving.not_at_edge or None,
        "ignored": list(serving.unused),
        "explain": _explain(serving),
        "answer": _answer(serving),
    }


def _meaning(manifest: Manifest, name: str) -> dict[str, str]:
    return {"description": manifest.columns[name]} if name in manifest.columns else {}


HELD = ("low", "high", "categories", "null_share")
"""What is told of the training rows."""


def _seen(field: Field | None) -> dict[str, Any]:
    if field is None:
        return {}
    found: dict[str, Any] = {"null_share": field.null_share}
    if field.low is not None and field.high is not None:
        as_time = field.type is Type.TIME
        found |= {
            "low": _moment(field.low) if as_time else field.low,
            "high": _moment(field.high) if as_time else field.high,
        }
    if field.categories:
        found["categories"] = list(field.categories)
    return found


def _moment(micros: float) -> str | None:
    """RFC 3339; None for years that it has no digits for."""
    try:
        return iso(from_micros(int(micros)))
    except OverflowError:
        return None


def _explain(serving: Serving) -> dict[str, str] | None:
    """How to ask why, and what comes back under `why`; None where the release can't tell."""
    if not serving.reference:
        return None
    what = "the prediction"
    if serving.task.kind is not Kind.REGRESSION:
        binary = serving.task.kind is Kind.BINARY
        of = spelled(label(serving.task.classes[1])) if binary else "the predicted class"
        what = f"the probability of {of}"
    return {
        "ask": "?explain=5, or `explain` (true, or a number) beside the fields or `rows`",
        "of": "the class whose probability is explained; null for a regression",
        "base": f"number: {what} over the release's reference rows",
        "contributions": "list, largest first: column, value, contribution, error, text, personal",
        "rest": f"number: the sum of those not named; base, contributions and rest add up to {what}",
    }


def _answer(serving: Serving) -> dict[str, str]:
    """What comes back for a row."""
    classes = labels(serving.task)
    sure = serving.sureness
    if not classes:
        ends = {} if sure is None else dict.fromkeys(("lower", "upper"), f"number or null: {_held(sure)}")
        return {"prediction": "number", "release": "string", **ends}
    told = " or ".join(spelled(c) for c in classes[:10]) + (" …" if len(classes) > 10 else "")
    if serving.task.kind is Kind.BINARY:
        probability = f"number: of {spelled(classes[1])}"
    else:
        probability = "object: number by class"
    answer = {"prediction": told, "probability": probability, "release": "string"}
    if sure is not None:
        answer["set"] = f"list of classes: {_held(sure)}"
    if sure is not None and sure.abstain:
        answer |= {"prediction": f"{told}, or null where it abstains", "abstain": "boolean"}
    return answer


def _held(sure: Sureness) -> str:
    return f"{sure.level:.0%} of new rows are to lie in it"
