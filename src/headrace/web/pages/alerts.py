"""Alerts: what changed beyond the budget, why, and who sees to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from headrace.core.tokens import Role
from headrace.core.watching import AlertState, AlertView
from headrace.web.page import Asked, Done, Page, Verb, named

_STATES = ("active", "open", "acknowledged", "resolved", "all")


@dataclass(frozen=True)
class AlertsPage:
    """The page. chosen: the alert that is looked at (None: the list alone). drift: where its readings are
    shown over time, a path below the site's."""

    state: str
    states: tuple[str, ...]
    alerts: tuple[AlertView, ...]
    counts: Mapping[str, int]
    chosen: AlertView | None
    drift: str


def model(asked: Asked) -> AlertsPage:
    """Alerts in a state, the newest first; one of them in full."""
    every = asked.project.alerts()[::-1]
    state = asked.choice("state", _STATES, "active")
    name = asked.text("alert")
    chosen = next((a for a in every if a.alert == name), None)
    shown = [a for a in every if _is(a, state)]
    counts = {s: sum(_is(a, s) for a in every) for s in _STATES}
    return AlertsPage(state, _STATES, tuple(shown), counts, chosen, _drift(chosen) if chosen else "")


def _is(alert: AlertView, state: str) -> bool:
    if state == "active":
        return alert.state is not AlertState.RESOLVED
    return state == "all" or alert.state.value == state


def _drift(alert: AlertView) -> str:
    lead = alert.readings[0] if alert.readings else {}
    asked = {
        "release": alert.release,
        "arm": alert.arm,
        "family": str(lead.get("family", "")),
        "check": str(lead.get("check", "")),
        "of": str(lead.get("of", "")),
    }
    return "drift?" + urlencode({k: v for k, v in asked.items() if v})


def acknowledge(asked: Asked, form: Mapping[str, str]) -> Done:
    """Say that one sees to it."""
    name = named(form, "alert", "the alert")
    asked.project.acknowledge(name, reason=form.get("reason", "").strip(), by=asked.who.name or None)
    return Done("You see to it.", f"alerts?alert={quote(name, safe='')}")


def resolve(asked: Asked, form: Mapping[str, str]) -> Done:
    """Say that it is over, and why."""
    name = named(form, "alert", "the alert")
    asked.project.resolve(name, named(form, "reason", "the reason"), by=asked.who.name or None)
    return Done("The alert is over.", "alerts")


PAGE = Page(
    "alerts",
    "alerts",
    "Alerts",
    "what changed beyond the alert budget, why, and who sees to it",
    model,
    "alerts.html",
    verbs={
        "acknowledge": Verb(Role.OPERATOR, acknowledge),
        "resolve": Verb(Role.OPERATOR, resolve),
    },
)
