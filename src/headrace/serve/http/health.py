"""GET /health/live and /health/ready, and /health for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.core.errors import Problem
from headrace.serve.desk.desk import Desk
from headrace.serve.http.endpoint import Call, Endpoint, Reply, json_reply
from headrace.serve.http.problems import details

Probe = Callable[[], str]
"""Says what is missing, in a sentence; empty: nothing."""


class Health:
    """Whether this process can take traffic: it can when no probe misses anything.

    Who drains a process says so: it is not ready from then on, while it answers what still comes.
    """

    def __init__(self, probes: Sequence[Probe] = ()) -> None:
        self._probes = list(probes)
        self.draining = False

    def add(self, probe: Probe) -> None:
        """Another condition."""
        self._probes.append(probe)

    def missing(self) -> list[str]:
        """What stands in the way; empty: nothing."""
        told = ["the process is being stopped"] if self.draining else []
        return told + [said for probe in self._probes if (said := probe())]


def health_endpoints(desk: Desk, health: Health) -> list[Endpoint]:
    """The endpoints."""

    def live(_: Call) -> Reply:
        return json_reply({"status": "ok"})

    def ready(_: Call) -> Reply:
        missing = health.missing()
        if missing:
            return details(503, [Problem(m) for m in missing], {"Retry-After": "1"})
        return json_reply({"status": "ok", "releases": list(desk.live.scene.served)})

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
