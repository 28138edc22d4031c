"""Health: how well the project is kept: lineage, reproducibility, gates, waivers, times, cadence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.tokens import Role
from headrace.engine.health import Health, Share
from headrace.web.page import Asked, Done, Page, Verb

if TYPE_CHECKING:
    from headrace.stores.audit import AuditReport


@dataclass(frozen=True)
class HealthPage:
    """The page. shares: a label, the share, and what it is of."""

    health: Health
    shares: tuple[tuple[str, Share, str], ...]


def model(asked: Asked) -> HealthPage:
    """The project's health."""
    h = asked.project.health()
    return HealthPage(
        h,
        (
            ("Lineage", h.lineage, "artifacts that are named, and still kept"),
            ("Rework", h.rework, "stages that worked twice under one key, and made the same"),
            ("Reproduced", h.reproduced, "runs that were done again, and agreed"),
            ("Gates that spoke", h.evaluators, "of all gates, in the newest run"),
        ),
    )


def audit(asked: Asked, form: Mapping[str, str]) -> Done:
    """Recompute every digest of the ledger, the artifacts and the log."""
    del form
    return Done(_told(asked.project.audit()), "health")


def _told(report: AuditReport) -> str:
    wrong = list(report.problems)
    if wrong:
        return f"The audit found {len(wrong)} faults, first: {wrong[0]}"
    return f"The audit found nothing wrong: {report.events:,} events and {report.artifacts:,} artifacts."


PAGE = Page(
    "health",
    "health",
    "Health",
    "lineage, reproducibility, gate pass rates, waivers, stage times, cadence, and the audit",
    model,
    "health.html",
    verbs={"audit": Verb(Role.OPERATOR, audit)},
)
