"""The goal at work: the aim that thresholds are chosen for, and whether it can be reached."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.core.evidence import Evidence
from headrace.data.split import TEST
from headrace.engine.context import Context, Made
from headrace.engine.measures import aim_of
from headrace.engine.stages.split import load_array
from headrace.metrics.margin import planned_level
from headrace.metrics.threshold import Aim, Cut

_TOLD = {
    "planned": "with the margin that the test's own noise asks for",
    "safe": "beyond noise, yet the test's rows are few: its safe end may miss it",
    "here": "on these rows, but not beyond noise: the test may miss it",
    "none": "no threshold keeps it: this is the nearest",
}


def aim_for(ctx: Context, made: Made, units: NDArray[np.int64]) -> Aim | None:
    """What the decision threshold is chosen for (see `measures.aim_of`), with a margin for the test.

    units: the independent unit of each row that the threshold is chosen on. How many units the test has is
    known without looking at any of its targets.
    """
    aim = aim_of(ctx.spec)
    if aim is None or not aim.needs:
        return aim
    parts = np.asarray(load_array(ctx, made["split"].outputs["parts"]))
    everywhere = np.asarray(load_array(ctx, made["split"].outputs["units"]))
    ahead = len(np.unique(everywhere[parts == TEST]))
    return aim_of(ctx.spec, planned_level(len(np.unique(units)), ahead))


def goal_evidence(cut: Cut, rows: int) -> Evidence:
    """How the goal's constraints stand at the threshold that was chosen, on rows out of fold.

    The value counts constraints that the rows themselves don't keep.
    """
    told = [f"{name}: {cut.reached[name]:.4g} against {cut.bounds[name]:.4g}" for name in cut.reached]
    return Evidence(
        "goal-reachable",
        1.0 if cut.kept == "none" else 0.0,
        unit="1 where no threshold keeps the goal's constraints",
        n=rows,
        where=f"threshold {cut.threshold:.4g}: {'; '.join(told)}; {_TOLD[cut.kept]}",
    )
