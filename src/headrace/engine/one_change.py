"""Does a release differ from the champion in one thing only? If not: has each been measured alone?"""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.codec import from_plain
from headrace.core.digest import digest
from headrace.core.evidence import Evidence, Rule
from headrace.core.ports import Store
from headrace.core.views import RUN_KINDS, RunView, runs
from headrace.engine.context import Context, Made
from headrace.engine.memo import recall
from headrace.engine.naming import snapshots_made, system_of
from headrace.policy.changes import Ablation, Change, System, changes, counted
from headrace.release.manifest import Manifest

GATE = "one-change"
RULE = Rule("<=", 1)


def not_asked(why: str) -> Evidence:
    """The question does not arise."""
    return Evidence(GATE, None, applies=False, why_none=why)


def one_change(ctx: Context, made: Made, champion: str, manifest: Manifest) -> Evidence:
    """How many components of the champion's system a run under way changed that were not told apart by an
    ablation."""
    if not ctx.spec.promote.one_change:
        return not_asked("promote.one_change is false")
    seen = runs(ctx.store.read(kinds=RUN_KINDS))
    new = system_of(ctx.store, seen[ctx.run], snapshots_made(made))
    old = champion_system(ctx.store, seen, manifest)
    if new is None or old is None:
        return Evidence(GATE, None, why_none=f"what champion {champion} was made from is no longer kept")
    found = changes(new, old)
    if same_model(ctx, made, manifest):  # rows that taught it nothing are no change of the system
        found = tuple(c for c in found if c.component != "data")
    told = ablation_of(ctx.store, champion, new) if len(counted(found)) > 1 else None
    return _evidence(found, champion, told)


def _evidence(found: tuple[Change, ...], champion: str, told: Ablation | None) -> Evidence:
    system = counted(found)
    said = "; ".join(str(c) for c in found) or "nothing"
    if told is not None:
        arms = ", ".join(a.component for a in told.arms)
        said = f"told apart by an ablation ({arms}): {said}"
    return Evidence(
        GATE,
        1.0 if told is not None else float(len(system)),
        unit="components changed at once",
        n=len(system),
        where=f"against {champion}: {said}",
        details={"changes": {c.component: list(c.texts) for c in found}},
    )


def same_model(ctx: Context, made: Made, manifest: Manifest) -> bool:
    """Whether a run under way learned the very model of a release: the same graph of features, and the same
    scores to the last bit for the rows that both were probed with. Its threshold may be another."""
    roles = (("features", "graph"), ("features", "X_probe"), ("learn", "probe_scores"))
    kept = {n: recall(ctx.store, manifest.stages.get(n, "")) for n, _ in roles}
    return all(
        (output := kept[stage]) is not None and output.outputs.get(role) == made[stage].outputs.get(role)
        for stage, role in roles
    )


def champion_system(store: Store, seen: Mapping[str, RunView], manifest: Manifest) -> System | None:
    """What a release was made from; None where that is no longer kept."""
    run = seen.get(manifest.run)
    return system_of(store, run, manifest.snapshots) if run is not None else None


def pair(champion: str, new: System) -> str:
    """The name of a comparison: any run of the same system is the same challenger."""
    return digest(["ablation", champion, new.digest()])


def ablation_of(store: Store, champion: str, new: System) -> Ablation | None:
    """The newest complete ablation of this system against this champion."""
    wanted = pair(champion, new)
    for event in store.read(kinds=("release.ablated",), subject=champion, newest_first=True):
        if event.payload["pair"] == wanted:
            found = from_plain(event.payload["ablation"], Ablation)
            if found.complete:
                return found
    return None
