"""Concept drift: truth relates to the columns otherwise than it did, whatever the columns themselves do.

`relation` looks, column by column, at the mean residual (truth less what was said) in groups of the column's
values: the mean over groups, by rows, of the squared difference from the reference's mean residual there. It
is blind to a change that leaves every such mean alone.

ADWIN (Bifet & Gavaldà 2007), Page-Hinkley (Page 1954) and DDM (Gama et al. 2004) are River's, and read the
error stream in its order: the end of the reference, then the window. Their own settings know nothing of a
budget: the thresholds of Page-Hinkley and DDM are those that so many streams resampled from the reference
exceed, ADWIN's confidence is the chance itself, which its bound keeps with room to spare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.tail import fit_tail, quantile, surprise
from headrace.checks.live.groups import by_group, groups_of
from headrace.checks.live.labelled import LEAST, SEED, Baseline, Labelled, judged
from headrace.checks.live.null import of_sums, together
from headrace.core.errors import MissingDependency
from headrace.core.task import Kind
from headrace.core.watching import Family, Reading
from headrace.metrics.record import Floats, Predictions

LEAD = 300
"""Points of the reference's end that a detector reads before the window."""
POINTS = 1000
"""Points of a window, at most: of more rows means are taken."""
_DRAWS = 500
_WARM = 30
_ALLOWED = 0.05
_HIGHEST = 0.999


def concept(
    window: Labelled, baseline: Baseline, columns: Sequence[str], chance: float
) -> tuple[Reading, ...]:
    """A reading of each of `columns`, and of each detector. Half of `chance` is for the columns, half for the
    detectors, each divided among them.

    Raises:
        MissingDependency: River is not installed.
    """
    if window.rows < LEAST:
        why = f"{window.rows} labelled rows; {LEAST} are needed"
        return (Reading(Family.CONCEPT, "relation", n=window.rows, why_none=why),)
    related = [_relation(window, baseline, c, chance / 2 / len(columns)) for c in columns]
    return (*related, *detectors(window, baseline, chance / 2))


def _relation(window: Labelled, baseline: Baseline, column: str, chance: float) -> Reading:
    reference = baseline.rows
    at = window.bins.index(column)
    groups = groups_of(window.bins, column, reference.codes[:, at])
    count = len(groups.labels)
    theirs, mine = (
        by_group(groups.of(r.codes[:, at]), count, np.ones(r.rows), residual(r.predictions))
        for r in (reference, window)
    )
    total, before = mine.sum(axis=0), theirs.sum(axis=0)
    if not total[:count].sum():
        why = "no labelled row has a value of it that the reference knows"
        return Reading(Family.CONCEPT, "relation", column, n=window.rows, why_none=why)
    null = baseline.null(
        f"relation {column}", of_sums(theirs, _apart), window.rows, larger_is_worse=True, apart=True
    )
    usual = _means(before)
    worst = int(np.argmax(total[:count] * (_means(total) - usual) ** 2))
    where = (
        f"where {column} is {groups.labels[worst]}, truth is {_means(total)[worst]:+.3g} beside what is said;"
        f" it was {usual[worst]:+.3g}"
    )
    value = float(_apart(np.stack([total, before])))
    return judged(Family.CONCEPT, "relation", column, value, null, chance, rows=window.rows, where=where)


def residual(p: Predictions) -> NDArray[np.float64]:
    """Truth less what was said, [n]: of more than two classes, whether the decision was right less the
    probability that was given to it."""
    if p.task.kind is not Kind.MULTICLASS:
        return np.asarray(p.y - p.score)
    assert p.decision is not None  # noqa: S101  Predictions has seen to it
    return np.asarray((p.decision == p.y) - p.score[np.arange(p.rows), p.decision], np.float64)


def errors(p: Predictions, scale: float) -> NDArray[np.float64]:
    """The error of each row in [0, 1]: wrong or not; of a regression the absolute error in units of
    `scale`."""
    if p.task.kind is not Kind.REGRESSION:
        return np.asarray(p.decision != p.y, np.float64)
    apart = np.abs(p.y - p.score)
    return np.asarray(np.minimum(apart / scale, 1.0))


def scale_of(p: Predictions) -> float:
    """What the absolute errors of a regression are measured in: the largest but one in a thousand."""
    if p.task.kind is not Kind.REGRESSION or not p.rows:
        return 1.0
    return max(float(np.quantile(np.abs(p.y - p.score), _HIGHEST)), 1e-300)


def detectors(window: Labelled, baseline: Baseline, chance: float) -> tuple[Reading, ...]:
    """River's three, on the errors."""
    try:
        from river.drift import ADWIN, PageHinkley
        from river.drift.binary import DDM
    except ModuleNotFoundError as error:
        raise MissingDependency("River is not installed", fix="pip install 'headrace[watch]'") from error
    p = baseline.predictions
    scale = scale_of(p)
    reference, mine = errors(p, scale), errors(window.predictions, scale)
    # Rows that vary independently are points; of those that move together means are.
    length = max(1, min(together(p.units), window.rows), -(-window.rows // POINTS))
    old, new = _points(reference, length), _points(mine, length)
    lead = old[-LEAD:]
    if len(lead) < _WARM:
        why = f"the reference has {len(lead)} points of {length} rows; {_WARM} are needed"
        names = ("adwin", "page_hinkley", "ddm")
        return tuple(Reading(Family.CONCEPT, n, n=window.rows, why_none=why) for n in names)
    each = chance / 3
    rng = np.random.default_rng(SEED)
    drawn = rng.choice(old, (_DRAWS, len(lead) + len(new)))
    spread = max(float(old.std()), 1e-12)
    center = float(old.mean())
    stream = np.concatenate([lead, new])
    highest = _threshold(page_hinkley((drawn - center) / spread, len(lead)), each)
    hinkley = PageHinkley(min_instances=_WARM, delta=_ALLOWED, threshold=highest, alpha=1.0, mode="up")
    untyped: Any = ADWIN  # compiled, without types
    found = [
        _detected("adwin", untyped(delta=each, clock=1), stream, len(lead), window.rows, None, length),
        _detected(
            "page_hinkley", hinkley, (stream - center) / spread, len(lead), window.rows, highest, length
        ),
    ]
    if length > 1 or p.task.kind is Kind.REGRESSION:
        why = "it reads single rows that are right or wrong, and vary independently"
        found.append(Reading(Family.CONCEPT, "ddm", n=window.rows, why_none=why))
    else:
        highest = _threshold(ddm(drawn, len(lead)), each)
        detector = DDM(warm_start=_WARM, drift_threshold=highest)
        found.append(_detected("ddm", detector, stream, len(lead), window.rows, highest, length))
    return tuple(found)


class Detector(Protocol):
    """What River's detectors share."""

    @property
    def drift_detected(self) -> bool: ...

    def update(self, x: float) -> object:
        """Read the next value."""
        ...


def _detected(
    name: str, detector: Detector, stream: Floats, lead: int, rows: int, threshold: float | None, length: int
) -> Reading:
    """Whether a detector sees the error rise within the window, and where. value: 1 where it does."""
    at = -1
    for i, x in enumerate(stream.tolist()):
        detector.update(x)
        if i >= lead and detector.drift_detected:
            at = i
            break
    rose = at >= 0 and stream[lead:].mean() > stream[:lead].mean()
    where = f"errors rise around row {(at - lead) * length + 1} of {rows}" if rose else ""
    details = {} if threshold is None else {"setting": threshold}
    return Reading(
        Family.CONCEPT, name, "", float(rose), 0.5, bool(rose), n=rows, where=where, details=details
    )


def page_hinkley(streams: Floats, lead: int) -> NDArray[np.float64]:
    """River's Page-Hinkley statistic [streams], at its highest behind `lead` points: streams [B, points]."""
    mean = np.cumsum(streams, axis=1) / np.arange(1, streams.shape[1] + 1)
    rise = np.cumsum(streams - mean - _ALLOWED, axis=1)
    over = rise - np.minimum.accumulate(rise, axis=1)
    return np.asarray(over[:, max(lead, _WARM - 1) :].max(axis=1))


def ddm(streams: Floats, lead: int) -> NDArray[np.float64]:
    """How many of the least standard deviations the error is above its least, at its highest behind `lead`
    points (DDM's rule): streams [B, points] of 0 and 1."""
    n = np.arange(1, streams.shape[1] + 1)
    p = np.cumsum(streams, axis=1) / n
    s = np.sqrt(p * (1 - p) / n)
    told = (p + s)[:, _WARM:]
    least = np.minimum.accumulate(told, axis=1)
    # Where the newest of the least values was: its p and s are what DDM compares with.
    spots = np.where(told <= least, np.arange(told.shape[1]), 0)
    spots = np.maximum.accumulate(spots, axis=1)
    p_min = np.take_along_axis(p[:, _WARM:], spots, axis=1)
    s_min = np.take_along_axis(s[:, _WARM:], spots, axis=1)
    over = (told - p_min) / np.maximum(s_min, 1e-12)
    return np.asarray(over[:, max(0, lead - _WARM) :].max(axis=1))


def _threshold(highest: NDArray[np.float64], chance: float) -> float:
    """What so many of the streams exceed; beyond the draws by the tail's shape."""
    logs = np.log(np.maximum(highest, 1e-9))
    center, spread = float(logs.mean()), max(float(logs.std()), 1e-9)
    tail = fit_tail(surprise((logs - center) / spread), share=0.1, gap=0, independent=1.0)
    return float(np.exp(center + spread * quantile(tail.threshold(chance))))


def _points(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Means of consecutive rows; what is left over at the end is a point of its own if it is half as long."""
    whole = len(values) // length * length
    points = values[:whole].reshape(-1, length).mean(axis=1)
    left = values[whole:]
    return np.append(points, left.mean()) if 2 * len(left) >= length and len(left) else points


def _apart(both: Floats) -> Floats:
    """Squared differences of the groups' means, averaged by the window's rows: sums of the window and of the
    reference [2, ..., S] -> [...]."""
    rows = both[0, ..., : both.shape[-1] // 2]
    means = _means(both)
    return np.asarray((rows * (means[0] - means[1]) ** 2).sum(-1) / np.maximum(rows.sum(-1), 1e-12))


def _means(sums: Floats) -> Floats:
    half = sums.shape[-1] // 2
    return np.asarray(sums[..., half:] / np.maximum(sums[..., :half], 1e-12))
