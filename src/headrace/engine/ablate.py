"""Each change of a run against the champion, run alone: which did what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from headrace.core.codec import from_json, to_json, to_plain
from headrace.core.errors import HeadraceError, NotFound, SpecError, UserError
from headrace.core.ports import Store
from headrace.core.spec import ParsedSpec, Spec
from headrace.core.views import RUN_KINDS, ReleaseView, RunView, runs
from headrace.engine import releases
from headrace.engine.contest import another_question
from headrace.engine.context import Context, Output
from headrace.engine.measures import find_metric
from headrace.engine.naming import ABLATION, parent_of, system_of
from headrace.engine.one_change import champion_system, pair
from headrace.engine.paired import Contender, of_release, of_run, on_fresh_rows
from headrace.engine.pins import output_of
from headrace.engine.plan import SPINE
from headrace.engine.tracking.notes import add_note
from headrace.metrics.record import Metric, Predictions
from headrace.policy.ablation import effect, left_over
from headrace.policy.changes import Ablation, Arm, Change, System, arm, changes, counted
from headrace.release.manifest import Manifest

LAST = "evaluate"


class RunArm(Protocol):
    """Runs a spec on the snapshots of a run, to the end of `evaluate`; the new run's name.

    Raises:
        HeadraceError: it could not begin, or a stage failed.
    """

    def __call__(self, spec: ParsedSpec, snapshots: str) -> str: ...


@dataclass(frozen=True)
class _Pair:
    """The challenger and the champion, and what differs."""

    run: RunView
    new: System
    champion: ReleaseView
    manifest: Manifest
    old: System
    found: tuple[Change, ...]


def ablate(ctx: Context, name: str | None, run_arm: RunArm) -> Ablation:
    """Run every change of a run (default: the newest) against the champion alone, with all else the
    champion's, and measure what each did on the same fresh validation rows. Appends `release.ablated`.

    All arms run with the code of today: where code changed, the champion's spec on the champion's snapshots
    is the arm of the code, and the other arms are measured against it.

    Raises:
        NotFound: there is no champion, no such run, or their artifacts are no longer kept.
        UserError: nothing changed, or the two answer different questions.
    """
    both = _pair(ctx.store, name)
    made = {s.stage.name: output_of(ctx.store, both.run, s.stage.name) for s in _until_package()}
    spec = _parsed(from_json(ctx.store.get(both.run.spec).read_bytes(), dict), both.run.run)
    ctx = replace(ctx, parsed=spec, run=both.run.run)
    other = another_question(ctx, made, both.manifest)
    if other:
        raise UserError(f"champion {both.champion.release} {other}", fix="compare runs with one target")
    arms = [_run(ctx, both, change, run_arm) for change in _order(both.found)]
    ctx.progress("ablate", "starts", 0, 0)
    result = _measured(ctx, both, made, arms)
    ctx.progress("ablate", "ran", 1, 1)
    payload = {"pair": pair(both.champion.release, both.new), "ablation": to_plain(result)}
    ctx.store.append([ctx.draft("release.ablated", both.champion.release, **payload)])
    return result


def _until_package() -> list[Any]:
    names = [s.stage.name for s in SPINE]
    return list(SPINE[: names.index("package") + 1])


def _pair(store: Store, name: str | None) -> _Pair:
    seen = runs(store.read(kinds=RUN_KINDS))
    run = seen.get(name) if name else parent_of(seen)
    if run is None or run.script:
        raise NotFound(
            f"there is no run {name!r} of the spine" if name else "there are no runs yet",
            fix="`headrace runs` lists them",
        )
    champion = releases.find(releases.view(store), None)
    manifest = releases.load_manifest(store, champion)
    new, old = system_of(store, run), champion_system(store, seen, manifest)
    if new is None or old is None or new.tables is None:
        who = f"champion {champion.release}" if old is None else run.run
        raise NotFound(f"what {who} was made from is no longer kept, or it read no table")
    found = counted(changes(new, old))
    if not found:
        raise UserError(
            f"{run.run} changed nothing against champion {champion.release}",
            why="counted are data, features, model, tuning, code and rules",
            fix="run what you changed first: headrace run",
        )
    return _Pair(run, new, champion, manifest, old, changes(new, old))


def _order(found: Sequence[Change]) -> list[Change]:
    """The code's arm first: the others are measured against it."""
    return sorted(counted(found), key=lambda c: c.component != "code")


def _parsed(plain: Mapping[str, Any], name: str) -> ParsedSpec:
    return ParsedSpec(Spec.model_validate_json(to_json(plain)), {}, name)


def _run(ctx: Context, both: _Pair, change: Change, run_arm: RunArm) -> Arm:
    """One arm's run, not yet measured."""
    component, texts = change.component, " ".join(change.texts)
    ctx.progress("ablate", f"{component} alone", 0, 0)
    if len(counted(both.found)) == 1:
        return Arm(component, texts, both.run.run)
    if component == "model" and both.new.given != both.old.given:
        why = (
            "a script's model is fitted behind one run's features: fit it on the champion's and give it there"
        )
        return Arm(component, texts, separable=False, why_none=why)
    plain = arm(both.old.spec, both.new.spec, component)
    snapshots = both.run.run if component == "data" else both.manifest.run
    try:
        run = run_arm(_parsed(plain, f"the arm of {component}"), snapshots)
    except HeadraceError as error:
        # A spec that is none without the other changes; a stage that fails is no proof of that.
        separable = not isinstance(error, SpecError)
        return Arm(component, texts, separable=separable, why_none=error.problems[0].what)
    view = runs(ctx.store.read(kinds=RUN_KINDS))[run]
    add_note(
        ctx.store,
        view,
        f"{component} alone, of {both.run.run} against champion {both.champion.release}",
        tags={ABLATION: component},
        group=f"ablation of {both.run.run}",
        actor=ctx.actor,
        clock=ctx.clock,
    )
    return Arm(component, texts, run)


def _measured(ctx: Context, both: _Pair, made: Mapping[str, Output], arms: list[Arm]) -> Ablation:
    events, champion = ctx.spec.data.events, both.champion.release
    seen = runs(ctx.store.read(kinds=RUN_KINDS))
    contenders = [
        of_run(ctx.store, both.run, events),
        of_release(ctx.store, champion, both.manifest, events),
    ]
    ready: list[Arm] = []
    for one in arms:
        try:
            contender = of_run(ctx.store, seen[one.run], events) if one.run else None
        except NotFound as error:
            problems = [p["what"] for p in seen[one.run].summary.get("problems", ())]
            one, contender = replace(one, why_none="; ".join(problems) or error.problems[0].what), None
        ready.append(one)
        contenders += [replace(contender, name=one.component)] if contender is not None else []
    answers = _answers(ctx, made, contenders)
    metric = find_metric(ctx.spec, ctx.spec.problem.metric)
    ctx.progress("ablate", "measuring", 0, 0)
    return _told(ctx, both, metric, ready, answers)


def _answers(
    ctx: Context, made: Mapping[str, Output], contenders: Sequence[Contender]
) -> dict[str, Predictions]:
    _, answers = on_fresh_rows(ctx, made, contenders, "ablate")
    return dict(zip((c.name for c in contenders), answers, strict=True))


def _told(
    ctx: Context, both: _Pair, metric: Metric, arms: Sequence[Arm], answers: Mapping[str, Predictions]
) -> Ablation:
    ours, theirs, seed = answers[both.run.run], answers[both.champion.release], ctx.spec.seed
    base = answers.get("code", theirs)
    measured = [
        effect(
            one.component,
            one.changed,
            one.run,
            metric,
            answers[one.component],
            theirs if one.component == "code" else base,
            seed=seed,
        )
        if one.component in answers
        else one
        for one in arms
    ]
    total = effect("total", "", both.run.run, metric, ours, theirs, seed=seed)
    terms = [(1.0, ours), (-1.0, theirs)]
    for one in arms:
        if one.component in answers:
            terms += [(-1.0, answers[one.component]), (1.0, theirs if one.component == "code" else base)]
    frame = next((" ".join(c.texts) for c in both.found if not c.counts), "")
    return Ablation(
        run=both.run.run,
        champion=both.champion.release,
        system=both.new.digest(),
        metric=metric.name,
        rows=ours.rows,
        units=total_units(ours),
        arms=tuple(measured),
        total=total,
        left_over=left_over(metric, terms, seed=seed),
        complete=all(a.effect is not None or not a.separable for a in measured)
        and any(a.effect is not None for a in measured),
        frame=frame,
    )


def total_units(p: Predictions) -> int:
    """How many independent units the rows are of."""
    return len(set(p.units.tolist()))
