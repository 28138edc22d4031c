"""The whole application: the desk, and every protocol around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.core.clock import Clock, system_clock
from headrace.core.ports import Log, OnlineStore, Store
from headrace.logs.labels import LabelBook
from headrace.release.manifest import Manifest
from headrace.serve.desk.desk import Desk
from headrace.serve.desk.people import People
from headrace.serve.http.docs_page import docs_page
from headrace.serve.http.endpoint import Endpoint
from headrace.serve.http.facts import facts
from headrace.serve.http.guard import Guard
from headrace.serve.http.health import Health, health_endpoints
from headrace.serve.http.invocations import invocations
from headrace.serve.http.labels import labels
from headrace.serve.http.metrics import Metrics, desk_gauges, metrics_endpoints
from headrace.serve.http.native import index, native
from headrace.serve.http.openapi import openapi
from headrace.serve.http.reviews import reviews
from headrace.serve.http.shell import Shell
from headrace.serve.http.tracing import Tracing
from headrace.serve.http.v2 import v2
from headrace.serve.intakes import Intakes
from headrace.serve.live import Live, load
from headrace.serve.reviewing import Room


def make_app(
    store: Store,
    manifest: Manifest,
    release: str,
    online: OnlineStore | None = None,
    clock: Clock = system_clock,
    *,
    log: Log | None = None,
) -> Shell:
    """The application that answers with one release, whatever the ledger says.

    With `online` it takes facts, and looks up there what of the release was materialised; facts that another
    process took before are seen to first.
    """
    served = load(store, release, manifest, clock, online)
    live = Live.pinned(served)
    return assemble(live, Intakes(store, live), log)


def assemble(
    live: Live,
    intakes: Intakes,
    log: Log | None = None,
    metrics: Metrics | None = None,
    *,
    guard: Guard | None = None,
    health: Health | None = None,
    people: People | None = None,
    room: Room | None = None,
    book: LabelBook | None = None,
    tracing: Tracing | None = None,
    more: Sequence[Endpoint] = (),
    close: Callable[[], None] | None = None,
) -> Shell:
    """The application over what is live. people: whom the desk asks; room: where reviewers work (None: the
    server has no queue); book: what keeps labels (None: it takes none). more: further endpoints. close:
    called when the server has stopped; None: `live` is closed.

    Every error is a problem detail (RFC 9457) whose `errors` are `[{what, where, why, fix}, ...]`: 400 for
    what is no JSON, 422 for rows that don't fit (each field is named), 413 for too much, 404 and 405 for
    other paths and methods, 503 where neither a release nor a fallback could answer (each problem says why),
    500 for our own mistakes (what was raised goes to the server's log, not to the caller).
    """
    metrics = Metrics() if metrics is None else metrics
    if tracing is not None and log is not None:
        log = tracing.log(log)
    desk = Desk(live, log, people, seen=metrics.answered)
    champion = live.scene.served[live.scene.champion]
    for gauge in desk_gauges(desk):
        metrics.add(gauge)
    health = health or Health()
    there: Sequence[Endpoint] = [
        *native(desk),
        *health_endpoints(desk, health),
        *facts(intakes),
        *(() if room is None else reviews(room)),
        *(() if book is None else labels(book)),
        *v2(desk, health),
        *invocations(desk, health),
        *metrics_endpoints(desk, metrics, health),
        *docs_page(desk, lambda: there),
        openapi(desk, lambda: there),
        *more,
    ]
    shown: Sequence[Endpoint] = [*there, index(desk, lambda: there)]
    return Shell(
        shown if tracing is None else tracing.endpoints(shown),
        most=champion.manifest.plan.body,
        guard=guard,
        watch=metrics.request,
        close=close or live.close,
    )
