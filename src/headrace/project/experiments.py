"""Experiments on live traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.core.errors import UserError
from headrace.core.routes import DEFAULT
from headrace.project.logging import Logging

if TYPE_CHECKING:
    from headrace.core.experiments import Experiment
    from headrace.core.spec.plans import ExperimentPlan
    from headrace.engine.experiments import Status


class Experimenting(Logging):
    """The experiments of a `Project`: units divided between the champion and a release, and what follows."""

    def experiments(self) -> tuple[Experiment, ...]:
        """Every experiment, oldest first."""
        from headrace.engine.experiments import every

        return tuple(every(self.store).values())

    def experiment_plan(self) -> ExperimentPlan:
        """The spec's `experiment`.

        Raises:
            UserError: there is none.
        """
        plan = self.spec().spec.experiment
        if plan is None:
            raise UserError(
                "the spec has no `experiment`", fix="declare one: unit, outcome, traffic, baseline, expected"
            )
        return plan

    def start_experiment(
        self, release: str, *, name: str | None = None, route: str = DEFAULT, units: int = 0
    ) -> Experiment:
        """Divide a route's units between the champion and a release, by the spec's `experiment`. `units` (of
        both arms) is where it ends; 0: as many as the plan's effect needs.

        Raises:
            NotFound: there is no such release.
            UserError: the plan lacks something, or the route has a canary or an experiment already.
        """
        from headrace.engine.experiments import start

        return start(
            self.store,
            release,
            self.experiment_plan(),
            planned=units,
            route=route,
            name=name,
            actor=self.actor,
            clock=self._clock,
        )

    def experiment_status(self, name: str | None = None, *, keep: bool = False) -> Status:
        """What an experiment says by now (default: the one that runs). May be asked as often as one likes;
        `keep` writes the look down.

        Raises:
            NotFound: there is no such experiment.
            UserError: the plan's SQL is refused.
        """
        from headrace.engine.experiments import find, keep_look, status

        told = status(self.store, find(self.store, name), self._answered, clock=self._clock)
        if keep:
            keep_look(self.store, told, actor=self.actor, clock=self._clock)
        return told

    def stop_experiment(self, decision: str, name: str | None = None, *, reason: str = "") -> Experiment:
        """End an experiment: ship, keep (the champion) or none. Shipping promotes nothing by itself.

        Raises:
            NotFound: there is no such experiment.
            UserError: it is over, or is to be shipped without being better and without a reason.
        """
        from headrace.engine.experiments import stop

        told = self.experiment_status(name)
        return stop(self.store, told, decision, reason=reason, actor=self.actor, clock=self._clock)

    def _answered(self, sql: str) -> Sequence[Sequence[Any]]:
        return self.log_query(sql).rows
