"""Stage 10: a release is made; it becomes challenger, then champion, if it earns it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from headrace.core.codec import from_plain, to_json
from headrace.core.digest import digest
from headrace.core.errors import AwaitingApproval, GateBlocked
from headrace.core.evidence import Evidence, Verdict
from headrace.core.views import Releases, ReleaseView, State
from headrace.engine import contest, releases, skew, speed
from headrace.engine.ages import tables_used
from headrace.engine.author import commit
from headrace.engine.code import library_versions
from headrace.engine.context import Context, Stage
from headrace.engine.gates import enforce, judge_all
from headrace.engine.memo import recall, stage_key
from headrace.engine.recheck import recheck
from headrace.engine.result import Trail
from headrace.engine.reviewing import review_plan
from headrace.engine.serve_plan import serve_plan
from headrace.engine.skew import Ways
from headrace.engine.speed import Timed
from headrace.engine.stages.ingest import privacy_of, snapshots_of
from headrace.engine.watch_plan import watch_plan
from headrace.release.manifest import Manifest, Serving, Standing, TestEstimate

LIBRARIES = ("numpy", "onnx", "onnxruntime", "lightgbm", "scikit-learn", "duckdb", "pyarrow", "sqlglot")
ID_LENGTH = 12


def promote_run(ctx: Context, name: str, trail: Trail, ways: Ways | None, timed: Timed | None = None) -> None:
    """Make the run's release and move it as far as gates and approvals let it go. `ways` are how it is asked
    as it will be served, `timed` is how that is timed.

    Raises:
        GateBlocked: the go or an assumption no longer holds, it is worse than the champion, or it was
            champion before and was taken down.
        AwaitingApproval: somebody else has to approve it.
    """
    clock, allow_self = ctx.clock, ctx.spec.problem.approval == "self"
    ctx.progress("promote", "starts", 0, 0)
    state = releases.view(ctx.store)
    champion = state.champion
    again, rules = recheck(ctx)
    compared = _contest(ctx, trail, state)
    asked = [] if _is_asked(trail) else _skew(ctx, trail, champion, ways)
    if not (_is_asked(trail) or (champion is not None and _is(ctx, trail, champion))):
        asked += _speed(ctx, trail, timed)
    held = {**rules, **contest.rules(ctx, compared), **skew.RULES, **speed.targets(ctx.spec)}
    verdicts = judge_all(ctx, "promote", [*again, *compared, *asked], held)
    trail.verdicts += verdicts
    release = champion if champion is not None and _is(ctx, trail, champion) else _make(ctx, name, trail)
    trail.release = release.release
    if release.state == State.CHAMPION:
        ctx.progress("promote", "cached", 1, 1)
        return
    if release.refused and not release.promoted:
        raise GateBlocked(
            f"release {release.release} was refused by {release.refused_by}",
            why=release.refused,
            fix="change something: the same work is the same release",
        )
    if release.state == State.RETIRED:
        raise GateBlocked(
            f"release {release.release} was champion before and was taken down",
            why="what was rolled back or replaced does not come back by itself",
            fix=f"change something, or bring it back by name: headrace release promote {release.release}",
        )
    enforce(ctx, verdicts)
    against = champion.release if champion else ""
    releases.challenge(ctx.store, release.release, against=against, actor=ctx.actor, clock=clock)
    if ctx.caused is not None and ctx.caused.holds:
        raise AwaitingApproval(
            f"release {release.release} passed every gate, and is a challenger",
            why=f"it was made by {ctx.caused.job}, and the policy says how it comes to answer",
            fix="see `headrace jobs list`",
        )
    if allow_self:
        releases.approve(ctx.store, release.release, by=ctx.actor, clock=clock)
    releases.promote(ctx.store, release.release, actor=ctx.actor, clock=clock)
    ctx.progress("promote", "ran", 1, 1)


def _contest(ctx: Context, trail: Trail, state: Releases) -> list[Evidence]:
    champion = state.champion
    if champion is None:
        return contest.not_asked("there is no champion yet")
    if _is(ctx, trail, champion):
        return contest.not_asked("the release is the champion itself")
    return contest.contest(ctx, trail.made, state, champion)


def ask_before_the_seal(
    ctx: Context, opens: Stage, trail: Trail, ways: Ways | None, timed: Timed | None = None
) -> None:
    """Measure skew and speed ahead of the stage that opens the seal, where that is still to be done: a
    release that a server would answer otherwise, or too slowly, spends no opening.

    Raises:
        GateBlocked: requests don't get what training computed, or wait longer than the spec allows.
    """
    if recall(ctx.store, stage_key(opens, ctx, trail.made)) is not None:
        return
    found = [*skew.skew(ctx, trail.made, ways), *_speed(ctx, trail, timed)]
    verdicts = judge_all(ctx, "promote", found, {**skew.RULES, **speed.targets(ctx.spec)})
    trail.verdicts += verdicts
    enforce(ctx, verdicts)


def _is_asked(trail: Trail) -> bool:
    return any(v.gate in skew.RULES for v in trail.verdicts)


def _speed(ctx: Context, trail: Trail, timed: Timed | None) -> list[Evidence]:
    trail.speed, found = speed.speed(ctx, trail.made, timed)
    return found


def _skew(ctx: Context, trail: Trail, champion: ReleaseView | None, ways: Ways | None) -> list[Evidence]:
    if champion is not None and _is(ctx, trail, champion):
        return skew.not_asked("the release is the champion itself")
    return skew.skew(ctx, trail.made, ways)


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
    plan, serving = serve_plan(ctx, made)
    return Manifest(
        project=spec.project,
        run=ctx.run,
        name=name,
        made=ctx.now(),
        author=ctx.actor,
        serving=_described(
            dataclasses.replace(serving, reference=made["evaluate"].outputs.get("reference", "")),
            spec.problem.columns,
        ),
        target=spec.problem.target,
        metric=spec.problem.metric,
        spec=ctx.store.put(to_json(spec.plain())).digest,
        spec_digest=spec.digest(),
        model=learned.facts["model"],
        features={n: f.text for n, f in spec.feature_specs().items()},
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
        plan=dataclasses.replace(plan, speed=trail.speed),
        review=review_plan(ctx, made),
        watch=watch_plan(ctx, made, serving),
    )


def _described(serving: Serving, columns: Mapping[str, str]) -> Serving:
    """What columns mean, put in last: a word in a description is no reason to package again."""
    fields = tuple(dataclasses.replace(f, description=columns.get(f.name, "")) for f in serving.fields)
    return dataclasses.replace(serving, fields=fields)
