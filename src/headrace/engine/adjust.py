"""Choosing the decision threshold anew, on recent rows: the champion's own model, decided otherwise.

The fresh rows are divided in three: the oldest half has the threshold chosen on it, by what the champion's
graph answers; the rest are validation and test, which have no say in it. The spine then runs with that
threshold and the champion's training rows (`split.until`), learns the very same model, and the release
differs in the threshold alone. Where the model does not come out the same (a search with a budget of time,
say), it is said, and nothing is made.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headrace.core.clock import duration_micros, from_micros, iso
from headrace.core.errors import NotFound, UserError
from headrace.engine.aims import aim_for
from headrace.engine.context import Caused, Context, Made
from headrace.engine.measures import find_metric
from headrace.engine.one_change import same_model
from headrace.engine.paired import of_release
from headrace.engine.retrain import Retrained, Run, ended, fresh_split, known_times, told, with_split
from headrace.engine.scores import score_rows
from headrace.engine.stages.features import plan_of, rows_of
from headrace.engine.stages.split import task_of
from headrace.graph.run import Runner
from headrace.learn.measure import best_threshold
from headrace.release.manifest import Manifest

FEWEST = 50
"""Labelled rows that a threshold is chosen on, at least."""


def adjust(
    ctx: Context, name: str, champion: Manifest, caused: Caused, run: Run, *, holdout: str | None
) -> Retrained:
    """Make a challenger that decides from another threshold on. `name` is the champion's; `ctx` has the
    project's spec.

    Raises:
        UserError: the split is not by time, or there are too few fresh rows.
        NotFound: what the champion was trained on is no longer kept.
        StoreError: the store refused.
    """
    if ctx.spec.split.by != "time":
        raise UserError(
            "a threshold is chosen anew on the newest rows, and the split is not by time",
            where="split.by",
            fix="retrain instead",
        )
    first = run(ctx.parsed, to="ingest", caused=caused)
    if first.exit_code:
        return ended(first)
    ingested = replace(ctx, run=first.run)
    made: Made = {"ingest": first.stages[-1].output}
    fresh = fresh_split(ingested, made, champion, holdout)
    trained, known, newest = known_times(ingested, made, champion)
    if not fresh:
        return Retrained("same", first.run, "", "the tables hold nothing that the champion has not seen")
    ahead = sum(duration_micros(fresh[p]) for p in ("validation", "test"))
    between = max(newest - ahead - known, 1)
    until = {"until": iso(from_micros(trained)), "history": ctx.spec.split.history}
    looked = {"test": told(ahead), "validation": told(between), **until}
    middle = run(with_split(ctx.parsed, looked), to="split", snapshots=first.run, caused=caused)
    if middle.exit_code:
        return ended(middle)
    parts = {s.name: s.output for s in middle.stages}
    threshold = choose(replace(ctx, run=middle.run), parts, name, champion)
    split = with_split(ctx.parsed, {**fresh, **until})
    parsed = replace(split, spec=split.spec.model_copy(update={"threshold": threshold}))
    last = run(parsed, snapshots=first.run, caused=caused)
    done = replace(ended(last), split={**fresh, "threshold": f"{threshold:.4g}"})
    learned = {s.name: s.output for s in last.stages}
    if done.status == "challenger" and not same_model(ctx, learned, champion):
        return replace(
            done, status="failed", reason="the champion's model did not come out the same: retrain"
        )
    return done


def choose(ctx: Context, made: Made, name: str, champion: Manifest) -> float:
    """The threshold that the goal, or the metric, likes best on this run's validation rows, by what the
    champion answers for them.

    Raises:
        UserError: they are too few, or of one class.
    """
    contender = of_release(ctx.store, name, champion, ctx.spec.data.events)
    runner = Runner(ctx.store.get(contender.graph), threads=ctx.spec.limits.threads)
    rows = rows_of(ctx, made, "validation").with_histories(plan_of(ctx, made, contender.histories))
    seen = score_rows(ctx, made, runner, rows.with_functions(contender.plan(ctx.store)), "learn")
    if seen.rows < FEWEST or len(np.unique(seen.y)) < 2:
        raise UserError(
            f"{seen.rows} fresh rows with a truth are too few to choose a threshold on",
            why=f"it takes {FEWEST}, of both classes",
            fix="wait for more labels",
        )
    aim = aim_for(ctx, made, seen.units) or find_metric(ctx.spec, ctx.spec.problem.metric)
    found = best_threshold(task_of(made), aim, seen.y, seen.score, units=seen.units)
    if found is None:
        raise NotFound("no threshold could be chosen", fix="a threshold is of two classes")
    return float(found)
