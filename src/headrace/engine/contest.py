"""A challenger against the champion and all champions before: the evidence of the gates of promotion."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from headrace.core.errors import HeadraceError
from headrace.core.evidence import Evidence, Rule
from headrace.core.spec.judging import Evaluate
from headrace.core.views import Releases, ReleaseView
from headrace.engine import one_change, releases
from headrace.engine.context import Context, Made
from headrace.engine.evaluation import watch
from headrace.engine.measures import find_metric
from headrace.engine.paired import of_made, of_release, on_fresh_rows
from headrace.engine.scores import score_rows
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.split import task_of
from headrace.graph.run import Runner
from headrace.metrics.record import Bools, Predictions
from headrace.policy.promotion import (
    Gain,
    best_evidence,
    gain,
    gain_evidence,
    slice_evidence,
    slice_gains,
    standing_line,
)
from headrace.release.manifest import Manifest

GATES = ("champion", "best-so-far")


def rules(ctx: Context, evidence: Sequence[Evidence]) -> dict[str, Rule]:
    """What the evidence is held to: no worse than the margin at the safe end; in a slice, no loss beyond
    noise that is larger than the slices' margin."""
    overall = Rule(">=", -ctx.spec.promote.margin, safe_end=True)
    of_slice = Rule(">=", -ctx.spec.promote.slice_margin)
    known = {**dict.fromkeys(GATES, overall), one_change.GATE: one_change.RULE}
    return {e.gate: known.get(e.gate, of_slice) for e in evidence}


def not_asked(why: str) -> list[Evidence]:
    """The question does not arise."""
    none = [Evidence(gate, None, applies=False, why_none=why) for gate in GATES]
    return [*none, one_change.not_asked(why)]


def contest(ctx: Context, made: Made, state: Releases, champion: ReleaseView) -> list[Evidence]:
    """Challenger against champion, overall and in every declared slice, then against the champions before it,
    on validation rows that none of the two was trained on."""
    manifest = releases.load_manifest(ctx.store, champion)
    other = another_question(ctx, made, manifest)
    best = _best(ctx, made, state, champion.release)
    if other:
        why = f"champion {champion.release} {other}"
        first = Evidence("champion", None, applies=False, why_none=why)
        return [first, best, one_change.not_asked(why)]
    changed = one_change.one_change(ctx, made, champion.release, manifest)
    return [*_against(ctx, made, champion.release, manifest), best, changed]


def another_question(ctx: Context, made: Made, manifest: Manifest) -> str:
    """Why a release does not answer the same question; empty where it does."""
    if manifest.serving.task != task_of(made) or manifest.target != ctx.spec.problem.target:
        return f"predicts something else ({manifest.target})"
    return ""


def _against(ctx: Context, made: Made, name: str, manifest: Manifest) -> list[Evidence]:
    metric = find_metric(ctx.spec, ctx.spec.problem.metric)
    try:
        fresh, ours, theirs = _meet(ctx, made, name, manifest)
    except HeadraceError as error:
        return [Evidence("champion", None, why_none=_unanswered(f"champion {name}", error))]
    ctx.tell("promote")("comparing with the champion", 0, 0)
    overall = gain(metric, ours, theirs, seed=ctx.spec.seed)
    evidence = [gain_evidence("champion", overall, metric, name, chosen_here(ctx))]
    slices = _slices(ctx, made, fresh)
    found = slice_gains(
        metric,
        ours,
        theirs,
        slices,
        min_rows=ctx.spec.evaluate.min_rows,
        seed=ctx.spec.seed,
        progress=ctx.tell("promote"),
    )
    return [*evidence, *slice_evidence(found, metric, name)]


def _meet(ctx: Context, made: Made, name: str, manifest: Manifest) -> tuple[Bools, Predictions, Predictions]:
    contenders = [
        of_made(ctx, made, "the challenger"),
        of_release(ctx.store, name, manifest, ctx.spec.data.events),
    ]
    fresh, (ours, theirs) = on_fresh_rows(ctx, made, contenders, "promote")
    return fresh, ours, theirs


def _unanswered(who: str, error: HeadraceError) -> str:
    return f"{who} can't answer these rows: {error.problems[0].what}"


def chosen_here(ctx: Context) -> str:
    """What has to be known of rows that were not trained on, but looked at: empty where nothing."""
    if ctx.given is not None:
        return "what the given model was fitted on is its script's word"
    if ctx.spec.cv.holdout:
        return "the challenger was chosen on these rows (cv.holdout), which favours it"
    return ""


def _slices(ctx: Context, made: Made, fresh: Bools) -> dict[str, Bools]:
    """The rows of every declared slice, among the fresh ones."""
    declared = ctx.spec.evaluate
    if not declared.slices:
        return {}
    # Evaluation's own way of slicing, without all else that it looks at.
    alone = Evaluate(slices=declared.slices, min_rows=declared.min_rows, search=False)
    spec = ctx.spec.model_copy(update={"evaluate": alone})
    only = dataclasses.replace(ctx, parsed=dataclasses.replace(ctx.parsed, spec=spec))
    runner = Runner(ctx.store.get(made["package"].outputs["graph"]), threads=ctx.spec.limits.threads)
    rows = rows_of(ctx, made, "validation")
    watched = watch(only, made, runner, score_rows(ctx, made, runner, rows, "promote"))
    found: dict[str, Bools] = {}
    for grouping in watched.declared:
        for code, label in enumerate(grouping.labels):
            if grouping.own[code]:
                found[label] = grouping.rows(code)[fresh]
    return found


def _best(ctx: Context, made: Made, state: Releases, champion: str) -> Evidence:
    former = [n for n in standing_line(state.reigns) if n != champion]
    if not former:
        return Evidence("best-so-far", None, applies=False, why_none="there was no champion before this one")
    found: dict[str, Gain] = {}
    left_out: list[str] = []
    metric = find_metric(ctx.spec, ctx.spec.problem.metric)
    for i, name in enumerate(former):
        ctx.tell("promote")("comparing with champions before", i, len(former))
        manifest = releases.load_manifest(ctx.store, state.releases[name])
        other = another_question(ctx, made, manifest)
        if other:
            left_out.append(f"{name} {other}")
            continue
        try:
            _, ours, theirs = _meet(ctx, made, name, manifest)
        except HeadraceError as error:
            left_out.append(_unanswered(name, error))
            continue
        found[name] = gain(metric, ours, theirs, seed=ctx.spec.seed)
    if not found:
        why = "no former champion can be compared: " + "; ".join(left_out)
        return Evidence("best-so-far", None, applies=False, why_none=why)
    return best_evidence(found, metric, left_out)
