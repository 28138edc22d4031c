"""What a serving process answers with: the store, what is live, the log and the tokens, wired together.

Does not go through `Project`, which knows of specs and training: a serving process has no use for them, and
needs a quarter of a second less to start.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headrace.cli.upkeep import EVERY_LOOK, Companion, Upkeep, compaction, watching
from headrace.core.clock import Clock, system_clock
from headrace.core.codec import from_json
from headrace.core.errors import NotFound, StoreError, UserError, did_you_mean
from headrace.core.places import LOG, ONLINE, REVIEWS, STORE_DIR
from headrace.core.ports import Log, OnlineStore, Store
from headrace.core.tokens import TOKEN_KINDS
from headrace.core.views import RELEASE_KINDS, releases
from headrace.logs.labels import LabelBook
from headrace.logs.writer import LogWriter
from headrace.release.feeds import ready
from headrace.release.manifest import Manifest, Serving
from headrace.release.plan import LogPlan
from headrace.serve.answer import Answerer
from headrace.serve.desk.people import Reviewers
from headrace.serve.guard import Guardian, Source, Verbs
from headrace.serve.guarded import Tally
from headrace.serve.http.app import assemble
from headrace.serve.http.guard import Guard
from headrace.serve.http.health import Health, late
from headrace.serve.http.limits import Limits
from headrace.serve.http.metrics import Gauge, Metrics
from headrace.serve.http.tracing import tracing_of
from headrace.serve.http.wire import Wire
from headrace.serve.intakes import Intakes
from headrace.serve.labelled import as_logged, as_truth
from headrace.serve.live import Following, Live, Make, Served, load, loader
from headrace.serve.reviewing import Room, Settler
from headrace.serve.worker import Application
from headrace.stores.embedded import EmbeddedStore
from headrace.stores.online import SqliteOnlineStore
from headrace.stores.reviews import SqliteReviews
from headrace.web.mount import site_of

_LOG = logging.getLogger("headrace.serve")

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Wanted:
    """What `headrace serve` was asked for. release: one for good (empty: as the ledger says). online: None:
    where it is filled. log: durable, buffered or off (empty: as the champion's plan says). anybody: no token
    is asked for. place: this worker's, of `workers`. shared: the folder that they share (empty: none). watch:
    whether traffic is watched by a process beside."""

    root: Path
    release: str = ""
    online: bool | None = None
    log: str = ""
    host: str = "127.0.0.1"
    anybody: bool = False
    workers: int = 1
    place: int = 0
    shared: str = ""
    watch: bool = True


def make(wanted: Wanted, loop: asyncio.AbstractEventLoop, clock: Clock = system_clock) -> Application:
    """Everything, loaded and warm.

    Raises:
        NotFound: there is no champion, or no such release.
        UserError: callers beyond this machine would need no token; or the online store is wanted and holds no
            table of the release.
        StoreError: the log can't be written.
    """
    folder = wanted.root / STORE_DIR
    store = EmbeddedStore(folder)
    tokens = any(True for _ in store.read(kinds=TOKEN_KINDS))
    if not (tokens or wanted.anybody or wanted.host in LOOPBACK):
        raise UserError(
            f"anybody who reaches {wanted.host} could ask this server",
            fix="make a token (`headrace token create`), or say --open",
        )
    online = None if wanted.online is False else SqliteOnlineStore(folder / ONLINE)
    tracing = tracing_of(os.environ)
    live = _live(store, wanted, clock, online, Answerer if tracing is None else tracing.answerer)
    closing: list[Callable[[], None]] = [live.close]
    champion = live.scene.served[live.scene.champion]
    if wanted.online and champion.online is None:
        raise UserError(
            f"the online store holds no table of the release {champion.release}",
            where=str(folder / ONLINE),
            fix=f"fill it: headrace materialize --release {champion.release}",
        )
    plan = champion.manifest.plan
    log = _log(folder / LOG, wanted, plan.log, loop, clock)
    closing.append(log.close)
    if wanted.place == 0 and isinstance(log, LogWriter):
        closing.append(Upkeep(compaction(wanted.root)).close)
        if wanted.watch:
            closing.append(Companion(watching(wanted.root), "watching", EVERY_LOOK).close)
    if not wanted.release:
        closing.append(_watching(store, wanted, log, clock).close)
    guard = Guard(store, clock, anybody=wanted.anybody, workers=wanted.workers)
    closing.append(guard.close)
    pages = site_of(wanted.root, store, guard, host=wanted.host, clock=clock)
    closing.append(pages.close)
    health = Health(
        [
            lambda: late(max(live.behind, guard.behind)),
            lambda: log.state.trouble if isinstance(log, LogWriter) else "",
        ],
        notes=[live.told],
    )
    metrics = Metrics(Path(wanted.shared) if wanted.shared else None, _gauges(live, log))
    metrics.start(loop)
    if tracing is not None:
        closing.append(tracing.close)
    people, room = _people(store, wanted, live, clock, closing)
    shell = assemble(
        live,
        Intakes(store, live),
        log,
        guard=guard,
        metrics=metrics,
        health=health,
        people=people,
        room=room,
        book=_book(folder / LOG, live, clock),
        tracing=tracing,
        more=pages.endpoints(),
        close=lambda: _each(closing),
    )
    limits = Limits(waiting=plan.queue, bytes=max(4 * plan.body, Limits.bytes))
    return Application(shell, limits, partial(setattr, health, "draining", True), partial(_watched, metrics))


def _gauges(live: Live, log: Log) -> list[Gauge]:
    """How things stand in this worker."""
    age = Gauge(
        "headrace_following_age_seconds",
        "How long ago the ledger was last read.",
        lambda: int(live.behind * 1e6),
        unit=1e-6,
        most=True,
    )
    if not isinstance(log, LogWriter):
        return [age]
    return [
        age,
        Gauge("headrace_log_waiting", "Answers that wait to be logged.", lambda: log.state.waiting),
        Gauge("headrace_log_refusing", "Workers whose log takes nothing.", lambda: bool(log.state.trouble)),
    ]


def _watched(metrics: Metrics, wire: Wire) -> None:
    """Show how much waits in the connections of this worker."""
    metrics.add(Gauge("headrace_requests_waiting", "Requests being answered.", lambda: wire.waiting))
    metrics.add(Gauge("headrace_bytes_waiting", "Bytes of their bodies.", lambda: wire.bytes))
    metrics.add(Gauge("headrace_connections", "Open connections.", lambda: len(wire.connections)))


def _book(folder: Path, live: Live, clock: Clock) -> LabelBook:
    """Where labels go that are sent here: as whichever release is champion then has inputs and truths."""

    def serving() -> Serving:
        scene = live.scene
        return scene.served[scene.champion].manifest.serving

    return LabelBook(
        folder,
        clock=clock,
        treat=lambda inputs: as_logged(serving())(inputs),
        fit=lambda value: as_truth(serving().task)(value),
    )


def _people(
    store: Store, wanted: Wanted, live: Live, clock: Clock, closing: list[Callable[[], None]]
) -> tuple[Reviewers, Room]:
    """Whom the desk asks, and where they work; one worker writes in the ledger what they settled."""
    folder = wanted.root / STORE_DIR
    queue = SqliteReviews(folder / REVIEWS)
    holder = f"{wanted.place}-{os.getpid()}"
    people = Reviewers(store, queue, holder=holder, loaded=lambda: live.scene.served)
    book = LabelBook(folder / LOG, clock=clock)
    desk = SqliteReviews(folder / REVIEWS)
    room = Room(desk, lambda rows: book.take(list(rows), reviewed=True), clock)
    closing.append(people.close)
    if wanted.place == 0:
        closing.append(Settler(room, store).close)
    return people, room


def _watching(store: Store, wanted: Wanted, log: Log, clock: Clock) -> Guardian:
    """What watches the canaries of the routes: in one of all processes at a time."""
    folder = wanted.root / STORE_DIR

    def source(start: int) -> Source:
        from headrace.logs.tail import Tail

        return log if isinstance(log, Tally) else Tail(folder / LOG, start=start)

    def verbs() -> Verbs:
        from headrace.project import Project

        return Project(wanted.root, store=store, clock=clock).route_verbs()

    return Guardian(store, folder, source, verbs, clock).start()


def _live(store: Store, wanted: Wanted, clock: Clock, online: OnlineStore | None, make: Make) -> Live:
    if not wanted.release:
        return Following(store, loader(store, clock, online, make=make))
    found = releases(store.read(kinds=RELEASE_KINDS)).releases
    if wanted.release not in found:
        raise NotFound(
            f"there is no release {wanted.release!r}", fix=did_you_mean(wanted.release, list(found))
        )
    manifest = from_json(store.get(found[wanted.release].manifest).read_bytes(), Manifest)
    held = online if online is not None and ready(online, manifest.serving) else None
    served: Served = load(store, wanted.release, manifest, clock, held, make=make)
    return Live.pinned(served)


def _log(folder: Path, wanted: Wanted, plan: LogPlan, loop: asyncio.AbstractEventLoop, clock: Clock) -> Log:
    mode = wanted.log or plan.mode
    if mode == "off":
        return Tally()  # nothing is kept, and guardrails hold
    return LogWriter(
        folder,
        worker=f"{wanted.place}-{os.getpid()}",
        mode="durable" if mode == "durable" else "buffered",
        window_us=plan.window_us,
        full="wait" if plan.full == "wait" else "shed",
        clock=clock,
        relay=loop.call_soon_threadsafe,
        told=_say,
    )


def _say(trouble: StoreError | None) -> None:
    """Write down that the log takes nothing, and why: callers are told the first alone."""
    if trouble is None:
        _LOG.warning("the prediction log goes on")
    else:
        _LOG.warning("the prediction log takes nothing now: %s", trouble)


def _each(closing: list[Callable[[], None]]) -> None:
    """All of them, whatever one raises; the first error is told."""
    errors: list[Exception] = []
    for close in closing:
        try:
            close()
        except Exception as error:  # noqa: BLE001  the others are to be closed too
            errors.append(error)
    if errors:
        raise errors[0]
