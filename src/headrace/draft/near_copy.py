"""Does one column alone give the target away? Measured on training rows.

A column that was written down with the outcome, or after it, looks wonderful in every test and is not there
when a prediction is needed (Kaufman et al., "Leakage in Data Mining", TKDD 2012).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import Type
from headrace.core.task import Kind
from headrace.draft.look import Look, Profile, one
from headrace.draft.names import quoted
from headrace.draft.problem import Aim

NEAR = 0.999
"""Correlation (plain or of ranks), or share of variance or errors explained, from which it is a near-copy."""

_FEWEST = 20


def near_copy(look: Look, profile: Profile, aim: Aim) -> str:
    """Why the column is a near-copy of the target; empty where it is none. Reads `train`."""
    found = ""
    if profile.type is Type.NUMBER and aim.kind is Kind.REGRESSION:
        found = _correlated(look, profile.name, aim)
    elif profile.type is Type.NUMBER and aim.kind is Kind.BINARY:
        found = _separates(look, profile.name, aim)
    if not found and profile.nulls:
        found = _determines(
            look, profile, aim, f"({quoted(profile.name)} is null)", "whether it is null fixes"
        )
    if not found and profile.type is not Type.TIME:
        found = _determines(look, profile, aim, f"{quoted(profile.name)}", "its values fix")
    return found


def _pairs(look: Look, column: str, aim: Aim) -> tuple[NDArray[np.float64], NDArray[Any]]:
    x, y = look.sample(column, aim.column)
    both = ~np.ma.getmaskarray(x) & ~np.ma.getmaskarray(y)
    return np.asarray(x.data[both], dtype=np.float64), np.asarray(y.data[both])


def _correlated(look: Look, column: str, aim: Aim) -> str:
    x, y = _pairs(look, column, aim)
    if x.size < _FEWEST:
        return ""
    target = y.astype(np.float64)
    plain, ranked = abs(_pearson(x, target)), abs(_pearson(ranks(x), ranks(target)))
    if plain >= NEAR:
        return f"near-copy of the target: correlation {plain:.5f} over {x.size:,} training rows"
    if ranked >= NEAR:
        return f"near-copy of the target: rank correlation {ranked:.5f} over {x.size:,} training rows"
    return ""


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt(np.dot(x, x) * np.dot(y, y)))
    return float(np.dot(x, y)) / scale if scale else 0.0


def ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, ties at their mean."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    upto = np.cumsum(counts)
    return ((upto - (counts - 1) / 2)[inverse]).astype(np.float64)


def _separates(look: Look, column: str, aim: Aim) -> str:
    x, y = _pairs(look, column, aim)
    kept = np.isin(y, np.asarray(aim.classes))
    positive = y[kept] == aim.positive
    rows, hits = positive.size, int(np.count_nonzero(positive))
    if rows < _FEWEST or not 0 < hits < rows:
        return ""
    # The area under the ROC curve as the Mann-Whitney statistic.
    area = (float(ranks(x[kept])[positive].sum()) - hits * (hits + 1) / 2) / (hits * (rows - hits))
    if max(area, 1 - area) < NEAR:
        return ""
    return f"near-copy of the target: a threshold on it alone has ROC AUC {max(area, 1 - area):.5f}"


def _determines(look: Look, profile: Profile, aim: Aim, value: str, says: str) -> str:
    """Whether few values fix the target: the share of variance explained (eta squared) for a quantity,
    of errors avoided (Goodman and Kruskal's lambda) for classes."""
    kept = f"select {value} as v, {aim.sql} as y from train where {aim.sql} is not null"
    rows, values = one(look, f"select count(*), count(distinct v) from ({kept})")
    if rows < _FEWEST or not 2 <= values + bool(profile.nulls) <= rows / 10:
        return ""
    if aim.kind is Kind.REGRESSION:
        within, total = one(
            look,
            f"select sum(n * s), (select count(*) * var_pop(y) from ({kept})) "
            f"from (select count(*) as n, var_pop(y) as s from ({kept}) group by v)",
        )
        share = 1 - within / total if total else 0.0
        return f"near-copy of the target: {says} {share:.2%} of its variance" if share >= NEAR else ""
    wrong, blind = one(
        look,
        f"with k as (select v, y, count(*) as n from ({kept}) group by 1, 2) "
        "select sum(n) - (select sum(m) from (select max(n) as m from k group by v)), "
        "sum(n) - (select max(m) from (select sum(n) as m from k group by y)) from k",
    )
    share = 1 - int(wrong) / int(blind) if blind else 0.0
    if share < NEAR:
        return ""
    return f"near-copy of the target: {says} the class of {1 - int(wrong) / rows:.2%} of the training rows"
