"""The spine. Read this file and know the order of everything.

    frame → ingest → split → features → inspect → learn → package → evaluate → test → promote

Each stage turns what the ones before it made into artifacts, facts and evidence. The engine runs a stage
when its key is new, judges its evidence anew on every run, and goes on only through open gates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headrace.core.evidence import Evidence, Rule
from headrace.engine.context import Context, Made, Stage
from headrace.engine.stages import (
    adopt,
    evaluate,
    features,
    frame,
    ingest,
    inspect,
    learn,
    package,
    split,
    test,
)


def _nothing(ctx: Context, made: Made) -> tuple[Evidence, ...]:
    """What a stage whose evidence does not depend on the moment has to add."""
    del ctx, made
    return ()


@dataclass(frozen=True)
class Step:
    """A stage, and the rules that its evidence is held to (read from the spec, never from the cache). `live`
    is evidence that depends on the moment: measured on every run, beside what the stage keeps."""

    stage: Stage
    rules: Callable[[Context, Made], Mapping[str, Rule]]
    live: Callable[[Context, Made], tuple[Evidence, ...]] = _nothing


SPINE: tuple[Step, ...] = (
    Step(frame.STAGE, frame.rules),
    Step(ingest.STAGE, ingest.rules, ingest.live),
    Step(split.STAGE, split.rules),
    Step(features.STAGE, features.rules),
    Step(inspect.STAGE, inspect.rules),
    Step(learn.STAGE, learn.rules),
    Step(package.STAGE, package.rules),
    Step(evaluate.STAGE, evaluate.rules),
    Step(test.STAGE, test.rules),
)
"""Every stage that makes something, in order; `engine.promote` follows and moves the release."""


def steps(ctx: Context) -> tuple[Step, ...]:
    """The steps of a run: the spine's, with `adopt` for `learn` where the model was given."""
    if ctx.given is None:
        return SPINE
    given = Step(adopt.STAGE, adopt.rules)
    return tuple(given if step.stage.name == adopt.STAGE.name else step for step in SPINE)
