"""What an experiment may guard, as sums over the rows of the prediction log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.answered import FAILED, INSTEAD
from headrace.core.clock import parse_duration

_ONE = "1.0"
_FAILURE = rf"^{INSTEAD}[^(]*\(({'|'.join(FAILED)})"
_WRONG = "CAST(label <> prediction AS DOUBLE)"
_LABELLED = "CAST(label IS NOT NULL AS DOUBLE)"

GUARDED: Mapping[str, tuple[str, str]] = {
    "error_share": (f"CAST(regexp_matches(answered_by, '{_FAILURE}') AS DOUBLE)", _ONE),
    "fallback_share": (f"CAST(starts_with(answered_by, '{INSTEAD}') AS DOUBLE)", _ONE),
    "accuracy": ("CAST(label = prediction AS DOUBLE)", _LABELLED),
    "error_rate": (_WRONG, _LABELLED),
    "mae": ("abs(TRY_CAST(label AS DOUBLE) - TRY_CAST(prediction AS DOUBLE))", _LABELLED),
    "p50": ("", _ONE),
    "p95": ("", _ONE),
    "p99": ("", _ONE),
}
"""By name the sums whose ratio is guarded; of latencies the share of answers that took longer."""
_SHARES = {"p50": 0.5, "p95": 0.05, "p99": 0.01}
_BOUND = re.compile(r"\s*([a-z]\w*)\s*(<=|<|>=|>)\s*(-?\d[\d,]*(?:\.\d+)?)\s*(%|[a-z]+)?\s*")


@dataclass(frozen=True)
class Guard:
    """A guardrail of an experiment: a ratio of sums over rows, and its bound. least: it is a lower one."""

    text: str
    numerator: str
    denominator: str
    bound: float
    least: bool


def parse_guard(text: str) -> Guard | None:
    """Read `fallback_share <= 1%`, `p99 <= 50 ms`, `accuracy >= 0.9`; None where it is none of `GUARDED`.

    >>> parse_guard("p99 <= 50 ms").numerator
    'CAST(took_us > 50000 AS DOUBLE)'
    """
    match = _BOUND.fullmatch(text)
    if match is None or match[1] not in GUARDED:
        return None
    name, least = match[1], match[2].startswith(">")
    number, unit = float(match[3].replace(",", "")), match[4] or ""
    numerator, denominator = GUARDED[name]
    if name in _SHARES:
        if least or not unit:
            return None
        try:
            longest = parse_duration(f"{number:g} {unit}").total_seconds() * 1e6
        except ValueError:
            return None
        return Guard(text, f"CAST(took_us > {longest:.0f} AS DOUBLE)", denominator, _SHARES[name], False)
    if unit not in ("", "%"):
        return None
    return Guard(text, numerator, denominator, number / 100 if unit else number, least)
