"""Traffic: what was asked and answered, how quickly, by which arm, and how routes and experiments stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from headrace.core.answered import FAILED, INSTEAD
from headrace.core.clock import iso
from headrace.core.codec import to_plain
from headrace.core.errors import HeadraceError
from headrace.core.experiments import Experiment
from headrace.core.routes import Route
from headrace.logs.query import opened
from headrace.web.figures import Series, over_time
from headrace.web.page import Asked, Page

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SPANS: Mapping[str, tuple[timedelta, timedelta]] = {
    "1 h": (timedelta(hours=1), timedelta(minutes=1)),
    "6 h": (timedelta(hours=6), timedelta(minutes=5)),
    "1 day": (timedelta(days=1), timedelta(minutes=20)),
    "7 days": (timedelta(days=7), timedelta(hours=2)),
    "30 days": (timedelta(days=30), timedelta(hours=8)),
}
"""How far back, and how long a point of a line is."""


@dataclass(frozen=True)
class Point:
    """Answers of a stretch of time on one arm. p50, p95, p99: seconds. Shares are of the rows."""

    at: str
    arm: str
    rows: int
    p50: float
    p95: float
    p99: float
    instead: float
    failed: float
    rules: float
    flagged: float


@dataclass(frozen=True)
class ArmLine:
    """What an arm answered in the whole span."""

    route: str
    release: str
    arm: str
    rows: int
    p50: float
    p95: float
    p99: float
    instead: float
    failed: float
    rules: float
    flagged: float
    review: float
    newest: str


@dataclass(frozen=True)
class ExperimentLine:
    """An experiment. says: its verdict by now, why: its reason; `told` is what `headrace ab status --json`
    prints of one that runs."""

    name: str
    route: str
    release: str
    control: str
    share: float
    started: str
    stopped: str
    decision: str
    says: str
    why: str
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Traffic:
    """The page. rows: answers in the span, before: in the span before it. minutes: of one point."""

    span: str
    spans: tuple[str, ...]
    points: tuple[Point, ...]
    arms: tuple[ArmLine, ...]
    rows: int
    before: int
    minutes: float
    routes: tuple[Route, ...]
    standing: Mapping[str, Any]
    experiments: tuple[ExperimentLine, ...]


def model(asked: Asked) -> Traffic:
    """The traffic of a span that ends now."""
    project = asked.project
    span = asked.choice("span", SPANS, "7 days")
    length, step = SPANS[span]
    start = asked.now - length
    points: tuple[Point, ...] = ()
    arms: tuple[ArmLine, ...] = ()
    before = 0
    if project.log_folder.is_dir():
        with opened(project.log_folder) as log:  # without the labels, which a query of people's could ask for
            points = _points(log.db, start, step)
            arms = _arms(log.db, start)
            before = _count(log.db, start - length, start)
    return Traffic(
        span=span,
        spans=tuple(SPANS),
        points=points,
        arms=arms,
        rows=sum(a.rows for a in arms),
        before=before,
        minutes=step.total_seconds() / 60,
        routes=tuple(project.routes().values()),
        standing=project.standing(),
        experiments=tuple(_experiment(asked, x) for x in project.experiments()[::-1]),
    )


def _failed() -> str:
    found = " or ".join(f"answered_by like '{INSTEAD}%({why}%'" for why in FAILED)
    return f"({found})"


_QUANTILES = "quantile_cont(took_us, [0.5, 0.95, 0.99])"
_SHARES = f"""avg((answered_by like '{INSTEAD}%')::int), avg({_failed()}::int),
    avg((answered_by like 'rule%')::int), avg((len(flags) > 0)::int)"""


def _since(start: datetime) -> str:
    return f"time >= TIMESTAMP '{start.astimezone(UTC).strftime('%Y-%m-%d %H:%M:%S.%f')}'"


def _points(db: DuckDBPyConnection, start: datetime, step: timedelta) -> tuple[Point, ...]:
    seconds = int(step.total_seconds())
    sql = f"""select time_bucket(interval {seconds} second, time) as at_, arm, count(*), {_QUANTILES},
        {_SHARES} from predictions where {_since(start)} and arm <> 'shadow' group by all order by at_, arm"""
    found = []
    for at, arm, n, q, instead, failed, rules, flagged in db.execute(sql).fetchall():
        moment = iso(at.replace(tzinfo=UTC))
        p50, p95, p99 = (t / 1e6 for t in q)
        found.append(Point(moment, arm, n, p50, p95, p99, instead, failed, rules, flagged))
    return tuple(found)


def _arms(db: DuckDBPyConnection, start: datetime) -> tuple[ArmLine, ...]:
    sql = f"""select route, release, arm, count(*), {_QUANTILES}, {_SHARES}, avg(review::int), max(time)
        from predictions where {_since(start)} group by route, release, arm order by 4 desc"""
    found = []
    for route, release, arm, n, q, instead, failed, rules, flagged, review, at in db.execute(sql).fetchall():
        newest = iso(at.replace(tzinfo=UTC))
        p50, p95, p99 = (t / 1e6 for t in q)
        shares = (instead, failed, rules, flagged, review)
        found.append(ArmLine(route, release, arm, n, p50, p95, p99, *shares, newest))
    return tuple(found)


def _count(db: DuckDBPyConnection, start: datetime, end: datetime) -> int:
    until = _since(end).replace(">=", "<")
    found = db.execute(f"select count(*) from predictions where {_since(start)} and {until}").fetchall()
    return int(found[0][0])


def _experiment(asked: Asked, x: Experiment) -> ExperimentLine:
    told: Mapping[str, Any] = {}
    says, why = x.verdict, x.reason
    if not x.stopped:
        try:
            status = asked.project.experiment_status(x.name)
        except HeadraceError as error:
            says, why = "unknown", error.problems[0].what
        else:
            told = to_plain(status)
            says, why = status.look.verdict.value, "; ".join([status.look.reason, *status.notes])
    return ExperimentLine(
        x.name, x.route, x.treatment, x.control, x.share, x.started, x.stopped, x.decision, says, why, told
    )


def dress(page: Traffic) -> Mapping[str, Any]:
    """The figures: rate, latency, and what else than the model answered."""

    if not page.points:
        return {}
    per = [
        Series(arm, [p.at for p in mine], [p.rows / page.minutes for p in mine])
        for arm, mine in _by_arm(page.points).items()
    ]
    main = next(iter(_by_arm(page.points).values()))
    x = [p.at for p in main]
    latency = [
        Series("99%", x, [1000 * p.p99 for p in main]),
        Series("95%", x, [1000 * p.p95 for p in main]),
        Series("median", x, [1000 * p.p50 for p in main]),
    ]
    instead = [
        Series("fallback", x, [p.instead for p in main]),
        Series("failed", x, [p.failed for p in main]),
        Series("rule", x, [p.rules for p in main]),
        Series("odd input", x, [p.flagged for p in main]),
    ]
    return {
        "rate": over_time(per, "rows a minute"),
        "latency": over_time(latency, "milliseconds"),
        "instead": over_time(instead, "share of the rows", percent=True),
    }


def _by_arm(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points of each arm, the busiest first."""
    found: dict[str, list[Point]] = {}
    for p in points:
        found.setdefault(p.arm, []).append(p)
    return dict(sorted(found.items(), key=lambda kv: -sum(p.rows for p in kv[1])))


PAGE = Page(
    "traffic",
    "traffic",
    "Traffic",
    "rates, latency, errors, arms and fallbacks over time; routes, and experiments with their stopping state",
    model,
    "traffic.html",
    dress=dress,
    plots=True,
)
