"""Which readings a window gets: the checks of every family, each asked once its facts are there.

A check is a function of `Facts`. `ARRIVED` are those that ask for answers alone, `LABELLED` those that wait
for labels. One more is one more line.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace.checks.live import cost as costs
from headrace.checks.live import health as healths
from headrace.checks.live import quality as qualities
from headrace.checks.live.health import Service
from headrace.core.errors import HeadraceError
from headrace.core.watching import Family, Reading
from headrace.watch.drifting import counted, together
from headrace.watch.facts import VOLUME_SHARE, Check, Facts
from headrace.watch.rows import MOST
from headrace.watch.windows import Side

_LOG = logging.getLogger("headrace.watch")


def quality(facts: Facts) -> Iterator[Reading]:
    """Schema, freshness and volume."""
    plan, of = facts.watched.plan, facts.tallied
    reference = facts.watched.reference
    bins = None if reference is None else reference.bins
    yield from qualities.schema(bins, of.counts, reference, of.traffic, plan.ignore)
    yield from qualities.freshness(of.traffic, plan.ignore)
    if facts.champion:
        yield qualities.volume(facts.volume, facts.past, facts.rate * VOLUME_SHARE)
        last = facts.newest or facts.window.start
        yield from qualities.silence(facts.window.end - last, plan.health.silent_us, of.window.rows)


def health(facts: Facts) -> Iterator[Reading]:
    """Latency, errors, fallbacks, uptime; of the champion's arm also what servers say: of all
    arms, as they do not tell which one a request was for."""
    bounds, traffic = facts.watched.plan.health, facts.tallied.traffic
    service = facts.service if facts.champion else Service()
    yield from healths.latency(traffic, bounds.p99_us)
    yield healths.errors(traffic, service, bounds.errors, facts.volume.rows)
    yield from healths.fallbacks(traffic, bounds.fallback)
    if facts.champion:
        yield from healths.uptime(traffic, facts.window.start, facts.window.end)
        yield from healths.served(service)
        yield from healths.gpu()


def cost(facts: Facts) -> Iterator[Reading]:
    """What 1,000 predictions cost; told of the champion's, as all arms share the machines."""
    span, traffic = facts.window.end - facts.window.start, facts.tallied.traffic
    if facts.champion:
        prices, workers = facts.watched.plan.prices, facts.service.workers
        yield costs.per_1000(prices, traffic.rows, traffic.reviews, span, workers, facts.volume.rows)


def estimated(facts: Facts) -> Iterable[Reading]:
    """The release's metric before labels are there."""
    return () if facts.thin else facts.judge().estimated(facts.rows(MOST), facts.usual_rate)


def _by_labels(family: Family) -> tuple[Family, Check]:
    def check(facts: Facts) -> Iterable[Reading]:
        return facts.judge().by_labels(family, facts.labelled, facts.window.rows, facts.usual_rate)

    return family, check


ARRIVED: Sequence[tuple[Family, Check]] = (
    (Family.QUALITY, quality),
    (Family.DRIFT, counted),
    (Family.MULTIVARIATE, together),
    (Family.HEALTH, health),
    (Family.COST, cost),
    (Family.ESTIMATED, estimated),
)
LABELLED: Sequence[tuple[Family, Check]] = tuple(
    _by_labels(f)
    for f in (
        Family.PERFORMANCE,
        Family.VALUE,
        Family.CALIBRATION,
        Family.SLICES,
        Family.FAIRNESS,
        Family.CONCEPT,
    )
)
Checks = Mapping[Side, Sequence[tuple[Family, Check]]]
CHECKS: Checks = {Side.ARRIVED: ARRIVED, Side.LABELLED: LABELLED}


def judge(facts: Facts, checks: Checks = CHECKS) -> tuple[Reading, ...]:
    """The readings of a window. A check that fails says so, and keeps no other from being made."""
    found: list[Reading] = []
    for family, check in checks[facts.side]:
        if family.value in facts.watched.plan.off and check is not counted:
            continue
        try:
            found += check(facts)
        except HeadraceError as error:
            found.append(Reading(family, family.value, why_none=f"it failed: {error.problems[0].what}"))
        except Exception as error:  # noqa: BLE001  the watch tick: one check must not keep all from being seen
            _LOG.exception("the check %s of window %s failed", family.value, facts.window.name)
            told = f"{type(error).__name__}: {error}"
            found.append(Reading(family, family.value, why_none=f"it failed, by our fault: {told}"))
    return tuple(r for r in found if r.family.value not in facts.watched.plan.off)
