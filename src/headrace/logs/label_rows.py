"""Labels as they are sent: checked field by field, and as they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from headrace.core.errors import Problem, did_you_mean

INPUT = "input_"
ID, LABEL, WEIGHT, EVENT, SOURCE = "id", "label", "weight", "event_id", "source"
FIELDS = (ID, LABEL, WEIGHT, EVENT, SOURCE)

_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True)
class Row:
    """A sound label, before it is kept."""

    where: str
    subject: bytes
    id: str | None
    inputs: str | None
    value: str
    weight: float | None
    source: str
    event: str | None


def mistakes(row: Any, where: str) -> list[Problem]:
    """All that is wrong with a row as it was sent; `where` is what it is called."""
    if not isinstance(row, dict):
        return [Problem("a label has to be an object", where, fix='send {"id": "...", "label": true}')]
    at = f"{where}." if where else ""
    sent = [n for n in row if isinstance(n, str) and n.startswith(INPUT) and n != INPUT]
    problems = [
        Problem(f"unknown field {str(n)!r}", f"{at}{n}", fix=did_you_mean(str(n), (*FIELDS, "input_NAME")))
        for n in row
        if n not in FIELDS and n not in sent
    ]
    if (ID in row) == bool(sent):
        told = "send the prediction's id, or input_NAME columns that tell it"
        problems.append(Problem("either an id or inputs say what is labelled", where, fix=told))
    if LABEL not in row:
        problems.append(Problem("there is no label", f"{at}{LABEL}", fix="null withdraws what was said"))
    problems += [
        Problem("expected text", f"{at}{name}")
        for name in (ID, SOURCE, EVENT)
        if name in row and not (isinstance(row[name], str) and row[name] and _is_plain(row[name]))
    ]
    problems += [
        Problem("expected text, a number, a truth or null", f"{at}{name}")
        for name in (LABEL, *sent)
        if not _is_plain(row.get(name))
    ]
    weight = row.get(WEIGHT)
    if weight is not None and not (_is_number(weight) and 0 < weight < float("inf")):
        problems.append(Problem("expected a number above 0", f"{at}{WEIGHT}"))
    return problems


def row_of(row: Mapping[str, Any], inputs: Mapping[str, Any], where: str, source: str) -> Row:
    """A sound row; its inputs are as the log has them."""
    sent = _encode(inputs).decode() if inputs else None
    subject = blake2b((sent or f"id:{row[ID]}").encode(), digest_size=16).digest()
    weight = row.get(WEIGHT)
    return Row(
        where,
        subject,
        row.get(ID),
        sent,
        _encode(row[LABEL]).decode(),
        None if weight is None else float(weight),
        row.get(SOURCE, source),
        row.get(EVENT),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return value - value == 0
    if isinstance(value, int):
        return abs(value) < 1 << 63
    if isinstance(value, str):
        return not any("\ud800" <= c <= "\udfff" for c in value)
    return value is None
