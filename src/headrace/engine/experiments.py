"""Starting, reading and stopping experiments: what is known of units comes from the prediction log."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headrace.core.clock import Clock, duration_micros, iso, iso_micros
from headrace.core.codec import to_plain
from headrace.core.errors import Conflict, NotFound, Problem, UserError, did_you_mean
from headrace.core.event import Draft
from headrace.core.experiments import EXPERIMENT_KINDS, Experiment, experiments, running
from headrace.core.ports import Store
from headrace.core.routes import DEFAULT, Arm, Role, Route
from headrace.core.spec.plans import ExperimentPlan
from headrace.engine import releases
from headrace.engine.experiment_units import Ask, units_of
from headrace.engine.routes import Moment, moment
from headrace.metrics.sequential import units_for_shares
from headrace.policy.experiments import Look, Rules, Verdict, look
from headrace.policy.guarded import GUARDED, parse_guard
from headrace.policy.routing import Known, may_answer

NAME_BYTES = 4
DECISIONS = ("ship", "keep", "none")


@dataclass(frozen=True)
class Status:
    """An experiment and what it says by now. crossed: units that were answered by both arms, which count for
    neither. days: until the planned units are there at the pace so far (None: no pace, or no plan)."""

    experiment: Experiment
    look: Look
    crossed: int
    days: float | None
    notes: tuple[str, ...] = ()


def every(store: Store) -> dict[str, Experiment]:
    """All experiments by name, oldest first."""
    return experiments(store.read(kinds=EXPERIMENT_KINDS))


def find(store: Store, name: str | None) -> Experiment:
    """An experiment by its name (default: the one that runs, else the newest).

    Raises:
        NotFound: there is none.
    """
    known = every(store)
    if not known:
        raise NotFound("there are no experiments yet", fix="start one: headrace ab start RELEASE")
    if name is None:
        return (
            running(known, DEFAULT)
            or next((x for x in known.values() if not x.stopped), None)
            or next(reversed(known.values()))
        )
    if name not in known:
        raise NotFound(f"there is no experiment {name!r}", fix=did_you_mean(name, known))
    return known[name]


def planned_units(plan: ExperimentPlan) -> int:
    """The units of both arms with which an experiment on a share ends; 0 where the plan names no effect."""
    if plan.baseline is None or plan.expected is None:
        return 0
    return units_for_shares(
        plan.baseline, plan.expected, share=plan.traffic, level=plan.level, power=plan.power
    )


def start(
    store: Store,
    release: str,
    plan: ExperimentPlan,
    *,
    planned: int = 0,
    route: str = DEFAULT,
    name: str | None = None,
    actor: str,
    clock: Clock,
) -> Experiment:
    """Divide a route's units between the champion and a release. One append: route and experiment together.

    planned: units of both arms with which it ends (0: those that the plan's effect needs, or open).

    Raises:
        NotFound: there is no such release.
        UserError: the plan says not what is measured, the release may not answer, the route has a canary or
            an experiment already, or the name is taken.
    """
    problems = _unready(plan)
    planned = planned or planned_units(plan)
    while True:
        _, head = store.head()
        now, known = moment(store), every(store)
        old = now.routes.get(route, Route(route))
        found = releases.find(now.state, release).release
        control = "" if now.state.champion is None else now.state.champion.release
        wrong = [*problems, *_refused(store, now, known, old, found, name)]
        if wrong:
            raise UserError.of(wrong)
        called, when = name or f"ab-{secrets.token_hex(NAME_BYTES)}", iso(clock())
        shadows = (a for a in old.arms if a.role is Role.SHADOW and a.release != found)
        arms = [*shadows, Arm(found, plan.traffic, Role.TREATMENT)]
        set_to = {"arms": [to_plain(a) for a in arms], "salt": secrets.token_hex(16), "ramp": {}}
        payload = {
            "route": route,
            "treatment": found,
            "control": control,
            "share": plan.traffic,
            "plan": {**plan.model_dump(mode="json", exclude_defaults=True), "planned": planned},
        }
        try:
            store.append(
                [
                    Draft("route.set", route, when, actor, set_to),
                    Draft("experiment.started", called, when, actor, payload),
                ],
                expect=head,
            )
        except Conflict:
            continue
        return every(store)[called]


def _unready(plan: ExperimentPlan) -> list[Problem]:
    problems = []
    if plan.outcome is None:
        problems.append(
            Problem(
                "the plan does not say what is measured",
                where="experiment.outcome",
                fix="write SQL over the prediction log, such as outcome: label = prediction",
            )
        )
    if not plan.unit:
        problems.append(
            Problem(
                "the plan does not say whose values stay with one arm",
                where="experiment.unit",
                fix="name a column of the events, and the same as serve.unit",
            )
        )
    return problems


def _refused(
    store: Store, now: Moment, known: Mapping[str, Experiment], old: Route, release: str, name: str | None
) -> list[Problem]:
    problems = []
    if name is not None and name in known:
        problems.append(Problem(f"there is an experiment {name!r} already", fix="choose another --name"))
    other = running(known, old.name)
    if other is not None:
        problems.append(
            Problem(
                f"{other.name} runs on the route {old.name!r}", fix=f"stop it: headrace ab stop {other.name}"
            )
        )
    if old.canary is not None:
        problems.append(
            Problem(f"the route {old.name!r} has a canary", fix="let it finish, or headrace route rollback")
        )
    if now.state.champion is None:
        problems.append(Problem("no release is champion", fix="promote one: it is the control"))
    view = now.state.releases[release]
    spec = releases.spec_of(store, view)
    approved = releases.approved(view, allow_self=spec.problem.approval == "self")
    wrong = may_answer(Known(view, approved, None), now.state, Role.TREATMENT, again=True)
    if wrong is not None:
        problems.append(wrong)
    return problems


def status(store: Store, experiment: Experiment, ask: Ask, *, clock: Clock) -> Status:
    """What an experiment says by now; for one that was stopped, of what was answered until then.

    Raises:
        UserError: the plan's SQL is refused.
    """
    plan = ExperimentPlan.model_validate(
        {k: tuple(v) if isinstance(v, list) else v for k, v in experiment.plan.items() if k != "planned"}
    )
    end = experiment.stopped or iso(clock())
    units, crossed = units_of(experiment, plan, ask, end)
    start_us, now_us = iso_micros(experiment.started), iso_micros(end)
    rules = Rules(
        share=experiment.share,
        level=plan.level,
        planned=experiment.plan.get("planned", 0),
        higher=plan.better == "higher",
        start=start_us,
        minimum=duration_micros(plan.minimum) or 0,
    )
    seen = look(units, rules, now_us)
    return Status(
        experiment, seen, crossed, _days(seen, rules, now_us), _notes(store, experiment, plan, crossed)
    )


def _notes(store: Store, experiment: Experiment, plan: ExperimentPlan, crossed: int) -> tuple[str, ...]:
    notes = []
    champion = moment(store).state.champion
    if not experiment.stopped and (champion is None or champion.release != experiment.control):
        notes.append(
            f"the control {experiment.control} is champion no more: stop, and start anew against the new one"
        )
    if crossed:
        notes.append(f"{crossed:,} units were answered by both arms, and count for neither")
    unjudged = [text for text in plan.guardrails if parse_guard(text) is None]
    if unjudged:
        notes.append(f"not judged here: {'; '.join(unjudged)} (choose from {', '.join(sorted(GUARDED))})")
    return tuple(notes)


def _days(seen: Look, rules: Rules, now: int) -> float | None:
    if seen.effect is None or not rules.planned or now <= rules.start:
        return None
    pace = sum(seen.effect.arms) / ((now - rules.start) / 86_400e6)
    return max(0.0, (rules.planned - sum(seen.effect.arms)) / pace)


def keep_look(store: Store, told: Status, *, actor: str, clock: Clock) -> None:
    """Write a look down. Looks are free: they are kept so that who looked when can be seen."""
    store.append([Draft("experiment.looked", told.experiment.name, iso(clock()), actor, plain(told.look))])


def stop(
    store: Store,
    told: Status,
    decision: str,
    *,
    reason: str = "",
    actor: str,
    clock: Clock,
) -> Experiment:
    """End an experiment: its treatment leaves the route, and the decision is kept with what was seen. `ship`
    promotes nothing by itself: promotion goes through its own gates.

    Raises:
        UserError: it is over already, or what was seen does not allow to ship.
    """
    experiment = told.experiment
    if decision not in DECISIONS:
        raise UserError(f"{decision!r} is no decision", fix=f"choose from {', '.join(DECISIONS)}")
    if decision == "ship" and told.look.verdict is not Verdict.BETTER and not reason:
        raise UserError(
            f"the experiment does not show that it is better: {told.look.reason}",
            fix="wait, decide --keep, or say with --reason why it is shipped all the same",
        )
    while True:
        _, head = store.head()
        stopped = every(store)[experiment.name].stopped
        if stopped:
            raise UserError(f"{experiment.name} was stopped on {stopped[:19]}", fix="start another")
        route = moment(store).routes.get(experiment.route, Route(experiment.route))
        when = iso(clock())
        drafts = []
        if experiment.treatment in route.releases:
            arms = [to_plain(a) for a in route.arms if a.release != experiment.treatment]
            payload = {"arms": arms, "salt": route.salt, "ramp": dict(route.ramp)}
            drafts.append(Draft("route.set", experiment.route, when, actor, payload))
        seen = {"verdict": told.look.verdict.value, "seen": plain(told.look)}
        drafts.append(
            Draft(
                "experiment.stopped",
                experiment.name,
                when,
                actor,
                {"decision": decision, "reason": reason or told.look.reason, **seen},
            )
        )
        try:
            store.append(drafts, expect=head)
        except Conflict:
            continue
        return every(store)[experiment.name]


def plain(seen: Look) -> dict[str, Any]:
    """A look, ready for JSON."""
    made: dict[str, Any] = to_plain(replace(seen, verdict=seen.verdict))
    return made
