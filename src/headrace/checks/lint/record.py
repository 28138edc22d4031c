"""What the linter is given, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import NULL_TIME, Type
from headrace.core.task import Kind, Task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Severity(StrEnum):
    """Whether a finding stops the run."""

    BLOCKS = "blocks"
    WARNS = "warns"


@dataclass(frozen=True)
class Finding:
    """Something that is, or looks, wrong.

    `kind` is one of `registry.KINDS`; `subject` is the feature it is about, or "" for the whole table.
    `evidence` holds the measured numbers, `examples` a few values or rows. `accepted` is the written reason
    of a person who has looked at it; then it neither blocks nor warns.
    """

    kind: str
    subject: str
    severity: Severity
    what: str
    remedy: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    accepted: str = ""


@dataclass(frozen=True, eq=False)
class Column:
    """A column's values, [rows].

    - number, bool: float64, NaN for null
    - text: int64 codes into `levels`, -1 for null
    - time: int64 UTC microseconds, `NULL_TIME` for null
    """

    name: str
    type: Type
    values: NDArray[Any]
    levels: tuple[str, ...] = ()

    @classmethod
    def of_text(cls, name: str, values: Sequence[Any] | NDArray[Any], null: object = None) -> Column:
        """A text column from its values; `null` stands for null."""
        places: dict[Any, int] = {}
        codes = np.fromiter(
            (-1 if v is None or v == null else places.setdefault(v, len(places)) for v in values),
            np.int64,
            len(values),
        )
        return cls(name, Type.TEXT, codes, tuple(str(v) for v in places))

    @cached_property
    def null(self) -> Bools:
        """Where it is null."""
        if self.type is Type.TEXT:
            return np.asarray(self.values < 0)
        if self.type is Type.TIME:
            return np.asarray(self.values == NULL_TIME)
        return np.asarray(np.isnan(self.values))

    @property
    def numeric(self) -> bool:
        """Whether its values have an order and a distance: numbers and booleans."""
        return self.type in (Type.NUMBER, Type.BOOL)

    def at(self, rows: NDArray[Any]) -> Column:
        """The same column at these rows (numbers or mask)."""
        return Column(self.name, self.type, self.values[rows], self.levels)

    def shown(self, row: int) -> str:
        """One value, for people."""
        if self.null[row]:
            return "null"
        if self.type is Type.TEXT:
            return repr(self.levels[int(self.values[row])])
        if self.type is Type.TIME:
            return str(np.datetime64(int(self.values[row]), "us"))
        return f"{float(self.values[row]):.12g}"


@dataclass(frozen=True)
class Unlabelled:
    """Rows without a target, which are in no part: how many, and in how many each raw column is null."""

    rows: int = 0
    nulls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What a feature that is a history looks at: earlier rows with the same values in the columns `by`, in a
    window of microseconds (None: without end). `at_once` says of outcomes that are declared to be known the
    moment they happen, and where (empty: they are not, or it reads none)."""

    by: tuple[str, ...] = ()
    window_us: int | None = None
    at_once: str = ""


@dataclass(frozen=True, eq=False)
class Dataset:
    """The training and validation rows, in the order of the events table. Test rows are not among them.

    task, y: what is predicted; y holds class codes, or values, float64 [n], never NaN.
    train: where a row is one of training, bool [n]; the others are validation.
    units: rows with the same number depend on each other, int64 [n].
    features: every feature's values before any vocabulary or cleaning.
    raw: columns of the tables that features read; `reads` says which feature reads which.
    split: how the parts were made (`SplitSpec.by`). metric: what chooses between candidates.
    times: when each event happened, UTC microseconds; moments: when its prediction is made.
    group: the entities that the split promises to keep apart.
    later: raw columns that are declared to be known later, each with the declaration.
    sampled: says which rows these are, where they are not all.
    learned: features that were learned of the training rows; of these they hold what was learned without the
    row, and so differ from those of other rows as no split's fault.
    past: features that are histories; the columns `by` are among `raw`.
    """

    task: Task
    y: Floats
    train: Bools
    units: Ints
    features: tuple[Column, ...]
    raw: tuple[Column, ...] = ()
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split: str = "random"
    metric: str = ""
    times: Ints | None = None
    moments: Ints | None = None
    group: Column | None = None
    unlabelled: Unlabelled = Unlabelled()
    later: Mapping[str, str] = field(default_factory=dict)
    sampled: str = ""
    seed: int = 0
    learned: frozenset[str] = frozenset()
    past: Mapping[str, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vectors = {"train": self.train, "units": self.units}
        vectors |= {c.name: c.values for c in (*self.features, *self.raw)}
        wrong = [name for name, values in vectors.items() if len(values) != len(self.y)]
        if wrong:
            raise ValueError(f"not as long as y ({len(self.y)} rows): {', '.join(wrong)}")

    @property
    def rows(self) -> int:
        return len(self.y)

    @property
    def classes(self) -> int:
        """Number of classes, 0 for a regression."""
        return 0 if self.task.kind is Kind.REGRESSION else len(self.task.classes)

    @cached_property
    def raw_by_name(self) -> Mapping[str, Column]:
        return {c.name: c for c in self.raw}

    @cached_property
    def by_feature(self) -> Mapping[str, Column]:
        return {c.name: c for c in self.features}

    def columns_of(self, feature: str) -> list[Column]:
        """The raw columns at hand that a feature reads."""
        return [self.raw_by_name[c] for c in self.reads.get(feature, ()) if c in self.raw_by_name]

    @cached_property
    def fit(self) -> Dataset:
        """The training rows alone: what looks at the target looks at these."""
        keep = self.train
        return Dataset(
            self.task,
            self.y[keep],
            self.train[keep],
            self.units[keep],
            tuple(c.at(keep) for c in self.features),
            tuple(c.at(keep) for c in self.raw),
            self.reads,
            self.split,
            self.metric,
            None if self.times is None else self.times[keep],
            None if self.moments is None else self.moments[keep],
            None if self.group is None else self.group.at(keep),
            self.unlabelled,
            self.later,
            self.sampled,
            self.seed,
            self.learned,
            self.past,
        )
