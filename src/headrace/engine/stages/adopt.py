"""Stage 6, where a script gave the model: it meets the baselines on validation rows, and goes on through the
same gates as a candidate of the spec's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headrace.core.codec import from_json, to_plain
from headrace.core.errors import NotFound, UserError
from headrace.core.evidence import Rule
from headrace.core.ports import Store
from headrace.core.views import RunView
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.stages import learn
from headrace.engine.stages.split import task_of
from headrace.engine.tracking.record import Given, Tracked
from headrace.learn.given import GIVEN, GivenCandidate, restored
from headrace.learn.records import ModelChoice
from headrace.learn.run import Deepening


def given_by(store: Store, run: RunView) -> Given:
    """The model that a script's run gave.

    Raises:
        NotFound: it gave none.
    """
    logged = from_json(store.get(run.logged).read_bytes(), Tracked) if run.logged else Tracked()
    if logged.model is None:
        raise NotFound(
            f"{run.run} gave no model",
            why="it is a run of the spine" if not run.script else "",
            fix="call run.log_model(estimator) in the script; `headrace runs` lists the runs",
        )
    return logged.model


def _slice(ctx: Context) -> Any:
    spec = ctx.spec
    return {
        "given": to_plain(ctx.given),
        "metric": [spec.problem.metric, to_plain(dict(spec.problem.value or {}))],
        "goal": spec.problem.goal,
        "today": spec.problem.today.model_dump(mode="json") if spec.problem.today else None,
        "calibrate": spec.calibrate,
        "uncertainty": spec.uncertainty.model_dump(mode="json") if spec.uncertainty else None,
        **({"threshold": spec.threshold} if spec.threshold is not None else {}),
    }


def _work(ctx: Context, made: Made) -> Output:
    given = ctx.given
    if given is None:
        raise ValueError("no model was given")
    if given.features != made["features"].outputs["graph"]:
        raise UserError(
            f"{given.name} was fitted behind other features than these",
            why="the spec, the tables or the training rows have changed since it was given",
            fix="fit it again on data(), and give it again",
        )
    fitted = restored(given.name, ctx.store.get(given.graph).read_bytes(), task_of(made), given.codes)
    choice = ModelChoice(given.name, GIVEN, candidate=GivenCandidate(fitted))
    deepen = Deepening(
        calibrate=ctx.spec.calibrate, uncertain=learn.uncertain_of(ctx), threshold=ctx.spec.threshold
    )
    output = learn.compared(ctx, made, [choice], deepen, on_holdout=True)
    if ctx.spec.calibrate != "off":
        return output
    # What the estimator itself answered is what the package has to reproduce.
    return replace(output, outputs={**output.outputs, "probe_scores": given.probe})


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """Those of the learn stage."""
    return learn.rules(ctx, made)


STAGE = Stage(
    "learn",
    ("ingest", "split", "features"),
    _slice,
    _work,
    code=lambda _: (__name__,),
    libraries=("numpy", "scipy", "scikit-learn", "onnx", "skl2onnx"),
)
