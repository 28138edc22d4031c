"""How the service fared in a window: latency, errors, fallbacks, uptime, and what its processes count of
themselves. Bounds are declared; they spend nothing of the alert budget."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from headrace.core.answered import INSTEAD
from headrace.core.watching import Family, Reading
from headrace.summary.traffic import BEAT, Traffic

ENOUGH = 100
"""Answers without which nothing is said of the slowest in a hundred."""
SEVERAL = 3
"""So many failures at least are told, whatever share they are."""
REFUSED = 0.05
"""Share of requests refused for what was in them, from which on callers and release have parted."""
BUSY = 0.01
"""Share of requests refused because too many waited, from which on the service is too small."""
_FAR = 5.0
_QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


@dataclass(frozen=True)
class Service:
    """What the server's processes counted of themselves in a span. statuses: requests by status. workers,
    waiting, memory: the most that were seen at once: processes, requests under way, bytes. looks: how often
    anybody looked (0: nothing is known)."""

    statuses: Mapping[str, float] = field(default_factory=dict)
    workers: int = 0
    waiting: int = 0
    memory: int = 0
    looks: int = 0

    def __add__(self, other: Service) -> Service:
        """Both together."""
        statuses = dict(self.statuses)
        for status, count in other.statuses.items():
            statuses[status] = statuses.get(status, 0.0) + count
        return Service(
            statuses,
            max(self.workers, other.workers),
            max(self.waiting, other.waiting),
            max(self.memory, other.memory),
            self.looks + other.looks,
        )

    @property
    def requests(self) -> float:
        """All of them."""
        return sum(self.statuses.values())

    def share(self, *statuses: str) -> float:
        """Of the requests, those with these statuses, or classes of them (`5`)."""
        some = sum(n for s, n in self.statuses.items() if s.startswith(statuses))
        return some / self.requests if self.requests else 0.0


def latency(traffic: Traffic, p99_us: int | None) -> Iterator[Reading]:
    """Quantiles of the time from a request's first byte to its answer."""
    for q, name in _QUANTILES:
        if traffic.rows < ENOUGH and name == "p99":
            why = f"{traffic.rows} answers; {ENOUGH} are needed"
            yield Reading(Family.HEALTH, name, n=traffic.rows, unit="ms", why_none=why)
            continue
        value = traffic.quantile(q)
        if value is None:
            yield Reading(Family.HEALTH, name, unit="ms", why_none="no answers")
            continue
        bound = p99_us if name == "p99" else None
        over = bound is not None and value > bound
        yield Reading(
            Family.HEALTH,
            name,
            value=value / 1000,
            threshold=None if bound is None else bound / 1000,
            exceeds=over,
            n=traffic.rows,
            unit="ms",
            where=f"one answer in a hundred takes longer than {value / 1000:.3g} ms" if over else "",
        )


def errors(traffic: Traffic, service: Service, bound: float, answered: int = 0) -> Reading:
    """Share of answers that no release gave: another answer was given, or none at all (a status of 500 and
    more, where the server's processes tell). answered: answers of all that the service's requests were for,
    where these are more than the window's own: an arm fails as often as the service does."""
    failed = service.share("5") * service.requests
    requests = max(answered, traffic.rows) + failed
    if not requests:
        return Reading(Family.HEALTH, "errors", unit="share", why_none="no answers")
    own = traffic.share(traffic.unanswered)
    value = own + (1 - own) * failed / requests
    over = value > bound and traffic.unanswered + failed >= SEVERAL
    told = f"{traffic.unanswered + failed:,.0f} of {requests:,.0f} had no release's answer"
    if requests - failed > traffic.rows:
        told = f"{traffic.unanswered:,} of {traffic.rows:,} had no release's answer"
        told += f"; {failed:,.0f} of the whole service's {requests:,.0f} had none" if failed else ""
    n = round(traffic.rows + failed)
    where = told if over else ""
    return Reading(Family.HEALTH, "errors", "", value, bound, over, n=n, unit="share", where=where)


def fallbacks(traffic: Traffic, bound: float) -> Iterator[Reading]:
    """Share of answers that something else than the arm's release gave, and by cause."""
    if not traffic.rows:
        yield Reading(Family.HEALTH, "fallback", unit="share", why_none="no answers")
        return
    causes: dict[str, int] = {}
    for by, rows in traffic.by.items():
        if by.startswith(INSTEAD):
            why = by.partition("(")[2].removesuffix(")").partition(";")[0] or by
            causes[why] = causes.get(why, 0) + rows
    total = sum(causes.values())
    value = total / traffic.rows
    over = value > bound and total >= SEVERAL
    most = max(causes, key=lambda c: causes[c], default="")
    told = f"{total:,} of {traffic.rows:,} answers, most often: {most}" if over else ""
    yield Reading(
        Family.HEALTH, "fallback", "", value, bound, over, n=traffic.rows, unit="share", where=told,
        details={"causes": causes},
    )  # fmt: skip
    for cause, rows in sorted(causes.items()):
        yield Reading(
            Family.HEALTH, "fallback cause", cause, rows / traffic.rows, n=traffic.rows, unit="share"
        )


def uptime(traffic: Traffic, start: int, end: int) -> Iterator[Reading]:
    """Share of the minutes that had an answer, and the longest time without one."""
    minutes = range(start // BEAT, -(-end // BEAT))
    beats = sorted(b for b in traffic.beats if b in minutes)
    yield Reading(
        Family.HEALTH, "uptime", value=len(beats) / max(len(minutes), 1), n=traffic.rows,
        unit="share of minutes with an answer",
    )  # fmt: skip
    ends = [minutes.start - 1, *beats, minutes.stop]
    gap = max(b - a - 1 for a, b in pairwise(ends))
    yield Reading(Family.HEALTH, "gap", value=float(gap), n=traffic.rows, unit="min")


def served(service: Service) -> Iterator[Reading]:
    """What the server's processes count of themselves."""
    if not service.looks:
        why = "no server of this project shares its counts"
        for name in ("refused", "busy", "waiting", "memory"):
            yield Reading(Family.HEALTH, name, why_none=why)
        return
    n = round(service.requests)
    for name, value, bound, told in (
        (
            "refused",
            service.share("400", "413", "422"),
            REFUSED,
            "requests do not fit what the release reads",
        ),
        ("busy", service.share("429", "503"), BUSY, "requests were refused because too many waited"),
    ):
        over = value > bound and value * n >= SEVERAL
        yield Reading(
            Family.HEALTH, name, "", value, bound, over, n=n, unit="share",
            where=f"{value:.1%} of {n:,} {told}" if over else "",
        )  # fmt: skip
    yield Reading(Family.HEALTH, "waiting", value=float(service.waiting), n=n, unit="requests")
    yield Reading(Family.HEALTH, "memory", value=service.memory / 1e6, n=service.workers, unit="MB")


Ask = Callable[[], str | None]


def ask_gpu() -> str | None:
    """What `nvidia-smi` says of the machine's GPUs now; None where there is no such program, or it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    asked = "--query-gpu=utilization.gpu,memory.used,memory.total"
    try:
        done = subprocess.run(
            [program, asked, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_FAR,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def gpu(ask: Ask = ask_gpu) -> Iterator[Reading]:
    """Use and memory of the busiest GPU at this moment."""
    told = ask()
    if told is None:
        yield Reading(Family.HEALTH, "gpu", why_none="not applicable: this machine has no GPU that tells")
        return
    busy, full = 0.0, 0.0
    for line in told.splitlines():
        cells = [c.strip() for c in line.split(",")]
        if len(cells) == 3 and all(c.replace(".", "", 1).isdigit() for c in cells):
            used, memory, whole = map(float, cells)
            busy, full = max(busy, used / 100), max(full, memory / whole if whole else 0.0)
    yield Reading(Family.HEALTH, "gpu", "use", busy, unit="share")
    yield Reading(Family.HEALTH, "gpu", "memory", full, unit="share")
