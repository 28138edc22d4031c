"""GET /metrics: what happened, in Prometheus' text format, added up over the workers of a server.

Our own counters, for what they cost: a request of one row is counted in 1.1 µs (`Tally`), where those of
prometheus_client for many processes take 11. Names and units follow
https://prometheus.io/docs/practices/naming/; the format is version 0.0.4 of the text exposition format.
"""

from __future__ import annotations

import asyncio
import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from headrace._version import __version__
from headrace.core.answered import MODEL, Answered
from headrace.serve.desk.desk import Desk
from headrace.serve.http.endpoint import Call, Endpoint, Reply
from headrace.serve.http.health import Health
from headrace.serve.http.tally import Key, Tally, add, totals

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds: the upper ends of the histogram's buckets."""
_EVERY = 1.0
_MICRO = 1e-6

_REQUESTS = "headrace_requests_total"
_SECONDS = "headrace_request_duration_seconds"
_ANSWERS = "headrace_answers_total"
_FLAGS = "headrace_flags_total"
_REVIEWS = "headrace_reviews_total"
_COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    _REQUESTS: ("Requests, by the endpoint's path and the status they got.", ("path", "method", "status")),
    _ANSWERS: ("Rows answered, by what answered them.", ("route", "release", "arm", "by")),
    _FLAGS: ("What was odd about the inputs of answered rows.", ("release", "flag")),
    _REVIEWS: ("Answers that a person is to look at.", ("route", "release")),
}


@dataclass(frozen=True)
class Gauge:
    """A number of the moment. of: asked every second in every worker, a whole number; unit: what one of it
    is; most: the greatest of the workers is told, else their sum."""

    name: str
    about: str
    of: Callable[[], int]
    unit: float = 1.0
    most: bool = False


@dataclass
class Metrics:
    """The counters of this process. folder: shared with the other workers of the server (None: alone).

    Counted on the event loop's thread alone.
    """

    folder: Path | None = None
    gauges: Sequence[Gauge] = ()
    _tally: Tally = field(init=False)
    _requests: dict[tuple[str, str, int], tuple[int, int]] = field(default_factory=dict)
    _answers: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    _sampling: asyncio.AbstractEventLoop | None = None

    def __post_init__(self) -> None:
        self._tally = Tally(self.folder)
        self._asked: list[tuple[Gauge, int]] = []
        for gauge in (*self.gauges, _WORKERS, _RESIDENT):
            self.add(gauge)

    def add(self, gauge: Gauge) -> None:
        """Another gauge."""
        spot = self._tally.slot((gauge.name,))
        self._asked.append((gauge, spot))
        self._tally.numbers[spot] = gauge.of()

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count a request. path: the endpoint's, with its `{names}`; empty: it came to none."""
        spots = self._requests.get((path, method, status))
        if spots is None:
            spots = self._spots_of(path, method, status)
        numbers, at = self._tally.numbers, spots[1]
        numbers[spots[0]] += 1
        if not path:
            return
        numbers[at + bisect_left(BOUNDS, seconds)] += 1
        numbers[at + len(BOUNDS) + 1] += int(seconds * 1e6)

    def answered(self, entries: Iterable[Answered]) -> None:
        """Count answered rows, shadows not among them."""
        numbers, tally = self._tally.numbers, self._tally
        last: tuple[str, str, str, str] | None = None
        at = 0
        for e in entries:
            if e.of:
                continue
            key = e.route, e.release, e.arm, e.by
            if key != last:
                last, at = key, self._spot_of(key)
            numbers[at] += 1
            for flag in e.flags:
                # Names of unknown fields are the callers', and without end.
                told = "unknown" if flag.startswith("unknown: ") else flag
                numbers[tally.slot((_FLAGS, e.release, told))] += 1
            if e.review:
                numbers[tally.slot((_REVIEWS, e.route, e.release))] += 1

    def text(self, more: Iterable[str] = ()) -> str:
        """Everything, as text. more: further lines."""
        names = [g.name for g, _ in self._asked]
        if self.folder is None:
            counted = self._tally.own()
            now = {n: counted.pop((n,)) for n in names}
        else:
            counted, now = totals(self.folder, names)
            if not self._tally.shared:
                own = self._tally.own()
                now = {n: [*now[n], *own.pop((n,))] for n in names}
                add(counted, own)
        lines: list[str] = []
        for name, (about, labels) in _COUNTERS.items():
            lines += [f"# HELP {name} {about}", f"# TYPE {name} counter"]
            lines += [f"{name}{_labels(labels, k[1:])} {v[0]}" for k, v in _of(counted, name)]
        lines += [
            f"# HELP {_SECONDS} From a request's first byte to its answer.",
            f"# TYPE {_SECONDS} histogram",
        ]
        for key, numbers in _of(counted, _SECONDS):
            lines += _histogram(key[1], numbers)
        for gauge, _ in self._asked:
            told = now[gauge.name]
            value = (max(told, default=0) if gauge.most else sum(told)) * gauge.unit
            lines += [
                f"# HELP {gauge.name} {gauge.about}",
                f"# TYPE {gauge.name} gauge",
                f"{gauge.name} {value:g}",
            ]
        return "\n".join([*lines, *more, ""])

    def close(self) -> None:
        """Let go of the file."""
        self._sampling = None
        self._tally.close()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask the gauges every second from now on."""
        if self._sampling is None:
            self._sampling = loop
            self._again()

    def _again(self) -> None:
        if self._sampling is None:
            return
        with suppress(OSError):
            self._tally.share()
        for gauge, spot in self._asked:
            self._tally.numbers[spot] = gauge.of()
        self._sampling.call_later(_EVERY, self._again)

    def _spot_of(self, key: tuple[str, str, str, str]) -> int:
        route, release, arm, by = key
        key = route, release, arm, by if by == MODEL else _by(by)
        at = self._answers.get(key)
        if at is None:
            at = self._answers[key] = self._tally.slot((_ANSWERS, *key))
        return at

    def _spots_of(self, path: str, method: str, status: int) -> tuple[int, int]:
        counter = self._tally.slot((_REQUESTS, path, method, str(status)))
        histogram = self._tally.slot((_SECONDS, path), len(BOUNDS) + 2)
        self._requests[path, method, status] = counter, histogram
        return counter, histogram


def desk_gauges(desk: Desk) -> list[Gauge]:
    """What went wrong at this worker's desk since it began, and what its shadows did."""
    counts = desk.counts
    return [
        Gauge("headrace_rows_unanswered", "Rows for which nothing was left.", lambda: counts.unanswered),
        Gauge("headrace_shadow_rows", "Rows that shadows answered.", lambda: counts.shadows),
        Gauge(
            "headrace_shadow_rows_dropped",
            "Rows that no shadow answered: it failed, or too many waited.",
            lambda: counts.shadows_dropped,
        ),
        Gauge(
            "headrace_release_failures",
            "How often a release failed or took too long.",
            lambda: sum(counts.failures.values()),
        ),
    ]


def metrics_endpoints(desk: Desk, metrics: Metrics, health: Health) -> list[Endpoint]:
    """The endpoint."""

    async def show(_: Call) -> Reply:
        metrics.start(asyncio.get_running_loop())
        more = _info(desk, health)
        text = await asyncio.to_thread(metrics.text, more)
        return Reply(text.encode(), media=TEXT)

    doc = {"answers": {"200": {"text/plain": {"type": "string"}}}}
    about = "what happened, for Prometheus, of all workers"
    return [Endpoint("GET", "/metrics", show, about, role="viewer", doc=doc)]


def _info(desk: Desk, health: Health) -> list[str]:
    """What is live, and whether this worker can take traffic."""
    scene = desk.live.scene
    project = scene.served[scene.champion].manifest.project
    lines = [
        "# HELP headrace_build_info The version of headrace.",
        "# TYPE headrace_build_info gauge",
        f"headrace_build_info{_labels(('version', 'project'), (__version__, project))} 1",
        "# HELP headrace_release_share The share of a route's units that a release answers.",
        "# TYPE headrace_release_share gauge",
    ]
    for name, route in scene.routes.items():
        shares = [(a.release, a.role.value, a.share) for a in route.arms]
        taken = sum(a.share for a in route.arms if a.role.value != "shadow")
        for release, role, share in [(scene.champion, "champion", 1 - taken), *shares]:
            labels = _labels(("route", "release", "role"), (name, release, role))
            lines.append(f"headrace_release_share{labels} {share:g}")
    lines += [
        "# HELP headrace_ready Whether the worker that was asked can take traffic.",
        "# TYPE headrace_ready gauge",
        f"headrace_ready {0 if health.missing() else 1}",
    ]
    return lines


def _by(text: str) -> str:
    """What answered, without the reason: reasons differ without end."""
    return text.rpartition(" (")[0] or text if text.startswith("fallback: ") else text


def _of(counted: Mapping[Key, list[int]], name: str) -> list[tuple[Key, list[int]]]:
    return sorted((k, v) for k, v in counted.items() if k[0] == name)


def _histogram(path: str, numbers: Sequence[int]) -> list[str]:
    lines, below = [], 0
    for bound, count in zip((*(f"{b:g}" for b in BOUNDS), "+Inf"), numbers, strict=False):
        below += count
        lines.append(f"{_SECONDS}_bucket{_labels(('path', 'le'), (path, bound))} {below}")
    labels = _labels(("path",), (path,))
    return [*lines, f"{_SECONDS}_sum{labels} {numbers[-1] * _MICRO:.6f}", f"{_SECONDS}_count{labels} {below}"]


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    told = ",".join(f'{n}="{_escaped(v)}"' for n, v in zip(names, values, strict=True))
    return f"{{{told}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _resident() -> int:
    """Bytes of memory that this process holds; 0 where the system has no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return 0
    return pages * mmap.PAGESIZE


_WORKERS = Gauge("headrace_workers", "Processes that answer.", lambda: 1)
_RESIDENT = Gauge("headrace_resident_memory_bytes", "Memory that the workers hold.", _resident)
