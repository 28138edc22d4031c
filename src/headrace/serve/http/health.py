"""GET /health/live and /health/ready, and /health for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from headrace.core.errors import Problem
from headrace.core.tokens import Role
from headrace.serve.desk.desk import Desk
from headrace.serve.http.endpoint import Call, Endpoint, Reply, json_reply
from headrace.serve.http.problems import details

LATE = 5.0
"""Seconds without a look at the ledger, after which a worker is not ready."""
Probe = Callable[[], str]
"""Says what is missing, in a sentence; empty: nothing."""


class Note(Protocol):
    """Says what is not as it should be; empty: nothing. whys: also why, which is for operators."""

    def __call__(self, *, whys: bool) -> str: ...


class Health:
    """Whether this process can take traffic: it can when no probe misses anything. What `notes` say is told
    beside it: a challenger that can't be loaded, say, while the champion answers.

    Who drains a process says so: it is not ready from then on, while it answers what still comes.
    """

    def __init__(self, probes: Sequence[Probe] = (), notes: Sequence[Note] = ()) -> None:
        self._probes = tuple(probes)
        self._notes = tuple(notes)
        self.draining = False

    def missing(self) -> list[str]:
        """What stands in the way; empty: nothing."""
        told = ["the process is being stopped"] if self.draining else []
        return told + [said for probe in self._probes if (said := probe())]

    def noted(self, *, whys: bool) -> list[str]:
        """What is not as it should be, and stands in nobody's way."""
        return [said for note in self._notes if (said := note(whys=whys))]


def late(seconds: float) -> str:
    """What a ledger that was last read too long ago stands in the way of: a rollback would go unnoticed."""
    return f"the ledger was last read {seconds:.0f} s ago" if seconds > LATE else ""


def health_endpoints(desk: Desk, health: Health) -> list[Endpoint]:
    """The endpoints."""

    def live(_: Call) -> Reply:
        return json_reply({"status": "ok"})

    def ready(call: Call) -> Reply:
        missing = health.missing()
        if missing:
            return details(503, [Problem(m) for m in missing], {"Retry-After": "1"})
        told = {"status": "ok", "releases": list(desk.live.scene.served)}
        # Who shows no token may be anybody, also where none is needed. The server's log has the reasons.
        known = bool(call.caller.name) and Role.OPERATOR in call.caller.roles
        return json_reply(told | ({"trouble": noted} if (noted := health.noted(whys=known)) else {}))

    def show(_: Call) -> Reply:
        return json_reply({"status": "ok", "release": desk.live.scene.champion})

    doc = {"answers": {"200": {"type": "object", "properties": {"status": {"type": "string"}}}}}
    return [
        Endpoint("GET", path, handler, about, role="", doc=doc)
        for path, handler, about in (
            ("/health", show, "whether this process answers, and with which release"),
            ("/health/live", live, "200 while the process answers"),
            ("/health/ready", ready, "200 while it can take traffic, else 503 and why"),
        )
    ]
