"""What explanations are: records that the evaluation makes, reports draw and answers carry.

A column is a raw column that the packaged graph reads (`distance`, `weather.temp`); a feature is a column of
the feature matrix. Values of personal columns are in none of these records.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.core.evidence import Interval


@dataclass(frozen=True)
class Importance:
    """How much worse the metric gets when a column's (or feature's) values are those of other rows.

    drop: in the metric's unit, above zero where the model is worse without it; the mean over the repeats.
    interval: over independent units, all repeats of a unit together; None where there is none, and
    `why_none` says why. spread: standard deviation of the drop over the repeats, the noise of permuting
    alone. linked: of a column the features that read it; of a feature the columns that it reads.
    """

    name: str
    drop: float | None
    interval: Interval | None
    spread: float | None
    linked: tuple[str, ...] = ()
    personal: bool = False
    why_none: str = ""


@dataclass(frozen=True)
class Point:
    """Where a curve passes. at: a number, a category, true or false; None: null. mean: the answer averaged
    over rows with this value put in. low, high: the middle 80% of the rows' own (ICE) curves here, each
    less its own average and lifted by the curve's: they lie apart where the effect differs between rows."""

    at: float | str | bool | None
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Partial dependence on a column or feature. level: column or feature. of: the class whose probability
    it is; empty for the values of a regression. range: highest mean less lowest."""

    name: str
    level: str
    of: str
    points: tuple[Point, ...]
    rows: int
    range: float


@dataclass(frozen=True)
class Dot:
    """One row's contribution. rank: where the row's value lies among the rows explained, 0 (lowest) to 1;
    None for text, null and personal columns."""

    contribution: float
    rank: float | None = None


@dataclass(frozen=True)
class Effect:
    """What one column or feature added over a sample of rows. size: mean absolute contribution. error: the
    mean standard error of sampling a contribution (0: exact)."""

    name: str
    size: float
    mean: float
    error: float
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Effects:
    """Contributions over a sample of validation rows, largest first.

    method: how they were computed, with its source. unit: what they add up to: "probability", "log-odds",
    "score" or the unit of the target. of: the class (empty: regression; "decided": each row's decided one).
    base: what they start from.
    """

    method: str
    unit: str
    of: str
    base: float
    rows: int
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Explanations:
    """Why the model answers as it does, on validation rows; the artifact `explanations` of the evaluation.

    columns, features: importance, largest drop first; `features` only those that are not one column's alone.
    curves: partial dependence of what matters most. sampled: contributions on the packaged graph by column.
    trees: TreeSHAP by feature on the score before calibration, None where it doesn't apply; `why_no_trees`
    says why. notes: what was done and how it is to be read, for people.
    """

    metric: str
    unit: str
    base: float | None
    rows: int
    of_rows: int
    units: int
    repeats: int
    columns: tuple[Importance, ...]
    features: tuple[Importance, ...]
    curves: tuple[Curve, ...]
    sampled: Effects | None
    trees: Effects | None
    why_no_trees: str
    personal: tuple[str, ...]
    notes: tuple[str, ...]
