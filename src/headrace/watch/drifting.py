"""Checks by the alert budget that ask for answers alone: drift and quality of columns, and of all together.

Thresholds belong to a release and a size of windows. They are drawn when the first window of about that size
is judged, and kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from headrace.checks.drift.budget import Thresholds, split, thresholds
from headrace.checks.drift.domain import MOST_ROWS, DomainThresholds, domain_reading, domain_thresholds
from headrace.checks.drift.layout import COUNTED
from headrace.checks.drift.readings import readings
from headrace.checks.drift.resample import Size
from headrace.core.codec import from_json, to_json
from headrace.core.watching import Family, Reading
from headrace.watch.facts import Facts

_FORMAT = 1
_STEP = 1.25
"""Windows whose rows differ by less than this factor have thresholds of one size."""


def counted(facts: Facts) -> Iterator[Reading]:
    """Drift of columns and predictions, and shares of null, wrong, far and new values, judged jointly."""
    families = [f for f in COUNTED if f.value not in facts.watched.plan.off]
    reference, counts, rows = facts.watched.reference, facts.tallied.counts, facts.watched.rows
    why = _why_not(facts)
    if why or reference is None or counts is None or rows is None:
        yield from (Reading(f, "columns", n=facts.window.rows, why_none=why) for f in families)
        return
    size, ignore = size_of(facts), facts.watched.plan.ignore
    rate = sum(share_of(facts, f) for f in families)

    def make() -> bytes:
        return to_json(thresholds(reference.bins, rows, size, rate, families=families, ignore=ignore))

    found = from_json(facts.kept(_name("columns", facts, size, rate), make), Thresholds)
    yield from readings(reference.bins, found, reference.made().codes, counts.codes)


def together(facts: Facts) -> Iterator[Reading]:
    """Drift of all columns together, by a classifier that tells rows of the window from the reference's."""
    reference, rows = facts.watched.reference, facts.watched.rows
    why = _why_not(facts)
    if why or reference is None or rows is None:
        yield Reading(Family.MULTIVARIATE, "domain", n=facts.window.rows, why_none=why)
        return
    size, ignore = size_of(facts), tuple(facts.watched.plan.ignore)
    rate = share_of(facts, Family.MULTIVARIATE)

    def make() -> bytes:
        return to_json(domain_thresholds(reference.bins, rows, size, rate, ignore=ignore))

    found = from_json(facts.kept(_name("domain", facts, size, rate), make), DomainThresholds)
    yield domain_reading(reference.bins, found, rows, facts.rows(MOST_ROWS).codes)


def _why_not(facts: Facts) -> str:
    if facts.watched.reference is None or facts.watched.rows is None or facts.tallied.counts is None:
        return "the release has no reference: it was made before there was one"
    if facts.thin:
        return f"{facts.window.rows} answers are too few to judge what is in them"
    return ""


def share_of(facts: Facts, family: Family) -> float:
    """What a family may spend of the false alarms that a window of this size may have."""
    on = [f for f in Family if f in facts.watched.families]
    return split(facts.usual_rate, on).get(family, 0.0)


def size_of(facts: Facts) -> Size:
    """How large the window is, rounded: windows of about one size have the same thresholds."""
    rows = round(_STEP ** round(math.log(max(facts.window.rows, 1)) / math.log(_STEP)))
    return Size(rows, facts.usual_span)


def _name(kind: str, facts: Facts, size: Size, rate: float) -> str:
    plan = facts.watched.plan
    told = [kind, str(_FORMAT), plan.rows, size.rows, size.span, f"{rate:.6g}", *plan.off, "", *plan.ignore]
    return " ".join(map(str, told))
