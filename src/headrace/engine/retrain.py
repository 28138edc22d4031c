"""Training again: the same spine and the same gates, on a fresh snapshot, behind a fresh seal.

The spec is the project's as it stands; what is set here is which rows are whose. A split by time gives the
newest rows to the test and those before them to validation, half of what came since the champion was trained
to training (else it would learn nothing of what has changed), and behind the seal lie rows that no opening
has spent from. How much history is learned from is chosen among `policy.windows` by rolling origin, on
training rows alone. Other splits stay as they are declared: their seals inherit what was opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import ceil
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import duration_micros, format_duration
from headrace.core.codec import from_plain, to_plain
from headrace.core.errors import NotFound, UserError
from headrace.core.schema import Snapshot
from headrace.core.spec import ParsedSpec
from headrace.core.spec.scalars import parse_share
from headrace.core.task import Feature
from headrace.data.split import TRAIN
from headrace.engine.columns import evaluate, read_columns
from headrace.engine.context import Caused, Context, Made
from headrace.engine.continuing import times_of
from headrace.engine.measures import find_metric
from headrace.engine.memo import recall
from headrace.engine.refitting import fold_columns
from headrace.engine.result import RunResult
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.split import load_array, task_of
from headrace.engine.targets import nulls
from headrace.learn.horizon import Length, best, folds_of, measured, origins
from headrace.learn.records import Member, Part, Setting
from headrace.release.manifest import Manifest

FRESH_SHARE = 4
"""One in so many of the fresh rows' span is for the test, and as much for validation."""
FEWEST = 200
"""Rows that each of the two holds at least: of few fresh rows a third, and no more than `split` says."""

SHARES = (1.0, 0.5, 0.25, 0.125)
"""Of the span of the training rows: the lengths of history that are compared where none are declared."""

Ints = NDArray[np.int64]


class Run(Protocol):
    """Runs a spec to the stage `to` (empty: to the end), on the snapshots of a run or on fresh ones."""

    def __call__(
        self, spec: ParsedSpec, *, to: str = "", snapshots: str = "", caused: Caused
    ) -> RunResult: ...


@dataclass(frozen=True)
class Retrained:
    """What came of training again. status: challenger (it passed every gate and waits for what the policy
    says), same (nothing new: the champion came out), blocked or failed, for the `reason`. lengths: of
    history, as they were compared."""

    status: str
    run: str = ""
    release: str = ""
    reason: str = ""
    split: Mapping[str, str] = field(default_factory=dict)
    lengths: tuple[Length, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As an event keeps it."""
        kept = {
            "status": self.status,
            "run": self.run,
            "release": self.release,
            "reason": self.reason,
            "split": dict(self.split),
            "lengths": [to_plain(n) for n in self.lengths],
        }
        return {n: v for n, v in kept.items() if v}


def retrain(
    ctx: Context,
    champion: Manifest,
    caused: Caused,
    run: Run,
    *,
    windows: Sequence[str] | None,
    holdout: str | None,
) -> Retrained:
    """Train again on what the tables hold now. `ctx` has the project's spec; `windows` are the lengths of
    history to choose between (one: that; empty: see `SHARES`; None: as the spec has it), `holdout` is how
    long the test is (None: see `FRESH_SHARE`).

    Raises:
        StoreError: the store refused.
    """
    first = run(ctx.parsed, to="ingest", caused=caused)
    if first.exit_code:
        return ended(first)
    parsed, lengths = ctx.parsed, tuple[Length, ...]()
    made = {"ingest": first.stages[-1].output}
    if _contents(snapshots_of(made)) == _contents(champion.snapshots):
        return Retrained("same", first.run, "", "the tables hold nothing that the champion has not seen")
    if ctx.spec.split.by == "time":
        parsed = with_split(parsed, fresh_split(replace(ctx, run=first.run), made, champion, holdout))
        if windows is not None and len(windows) != 1:
            middle = run(parsed, to="features", snapshots=first.run, caused=caused)
            if middle.exit_code:
                return ended(middle)
            lengths = compared(replace(ctx, parsed=parsed, run=middle.run), middle, champion, windows)
        wanted = _chosen(ctx, lengths) if lengths else "".join(windows or ())
        if wanted:
            parsed = with_split(parsed, {"history": wanted})
    last = run(parsed, snapshots=first.run, caused=caused)
    parts = {n: str(getattr(parsed.spec.split, n)) for n in ("validation", "test", "history")}
    split = {n: v for n, v in parts.items() if v != "None"} if parsed is not ctx.parsed else {}
    return replace(ended(last), split=split, lengths=lengths)


def _contents(snapshots: Mapping[str, Snapshot]) -> dict[str, str]:
    return {n: s.content for n, s in snapshots.items()}


def ended(result: RunResult) -> Retrained:
    """What a run came to."""
    reason = "; ".join(f"{p.what} ({p.why})" if p.why else p.what for p in result.problems[:3])
    if result.release and result.status == "awaiting approval":
        return Retrained("challenger", result.run, result.release)
    if result.status == "released":
        return Retrained("same", result.run, result.release, "nothing is new: it is the champion itself")
    status = "blocked" if result.error is None and result.status in ("blocked", "no-go") else "failed"
    return Retrained(status, result.run, result.release, reason or result.status)


def with_split(parsed: ParsedSpec, changes: Mapping[str, str | None]) -> ParsedSpec:
    """The spec with another split."""
    split = parsed.spec.split.model_copy(update=dict(changes))
    return replace(parsed, spec=parsed.spec.model_copy(update={"split": split}))


# --- which rows are whose ------------------------------------------------------------------------


def fresh_split(ctx: Context, made: Made, champion: Manifest, holdout: str | None = None) -> dict[str, str]:
    """Validation and test as durations, from the newest row with a target backwards; none where no row is
    newer than the champion's."""
    times = np.sort(_usable_times(ctx, made))
    newest = int(times[-1])
    _, known, _ = known_times(ctx, made, champion)
    if newest <= known:
        return {}
    span = duration_micros(holdout) if holdout else (newest - known) // FRESH_SHARE
    few = 0 if holdout else min(FEWEST, int(np.count_nonzero(times > known)) // 3)
    test = _between(times, newest, span, few, ctx.spec.split.test)
    left = times[times <= newest - test]
    if not left.size:
        return {}
    validation = _between(left, newest - test, span, few, ctx.spec.split.validation)
    return {"test": told(test), "validation": told(validation)}


def _between(times: Ints, end: int, span: int, few: int, declared: str | float) -> int:
    """How long a part is that ends at `end`: `span`, but `few` of the `times` long at least, and no longer
    than declared (a share of `times`, or a duration)."""
    if isinstance(declared, str) and not declared.strip().endswith("%"):
        most = duration_micros(declared)
    else:
        share = parse_share(declared) if isinstance(declared, str) else declared
        most = end - int(times[-min(ceil(share * times.size), times.size)])
    least = end - int(times[-min(few, times.size)]) if few else 0
    return max(min(max(span, least + 1), most), 1)


def told(micros: int) -> str:
    """A span as the spec has it; of long ones whole seconds."""
    if micros > 60_000_000:
        micros -= micros % 1_000_000
    return format_duration(timedelta(microseconds=micros))


def _usable_times(ctx: Context, made: Made) -> Ints:
    """The times of the events that have a target."""
    spec, compiled = ctx.spec, compiled_of(ctx, made)
    path = ctx.store.get(snapshots_of(made)[spec.data.events].artifact)
    values = evaluate({"target": compiled.target}, path, compiled.types)["target"]
    name = spec.data.time or ""
    times: Ints = read_columns(path, {name: compiled.types[name]})[name]
    usable = times[~nulls(compiled.target.type, values)]
    if not usable.size:
        raise UserError("no row has a target", where="problem.target", fix="bring labels, then train again")
    return usable


def known_times(ctx: Context, made: Made, champion: Manifest) -> tuple[int, int, int]:
    """The time of the newest row that the champion was trained on, of the newest that its run gave to any
    part, and of the newest with a target now (UTC microseconds).

    Raises:
        NotFound: its split is no longer kept.
    """
    split = recall(ctx.store, champion.stages["split"])
    events, name = champion.snapshots.get(ctx.spec.data.events), ctx.spec.data.time or ""
    if split is None or events is None:
        raise NotFound("the champion's split is no longer kept", fix="run `headrace run` by hand")
    path = ctx.store.get(events.artifact)
    times: Ints = read_columns(path, {name: events.types()[name]})[name]
    parts = load_array(ctx, split.outputs["parts"])
    newest = int(_usable_times(ctx, made).max())
    return int(times[parts == TRAIN].max()), int(times[parts >= 0].max()), newest


# --- how much history ----------------------------------------------------------------------------


def compared(
    ctx: Context, result: RunResult, champion: Manifest, windows: Sequence[str]
) -> tuple[Length, ...]:
    """Every length of history, measured by rolling origin with the champion's model and parameters; none
    where there are too few units to compare on."""
    made = {s.name: s.output for s in result.stages}
    outputs, times = made["features"].outputs, times_of(ctx, made, "train")
    if times is None:
        raise ValueError("lengths of history are of a split by time")
    train = Part(
        load_array(ctx, outputs["X_train"]),
        np.array(load_array(ctx, outputs["y_train"])),
        np.array(load_array(ctx, outputs["units_train"])),
        times=times,
    )
    features = tuple(from_plain(f, Feature) for f in made["features"].facts["features"])
    setting = Setting(features, task_of(made), ctx.spec.seed, ctx.spec.limits.threads)
    metric, member = find_metric(ctx.spec, ctx.spec.problem.metric), _member(ctx, champion)
    try:
        behind = origins(train.units, times)
    except UserError:
        return ()
    wanted: list[int | None] = [duration_micros(w) for w in windows]
    span = int(times.max() - times.min())
    wanted = wanted or [None if s == 1 else int(s * span) for s in SHARES]
    found = []
    for number, length in enumerate(wanted):
        ctx.tell("learn")("lengths of history", number, len(wanted))
        folds = folds_of(times, behind, length)
        with fold_columns(ctx, made, folds) as refits:
            found.append(measured(setting, metric, member, train, folds, length, refits))
    return tuple(found)


def _chosen(ctx: Context, lengths: Sequence[Length]) -> str:
    """The best length; empty, all there is, where none could be measured."""
    metric = find_metric(ctx.spec, ctx.spec.problem.metric)
    chosen = best(metric, lengths)
    return "" if chosen is None or chosen.micros is None else told(chosen.micros)


def _member(ctx: Context, champion: Manifest) -> Member:
    """What the champion's model is made of; of an ensemble the member that counts most."""
    learned = recall(ctx.store, champion.stages.get("learn", ""))
    recipe = learned.facts.get("recipe", []) if learned is not None else []
    if recipe:
        return max((from_plain(m, Member) for m in recipe), key=lambda m: abs(m.weight))
    name, model = next(iter(ctx.spec.model_specs().items()))
    return Member(name, model.use, dict(model.params))
