"""The kinds that were set aside while the linter was tuned: a fifth of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .plant import ID, Plant, Planted, Rng, codes_of, name_of, with_column
from .worlds import World


def monotone_copy(g: Rng, w: World) -> Planted | None:
    """A monotone function of a quantity."""
    if w.task != "regression":
        return None
    y = codes_of(w)
    shifted = y - y.min() + 1
    values = [np.log(shifted), np.sqrt(shifted), -shifted, shifted**2 / 1e3][int(g.integers(4))]
    return with_column(w, name_of(g), values)


def afterwards(g: Rng, w: World) -> Planted | None:
    """Something that is only written down once the outcome is known: most of it in one column."""
    codes = codes_of(w)
    high = codes > np.median(codes) if w.task == "regression" else codes == codes.max()
    if high.mean() < 0.03:
        return None
    values = np.where(high & (g.random(w.rows) < 0.97), g.gamma(3, 10, w.rows) + 5, np.nan)
    return with_column(w, str(g.choice(["refund", "penalty_paid", "closing_note_len"])), values)


def counter(g: Rng, w: World) -> Planted | None:
    """A running number as a number."""
    step = float(g.choice([1, 1, 2, 10]))
    return with_column(w, str(g.choice(["row_no", "order_no", "seq"])), 1000 + step * np.arange(w.rows), ID)


def recoded(g: Rng, w: World) -> Planted | None:
    """From the validation rows on, a category with its values written otherwise."""
    names = [f for f in w.features if w.columns[f].dtype == object]
    if not names:
        return None
    name = str(g.choice(names))
    values = w.columns[name].copy()
    for row in np.flatnonzero(w.part != "train"):
        values[row] = values[row].upper() + "_2" if values[row] else None
    return Planted("", replace(w, columns={**w.columns, name: values}), name, frozenset({"skew"}))


HELD_OUT: Mapping[str, Plant] = {f.__name__: f for f in (monotone_copy, afterwards, counter, recoded)}
