"""The checks that wait for labels, and the estimate that does not: `checks.live` on a window's rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.budget import split
from headrace.checks.live.calibration import calibration
from headrace.checks.live.concept import concept
from headrace.checks.live.estimated import Answers, Estimator
from headrace.checks.live.fairness import fairness
from headrace.checks.live.labelled import Baseline, Labelled, baseline_of, metric_reading
from headrace.checks.live.null import together
from headrace.checks.live.performance import performance
from headrace.checks.live.slices import slices
from headrace.core.errors import DataError
from headrace.core.task import Kind, Task, code_of, truth_of
from headrace.core.watching import Family, Reading
from headrace.metrics.catalog import metric
from headrace.metrics.record import Ints, Metric, Predictions
from headrace.release.manifest import Manifest
from headrace.summary.bins import Bins
from headrace.watch.rows import LiveRows
from headrace.watch.watched import Watched


class Judge:
    """What a release's answers are judged by once their truth is known; made once, kept between windows.

    chances: what share of a window's false alarms each family may have."""

    def __init__(self, watched: Watched) -> None:
        """
        Raises:
            DataError: the release has no reference rows.
            Corrupt: they are not what was written.
        """
        if watched.manifest is None or watched.reference is None or watched.rows is None:
            raise DataError(
                "the release has no reference rows",
                why="it was made before there were any",
                fix="headrace run makes one that has",
            )
        self._plan = watched.plan
        self._manifest: Manifest = watched.manifest
        self.bins: Bins = watched.reference.watchable
        made = watched.rows
        sliced = made.sliced if watched.reference.sliced.columns else np.empty((made.rows, 0), np.uint8)
        self._rows = replace(made, codes=np.hstack([made.codes, sliced]))
        self._apart = frozenset((*watched.reference.outputs, *watched.reference.sliced.names))
        self.chances = split(1.0, [f for f in Family if f in watched.families])

    @cached_property
    def baseline(self) -> Baseline:
        """The reference rows."""
        return baseline_of(self._rows, self.bins, self.task)

    @cached_property
    def estimator(self) -> Estimator:
        """Of the release's metric."""
        return Estimator(self.metric, self.baseline)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self._manifest.serving.task

    @cached_property
    def metric(self) -> Metric:
        """What the release is judged by."""
        return metric(
            self._manifest.metric, self.task, value=self._plan.worth or None, unit=self._plan.worth_unit
        )

    def _columns(self, names: tuple[str, ...]) -> list[str]:
        return [n for n in names if n in self.bins.names]

    def labelled(self, rows: LiveRows, truths: Mapping[str, Any]) -> Labelled:
        """The rows whose truth is known and that the model answered. truths: labels by prediction."""
        y = coded(self.task, (truths.get(i) for i in rows.ids))
        good = np.isfinite(y) & self._answered(rows)
        units = np.arange(int(good.sum())) // self._together
        told = Predictions(self.task, y[good], rows.score[good], units, self._decisions(rows, good))
        return Labelled(told, self.bins, _codes(rows)[good], np.zeros(len(units), np.int64))

    def _answered(self, rows: LiveRows) -> NDArray[np.bool_]:
        """Which rows have all of the model's answer [n]."""
        whole = self.task.kind is Kind.REGRESSION
        return rows.answered if whole else rows.answered & (rows.decision >= 0)

    def _decisions(self, rows: LiveRows, some: NDArray[np.bool_]) -> Ints | None:
        return None if self.task.kind is Kind.REGRESSION else rows.decision[some]

    @cached_property
    def _together(self) -> int:
        """How many rows in a row belong together, as in the reference."""
        return together(self.baseline.predictions.units)

    def by_labels(self, family: Family, window: Labelled, answers: int, rate: float) -> tuple[Reading, ...]:
        """The readings of a family. answers: of the window; rate: of false alarms that it may have in all.

        Raises:
            MissingDependency: River is not installed (concept).
        """
        if family not in self.chances:
            return ()
        chance = rate * self.chances[family]
        match family:
            case Family.PERFORMANCE:
                return performance(self.metric, window, self.baseline, chance, answers=answers)
            case Family.CALIBRATION:
                return calibration(window, self.baseline, chance)
            case Family.SLICES:
                found = slices(self.metric, window, self.baseline, self._columns(self._plan.slices), chance)
                return (*found, *self._not_sliced())
            case Family.FAIRNESS:
                return fairness(window, self.baseline, self._columns(self._plan.fair), chance)
            case Family.CONCEPT:
                kept = [c for c in self.bins.names if c not in self._apart and c not in self._plan.ignore]
                return concept(window, self.baseline, kept, chance)
            case _:
                worth = metric("value", self.task, value=self._plan.worth, unit=self._plan.worth_unit)
                return (metric_reading(Family.VALUE, worth, window, self.baseline, chance),)

    def _not_sliced(self) -> Iterator[Reading]:
        """The slices that are declared and can't be watched, each with the reason."""
        left = dict(self._plan.not_sliced)
        for text in self._plan.slices:
            if text not in self.bins.names:
                left[text] = "the release was made before expressions were watched"
        for text, why in left.items():
            yield Reading(Family.SLICES, self.metric.name, text, unit=self.metric.unit, why_none=why)

    def estimated(self, rows: LiveRows, rate: float) -> tuple[Reading, ...]:
        """The release's metric before labels are there."""
        if Family.ESTIMATED not in self.chances:
            return ()
        known = self._answered(rows)
        told = Answers(self.task, rows.score[known], self._decisions(rows, known), _codes(rows)[known])
        return (self.estimator.reading(told, rate * self.chances[Family.ESTIMATED]),)


def _codes(rows: LiveRows) -> NDArray[np.uint8]:
    """Of all that slices may be of."""
    return np.hstack([rows.codes, rows.sliced])


def coded(task: Task, labels: Iterable[Any]) -> NDArray[np.float64]:
    """Labels as predictions have truth [n]: a number, or the code of a class; NaN for none, and for what is
    neither."""
    known: dict[tuple[type, Any], float] = {(type(None), None): np.nan}
    found = []
    for label in labels:
        key = type(label), label  # 1 and true are equal, and may be two classes
        if key not in known:
            truth = truth_of(task, label)
            if truth is not None and task.kind is not Kind.REGRESSION:
                truth = code_of(task, truth)
            known[key] = np.nan if truth is None else float(truth)
        found.append(known[key])
    return np.array(found, np.float64)
