"""Stage 10: a release is made; it becomes challenger, then champion, if it earns it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import from_plain, to_json
from headrace.core.digest import digest
from headrace.core.errors import GateBlocked, HeadraceError, NotFound
from headrace.core.evidence import Evidence, Rule, Verdict
from headrace.core.views import ReleaseView, State
from headrace.data.split import TRAIN
from headrace.engine import releases
from headrace.engine.ages import tables_used
from headrace.engine.author import commit
from headrace.engine.code import library_versions
from headrace.engine.context import Context, Output
from headrace.engine.gates import enforce, judge_all
from headrace.engine.measures import find_metric
from headrace.engine.memo import recall
from headrace.engine.recheck import recheck
from headrace.engine.result import Trail
from headrace.engine.rivals import pick
from headrace.engine.scores import score_rows
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import privacy_of, snapshots_of
from headrace.engine.stages.package import serving_of
from headrace.engine.stages.split import identities, load_array
from headrace.graph.run import Runner
from headrace.metrics.intervals import paired
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions
from headrace.release.manifest import Manifest, Serving, Standing, TestEstimate

LIBRARIES = ("numpy", "onnx", "onnxruntime", "lightgbm", "scikit-learn", "duckdb", "pyarrow", "sqlglot")
ID_LENGTH = 12


def promote_run(ctx: Context, name: str, trail: Trail) -> None:
    """Make the run's release and move it as far as gates and approvals let it go.

    Raises:
        GateBlocked: the go or an assumption no longer holds, it is worse than the champion, or it was
            champion before and was taken down.
        AwaitingApproval: somebody else has to approve it.
    """
    clock, allow_self = ctx.clock, ctx.spec.problem.approval == "self"
    ctx.progress("promote", "starts", 0, 0)
    champion = releases.view(ctx.store).champion
    again, rules = recheck(ctx)
    margin = Rule(">=", -ctx.spec.promote.margin, safe_end=True)
    evidence = [*again, _against_champion(ctx, trail, champion)]
    verdicts = judge_all(ctx, "promote", evidence, {**rules, "champion": margin})
    trail.verdicts += verdicts
    release = champion if champion is not None and _is(ctx, trail, champion) else _make(ctx, name, trail)
    trail.release = release.release
    if release.state == State.CHAMPION:
        ctx.progress("promote", "cached", 1, 1)
        return
    if release.state == State.RETIRED:
        raise GateBlocked(
            f"release {release.release} was champion before and was taken down",
            why="what was rolled back or replaced does not come back by itself",
            fix=f"change something, or bring it back by name: headrace release promote {release.release}",
        )
    enforce(ctx, verdicts)
    against = champion.release if champion else ""
    releases.challenge(ctx.store, release.release, against=against, actor=ctx.actor, clock=clock)
    if allow_self:
        releases.approve(ctx.store, release.release, by=ctx.actor, clock=clock)
    releases.promote(ctx.store, release.release, actor=ctx.actor, clock=clock)
    ctx.progress("promote", "ran", 1, 1)


def _waived(verdicts: Iterable[Verdict]) -> list[str]:
    return sorted({v.waiver.event for v in verdicts if v.waiver})


def _keys(stages: Mapping[str, str]) -> dict[str, str]:
    """Without the frame's, which is new each day: nothing that is served depends on it."""
    return {name: key for name, key in stages.items() if name != "frame"}


def _name(ctx: Context, trail: Trail) -> str:
    """The release's name: the same spec, stages and waivers are the same release."""
    stages = _keys({s.name: s.key for s in trail.stages})
    return digest(["release", ctx.spec.digest(), stages, _waived(trail.verdicts)])[:ID_LENGTH]


def _is(ctx: Context, trail: Trail, champion: ReleaseView) -> bool:
    """Whether this run made the champion again. A waiver of the champion gate itself is no difference: what
    has won needs none against itself."""
    manifest = releases.load_manifest(ctx.store, champion)
    before = [v for v in manifest.verdicts if v.stage != "promote"]
    now = [v for v in trail.verdicts if v.stage != "promote"]
    return (
        manifest.spec_digest == ctx.spec.digest()
        and _keys(manifest.stages) == _keys({s.name: s.key for s in trail.stages})
        and _waived(before) == _waived(now)
    )


def _make(ctx: Context, name: str, trail: Trail) -> ReleaseView:
    release = _name(ctx, trail)
    known = releases.view(ctx.store).releases.get(release)
    if known is not None:
        return known
    manifest = ctx.store.put(to_json(_manifest(ctx, name, trail)))
    return releases.make(ctx.store, release, manifest.digest, run=ctx.run, actor=ctx.actor, clock=ctx.clock)


def _manifest(ctx: Context, name: str, trail: Trail) -> Manifest:
    made, spec = trail.made, ctx.spec
    head, dirty = commit(ctx.root)
    learned = made["learn"]
    seconds = learned.notes.get("seconds", {})
    used = tables_used(ctx, made)
    return Manifest(
        project=spec.project,
        run=ctx.run,
        name=name,
        made=ctx.now(),
        author=ctx.actor,
        serving=_described(serving_of(made), spec.problem.columns),
        target=spec.problem.target,
        metric=spec.problem.metric,
        spec=ctx.store.put(to_json(spec.plain())).digest,
        spec_digest=spec.digest(),
        model=learned.facts["model"],
        features={n: f.expr for n, f in spec.feature_specs().items()},
        seed=spec.seed,
        leaderboard=tuple(
            from_plain({**line, "seconds": seconds.get(line["model"], 0.0)}, Standing)
            for line in learned.facts["leaderboard"]
        ),
        validation=made["evaluate"].facts["metrics"],
        test=from_plain(made["test"].facts["estimate"], TestEstimate),
        verdicts=tuple(trail.verdicts),
        snapshots={
            n: dataclasses.replace(s, taken=used[n]["taken"], newest=used[n]["newest"])
            for n, s in snapshots_of(made).items()
        },
        privacy=privacy_of(ctx, made),
        stages={s.name: s.key for s in trail.stages},
        commit=head,
        dirty=dirty,
        libraries=library_versions(LIBRARIES),
        columns=dict(spec.problem.columns),
    )


def _described(serving: Serving, columns: Mapping[str, str]) -> Serving:
    """What columns mean, put in last: a word in a description is no reason to package again."""
    fields = tuple(dataclasses.replace(f, description=columns.get(f.name, "")) for f in serving.fields)
    return dataclasses.replace(serving, fields=fields)


def _against_champion(ctx: Context, trail: Trail, champion: ReleaseView | None) -> Evidence:
    """Challenger against champion on the same validation rows, none of which either was trained on.

    The value is the paired difference as a share of the champion's value; positive is better.
    """
    if champion is None:
        return Evidence("champion", None, applies=False, why_none="there is no champion yet")
    if _is(ctx, trail, champion):
        return Evidence("champion", None, applies=False, why_none="the release is the champion itself")
    manifest = releases.load_manifest(ctx.store, champion)
    if manifest.serving.task != serving_of(trail.made).task or manifest.target != ctx.spec.problem.target:
        return Evidence(
            "champion",
            None,
            applies=False,
            why_none=f"champion {champion.release} predicts something else ({manifest.target})",
        )
    try:
        ours, theirs = _both(ctx, trail.made, manifest)
    except HeadraceError as error:
        why = f"champion {champion.release} can't answer these rows: {error.problems[0].what}"
        return Evidence("champion", None, why_none=why)
    metric = find_metric(ctx.spec, ctx.spec.problem.metric)
    estimate = paired(metric, ours, theirs, seed=ctx.spec.seed)
    base = abs(measure(metric, theirs)) or 1.0
    interval = estimate.interval
    if interval is not None:
        interval = dataclasses.replace(interval, low=interval.low / base, high=interval.high / base)
    return Evidence(
        "champion",
        estimate.value / base,
        unit=f"share of the champion's {ctx.spec.problem.metric}",
        n=estimate.n_units,
        interval=interval,
        where=f"against {champion.release} on {estimate.n_rows} rows",
        why_none=estimate.why_none,
    )


def _both(ctx: Context, made: Mapping[str, Output], champion: Manifest) -> tuple[Predictions, Predictions]:
    """The answers of both on the validation rows that the champion was not trained on."""
    rows = rows_of(ctx, made, "validation")
    fresh = _fresh(ctx, made, champion, rows.row_numbers())
    if not fresh.any():
        raise NotFound("the champion was trained on every row of this validation part")
    threads = ctx.spec.limits.threads
    runners = [
        Runner(ctx.store.get(graph), threads=threads)
        for graph in (made["package"].outputs["graph"], champion.serving.graph)
    ]
    ours, theirs = (score_rows(ctx, made, runner, rows, "promote") for runner in runners)
    return pick(ours, fresh), pick(theirs, fresh)


def _fresh(
    ctx: Context, made: Mapping[str, Output], champion: Manifest, rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of these rows the champion was not trained on, by the rows' identities."""
    events = snapshots_of(made)[ctx.spec.data.events]
    before = recall(ctx.store, champion.stages["split"])
    if before is None:
        raise NotFound("the champion's split is no longer kept")
    if before.outputs["parts"] == made["split"].outputs["parts"]:
        snapshot = champion.snapshots.get(events.table)
        if snapshot is not None and snapshot.content == events.content:
            return np.ones(len(rows), dtype=np.bool_)
    theirs = champion.snapshots[events.table]
    trained = load_array(ctx, before.outputs["parts"]) == TRAIN
    mask = np.zeros(events.rows, dtype=np.bool_)
    mask[rows] = True
    return ~np.isin(identities(ctx, events, mask), identities(ctx, theirs, trained))
