"""What decisions are worth by the spec's outcomes, per 1,000, against what else could be done."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.engine.context import Context
from headrace.engine.measures import find_metric
from headrace.engine.rivals import against, always
from headrace.metrics.record import Predictions
from headrace.metrics.worth import Worth, worth_of


def worth_on(
    ctx: Context, ours: Predictions, today: NDArray[np.float64] | None, *, resamples: int = 1000
) -> Worth | None:
    """The value of decisions on these rows, with its gain over today's rule, doing nothing and always acting.

    today: what today's rule answers on each row (see `rivals.todays_answers`); None without a rule. The
    answer is None where the spec gives outcomes no worth.
    """
    if ctx.spec.problem.value is None:
        return None
    others = {"nothing": (ours, always(ours, 0)), "always": (ours, always(ours, 1))}
    if today is not None:
        others = {"today": against(ours, today), **others}
    metric = find_metric(ctx.spec, "value")
    return worth_of(metric, ours, others, seed=ctx.spec.seed, resamples=resamples)
