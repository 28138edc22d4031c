"""Guardrails: what may not be worse about a canary, as the spec writes it, and as it was judged."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.core.clock import parse_duration
from headrace.core.errors import UserError, did_you_mean
from headrace.core.evidence import Outcome

SHARES = ("error_share", "fallback_share")
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
VALUE, DRIFT = "value", "score_drift"
NAMES = (*SHARES, *QUANTILES, VALUE, DRIFT)

_NUMBER = r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+"
_RELATIVE = re.compile(rf"\s*([a-z]\w*)\s*(<=|<|>=|>)\s*(?:({_NUMBER})\s*\*\s*)?champion\s*")
_ABSOLUTE = re.compile(rf"\s*([a-z]\w*)\s*(<=|<|>=|>)\s*({_NUMBER})\s*(%|[a-z]+)?\s*")


@dataclass(frozen=True)
class Guardrail:
    """What may not be worse. bound: a share, microseconds, or worth; with `relative` how many times the
    champion's."""

    text: str
    name: str
    bound: float
    relative: bool = False


@dataclass(frozen=True)
class Judged:
    """A guardrail, measured: pass; fail: it is broken beyond noise; unknown: too little was seen, or it looks
    broken and that may be chance; not applicable: the champion does nothing to compare with. value: in the
    newest rows since the share was set; champion: the champion's; bound: what value is held to, in its unit.
    rows: of the canary since then. evidence: from 1 on it is broken; that much is reached by chance in one
    ramp of a hundred, all guardrails together."""

    guardrail: str
    outcome: Outcome
    value: float | None
    bound: float | None
    champion: float | None
    rows: int
    evidence: float
    reason: str


def parse_guardrail(text: str) -> Guardrail:
    """Read `error_share <= 1%`, `p99 <= 50 ms`, `p99 <= 2 * champion`, `value >= 0.9 * champion`.

    Raises:
        UserError: it is no guardrail, or can't be one.

    >>> parse_guardrail("p99 <= 2 * champion")
    Guardrail(text='p99 <= 2 * champion', name='p99', bound=2.0, relative=True)
    """
    relative, absolute = _RELATIVE.fullmatch(text), _ABSOLUTE.fullmatch(text)
    found = relative or absolute
    if found is None:
        raise UserError(
            f"{text!r} is no guardrail",
            fix="write a name, a comparison and a bound: 'error_share <= 1%', 'p99 <= 2 * champion'",
        )
    name, op = found[1], found[2]
    if name not in NAMES:
        raise UserError(f"there is no guardrail {name!r}", fix=did_you_mean(name, NAMES))
    if (op[0] == ">") != (name == VALUE):
        right = ">=" if name == VALUE else "<="
        raise UserError(f"{text!r} bounds {name} from the wrong side", fix=f"write {name} {right} …")
    number = float((found[3] or "1").replace(",", ""))
    if relative is not None:
        return Guardrail(text, name, _times(name, number, text), relative=True)
    return Guardrail(text, name, _bound(name, number, found[4] or "", text))


def _times(name: str, number: float, text: str) -> float:
    if name == DRIFT:
        what = f"{text!r}: drift is measured against the champion already"
        raise UserError(what, fix="write score_drift <= 0.3")
    if number <= 0:
        what = f"{text!r}: the champion's can be multiplied by more than 0 alone"
        raise UserError(what, fix=f"write {name} {'>= 0.9' if name == VALUE else '<= 2'} * champion")
    return number


def _bound(name: str, number: float, unit: str, text: str) -> float:
    if name in QUANTILES:
        try:
            span = parse_duration(f"{number:.12g} {unit}").total_seconds()
        except ValueError:
            raise UserError(f"{text!r} needs a time", fix=f"write {name} <= 50 ms") from None
        return span * 1e6
    if unit not in ("", "%") or (unit and name == VALUE):
        raise UserError(f"{unit!r} in {text!r} is no unit of {name}", fix="leave it out")
    bound = number / 100 if unit else number
    if name != VALUE and not 0 <= bound < 1:
        raise UserError(f"{text!r}: a share lies between 0 and 1", fix=f"write {name} <= 1%")
    return bound
