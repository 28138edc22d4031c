"""Is machine learning needed here? What a run advises, and why, with its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.core.evidence import Interval, Outcome, Verdict
from headrace.core.spec import Spec
from headrace.engine.measures import rule_metric

NO_GO = "no-go"


@dataclass(frozen=True)
class Advice:
    """What to do with what a run found.

    verdict: "ship"; "no-go" (don't ship: keep what there is today); "not yet" (a gate blocks); or
    "undecided" (the run stopped before it could be known). needed: whether a model is needed beside
    today's solution: "yes", "no", "unknown" (it could not be measured), "not asked" (none is declared).
    gain and interval: of the best candidate over today's solution, in `unit`.
    """

    verdict: str
    text: str
    needed: str
    model: str = ""
    gain: float | None = None
    interval: Interval | None = None
    unit: str = ""
    n: int = 0


_NEEDED = {
    Outcome.PASS: "yes",
    Outcome.FAIL: "no",
    Outcome.UNKNOWN: "unknown",
    Outcome.NOT_APPLICABLE: "not asked",
}


def keeps_today(verdicts: Sequence[Verdict]) -> bool:
    """Whether today's solution was measured to be as good, within noise, and nobody waived that."""
    judged = _judged(verdicts, "beats-today")
    return judged is not None and judged.outcome == Outcome.FAIL and not judged.allows


def advise(spec: Spec, status: str, verdicts: Sequence[Verdict], learned: Mapping[str, Any]) -> Advice | None:
    """What a run with these verdicts advises; None where it ended before candidates were compared.

    learned: the facts of the learn stage.
    """
    judged = _judged(verdicts, "beats-today")
    if judged is None or not learned:
        return None
    model, evidence = str(learned.get("model", "")), judged.evidence
    verdict, lead = _lead(spec, status, verdicts)
    parts = [lead, _compared(spec, model, judged), _money(learned, model, evidence.unit)]
    return Advice(
        verdict=verdict,
        text=" ".join(p for p in parts if p),
        needed=_NEEDED[judged.outcome],
        model=model,
        gain=evidence.value,
        interval=evidence.interval,
        unit=evidence.unit,
        n=evidence.n,
    )


def _judged(verdicts: Sequence[Verdict], gate: str) -> Verdict | None:
    return next((v for v in verdicts if v.gate == gate), None)


def _lead(spec: Spec, status: str, verdicts: Sequence[Verdict]) -> tuple[str, str]:
    if keeps_today(verdicts):
        return NO_GO, f"Don't ship: keep {_today(spec)}."
    blocking = [v.gate for v in verdicts if not v.allows]
    if blocking:
        return "not yet", f"Don't ship yet: {', '.join(blocking)} must pass first."
    if status in ("released", "awaiting approval"):
        return "ship", "Ship."
    return "undecided", "The run ended before its last gate."


def _today(spec: Spec) -> str:
    today = spec.problem.today
    if today is None:
        return "what there is today"
    if today.rule is not None:
        return f"today's rule ({today.rule})"
    return "today's solution" + (f" ({today.source})" if today.source else "")


def _compared(spec: Spec, model: str, judged: Verdict) -> str:
    """The best candidate and today's solution, in figures."""
    evidence = judged.evidence
    if judged.outcome == Outcome.NOT_APPLICABLE:
        return "Whether a model is needed was not asked: no solution of today is declared (problem.today)."
    if evidence.value is None or evidence.interval is None:
        return f"Whether {model} is better than {_today(spec)} is unknown: {judged.reason}."
    low, high = evidence.interval.low, evidence.interval.high
    metric = evidence.unit.removesuffix(" better")
    figures = f"{metric} {evidence.value:+.4g} [{low:.4g}, {high:.4g}], above 0 is better ({evidence.where})"
    figures += _unfair(spec)
    if judged.outcome == Outcome.PASS:
        return f"{model} is better than {_today(spec)} beyond noise: {figures}."
    told = "worse" if high < 0 else "not better beyond noise"
    waived = f" Waived by {judged.waiver.by}: {judged.waiver.reason}." if judged.waiver else ""
    return f"{model} is {told}: {figures}.{waived}"


def _unfair(spec: Spec) -> str:
    """A rule decides and ranks nothing; a metric of scores is no level field for it."""
    today = spec.problem.today
    if today is None or today.rule is None or rule_metric(spec).needs != "score":
        return ""
    metric = spec.problem.metric
    return f"; {metric} ranks rows, which a rule can't: declare problem.value to compare decisions"


def _money(learned: Mapping[str, Any], model: str, compared: str) -> str:
    """The gain in the user's unit, where outcomes have a worth."""
    line: Mapping[str, Any] = next((m for m in learned.get("leaderboard", ()) if m["model"] == model), {})
    gains = (line.get("worth") or {}).get("gains", {})
    rival = next((n for n in ("today", "nothing") if n in gains), None)
    if rival is None:
        return ""
    if rival == "today" and compared.startswith("value "):
        return ""  # that is the comparison itself
    gain, unit = gains[rival], line["worth"]["unit"]
    ends = gain["interval"]
    span = f" [{ends['low']:.4g}, {ends['high']:.4g}]" if ends else ""
    over = "today's rule" if rival == "today" else "doing nothing"
    return f"Against {over} that is {gain['gain']:+.4g}{span} {unit}."
