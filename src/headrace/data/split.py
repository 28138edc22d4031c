"""Divide the rows into train, validation and test: pure, seeded, before anyone looks at the target.

What is drawn here is the promise that the seal keeps. This room knows nothing of files, stores or models:
arrays in, one part a row out. What it can't divide it refuses, with the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import duration_micros, iso_micros
from headrace.core.errors import DataError, Problem
from headrace.core.schema import NULL_TIME
from headrace.core.spec.scalars import parse_share
from headrace.core.spec.tables import SplitSpec
from headrace.data.blocks import moment_text, span_text, time_blocks
from headrace.data.draw import Coded, Values, encode, fill, group_units, stratified_draw, take

TRAIN, VALIDATION, TEST, DROPPED = 0, 1, 2, -1
"""The codes in `Split.parts`."""

PARTS = ("train", "validation", "test")
"""The names of the parts, by code."""

_COLUMN_NAMES = {
    "train": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
}


@dataclass(frozen=True, eq=False)
class Split:
    """Which row is in which part.

    `parts` is int8 [rows]: 0 train, 1 validation, 2 test, -1 left out. `units` is int64 [rows]: rows with
    the same number depend on each other, and whatever is resampled is resampled by whole units.
    `counts` are the rows of each part; `dropped` counts the rows left out, by reason.
    """

    parts: NDArray[np.int8]
    units: NDArray[np.int64]
    counts: Mapping[str, int]
    dropped: Mapping[str, int]

    def rows(self, part: int) -> NDArray[np.int64]:
        """The row numbers of one part, ascending."""
        return np.flatnonzero(self.parts == part)


def split(
    spec: SplitSpec,
    n: int,
    *,
    seed: int,
    times: NDArray[np.int64] | None = None,
    strata: Values | None = None,
    groups: Values | None = None,
    column: Values | None = None,
    usable: NDArray[np.bool_] | None = None,
    zone: str | None = None,
) -> Split:
    """Divide `n` rows as the spec says. `spec.seed` has precedence over `seed`.

    Arguments, each of length n:
        times: UTC microseconds (`NULL_TIME` for null); needed by `by: time`.
        strata: values (not codes: their order decides the draw); needed by `by: stratified`.
        groups: values of `split.group`; needed where the spec declares one.
        column: text; needed by `by: column`.
        usable: False where the target is null; such rows are dropped before anything else and counted.
        zone: the wall clock in which blocks of time are counted (default UTC).

    Rules:
        time: shares count rows from the latest backwards, durations count back from the latest row
            (test) or from the test's start (validation). Rows of one moment stay together, the cut that
            comes closest to the share is taken. `gap` leaves out the rows less than a gap before the
            start of a later part: validation and test keep their size, train pays. `history` leaves out
            the rows so long before the newest row of train, `until` those of train that come after it.
        random, stratified: the very rows of scikit-learn's `train_test_split(rows, test_size=test,
            random_state=seed[, stratify=strata])` over the usable rows, then a second one with
            `test_size=ceil(validation * usable rows)` over those left. Null is a stratum of its own.
        group: groups in a seeded order; test, then validation, take those that bring them closest to
            their share of the rows. A group larger than a part's share is passed over while there are
            others. A row without a group is a group of its own.
        column: `train`, `validation` (`valid`, `val`) or `test`, in any case.

    Units: the group where `split.group` is declared, else the block of wall-clock time (`split.block`,
    counted from 1970-01-01) for a time split, else the row.

    Raises:
        DataError: every reason why these rows can't be divided so, with the numbers.
        ValueError: an array that the spec needs is missing or of another length (the caller's mistake).
    """
    usable = np.ones(n, dtype=np.bool_) if usable is None else usable
    _same_length(n, {"times": times, "strata": strata, "groups": groups, "column": column, "usable": usable})
    rows = np.flatnonzero(usable)
    amounts = _amounts(spec, rows.size)
    parts = np.full(n, DROPPED, dtype=np.int8)
    units = None if groups is None or spec.group is None else group_units(groups)
    draw_seed = (seed if spec.seed is None else spec.seed) % 2**32
    if spec.by == "time" and times is not None:
        parts[rows] = _by_time(spec, times[rows], rows, amounts)
    elif spec.by == "group" and units is not None:
        parts[rows] = _by_group(spec, units[rows], amounts, draw_seed)
    elif spec.by == "column" and column is not None:
        parts[rows] = _by_column(spec, take(column, rows), rows)
    elif spec.by == "stratified" and strata is not None:
        parts[rows] = _by_draw(spec, rows.size, encode(take(strata, rows)), amounts, draw_seed)
    elif spec.by == "random":
        parts[rows] = _by_draw(spec, rows.size, None, amounts, draw_seed)
    else:
        raise ValueError(f"a split by {spec.by} needs its values")
    if units is None and spec.by == "time" and times is not None:
        units = time_blocks(times, duration_micros(spec.block), zone)
    left: dict[str, int] = {}
    if spec.until is not None and times is not None:
        left["until"] = _leave_out(parts, times > iso_micros(spec.until), spec.until)
    if spec.history is not None and times is not None:
        newest = int(times[parts == TRAIN].max(initial=NULL_TIME))
        left["history"] = _leave_out(parts, times < newest - duration_micros(spec.history), spec.history)
    return _finish(parts, usable, np.arange(n, dtype=np.int64) if units is None else units, left)


def _leave_out(parts: NDArray[np.int8], which: NDArray[np.bool_], text: str) -> int:
    """Leave out these of the training rows; how many."""
    out = which & (parts == TRAIN)
    parts[out] = DROPPED
    if not (parts == TRAIN).any():
        raise DataError(f"{text} leaves no row for train", where="split", fix="leave in more of them")
    return int(np.count_nonzero(out))


def _same_length(n: int, arrays: Mapping[str, Values | None]) -> None:
    for name, values in arrays.items():
        if values is not None and len(values) != n:
            raise ValueError(f"{name} has {len(values)} values for {n} rows")


def _finish(
    parts: NDArray[np.int8], usable: NDArray[np.bool_], units: NDArray[np.int64], left: Mapping[str, int]
) -> Split:
    counts = {name: int(np.count_nonzero(parts == code)) for code, name in enumerate(PARTS)}
    null = int(parts.size - np.count_nonzero(usable))
    gap = parts.size - null - sum(left.values()) - sum(counts.values())
    left_out = {"target null": null, **left, "gap": gap}
    return Split(parts, units, counts, {reason: k for reason, k in left_out.items() if k})


# --- sizes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Amount:
    """How much a part takes: a share of rows (as a number of rows) or a span of time in microseconds."""

    text: str
    rows: int | None
    micros: int | None


def _amounts(spec: SplitSpec, n: int) -> tuple[_Amount, _Amount]:
    """The sizes of validation and test for n usable rows (none of them for `by: column`)."""
    if n == 0:
        raise DataError("no row has a target, so there is nothing to divide", where="problem.target")
    problems: list[Problem] = []
    amounts: list[_Amount] = []
    shares: list[float] = []
    for name, value in (("validation", spec.validation), ("test", spec.test)):
        text = value if isinstance(value, str) else f"{value:g}"
        if isinstance(value, str) and not value.strip().endswith("%"):
            if spec.by not in ("time", "column"):
                problems.append(_no_duration(name, text, spec.by))
            amounts.append(_Amount(text, None, duration_micros(value)))
            continue
        shares.append(parse_share(value) if isinstance(value, str) else value)
        amounts.append(_Amount(text, ceil(shares[-1] * n), None))
    taken = sum(a.rows or 0 for a in amounts)
    if spec.by != "column" and (sum(shares) >= 1 or taken >= n):
        problems.append(
            Problem(
                f"validation ({amounts[0].text}) and test ({amounts[1].text}) take {taken:,} of {n:,} rows; "
                "none would be left for train",
                where="split",
                fix="make the shares smaller" if sum(shares) >= 1 else "bring more rows: at least 3",
            )
        )
    if problems:
        raise DataError.of(problems)
    return amounts[0], amounts[1]


def _no_duration(name: str, text: str, by: str) -> Problem:
    return Problem(
        f"{text!r} is a duration, and a split by {by} has no time",
        where=f"split.{name}",
        fix=f"write a share of the rows such as '15%', or split by time (by: time, {name}: {text})",
    )


# --- by time -------------------------------------------------------------------------------------


def _by_time(
    spec: SplitSpec, times: NDArray[np.int64], rows: NDArray[np.int64], amounts: tuple[_Amount, _Amount]
) -> NDArray[np.int8]:
    null = times == NULL_TIME
    if null.any():
        count, first = int(np.count_nonzero(null)), int(rows[int(np.argmax(null))]) + 1
        raise DataError(
            f"{count:,} of {times.size:,} rows have no time; the first is row {first:,}",
            where="data.time",
            why="a row without a time belongs to no part of a split by time",
            fix="mend or remove these rows, name another time column, or split by another rule",
        )
    gap = duration_micros(spec.gap) if spec.gap else 0
    ordered = np.sort(times)
    parts = np.full(times.size, DROPPED, dtype=np.int8)
    upto = ordered.size  # rows still to be given out: ordered[:upto]
    start: int | None = None  # the first moment of the later part
    for code, amount in ((TEST, amounts[1]), (VALIDATION, amounts[0])):
        cut = _cut(ordered[:upto], amount, start, gap)
        problem = _cut_problem(PARTS[code], amount, ordered, ordered[:upto], cut, spec.gap)
        if problem is not None:
            raise DataError.of([problem])
        begin, end = int(ordered[cut]), int(ordered[upto - 1])
        parts[(times >= begin) & (times <= end)] = code
        start = begin
        upto = int(np.searchsorted(ordered, begin - gap, "right")) if gap else cut
    if upto == 0:
        raise DataError(
            f"the gap of {spec.gap} leaves no row for train: rows span {span_text(ordered)}",
            where="split.gap",
            fix="make the gap, validation or test shorter",
        )
    parts[times <= ordered[upto - 1]] = TRAIN
    return parts


def _cut(ordered: NDArray[np.int64], amount: _Amount, later: int | None, gap: int) -> int:
    """Where in the ascending times the part begins that takes `amount` from their end."""
    if ordered.size == 0:
        return 0
    if amount.micros is not None:
        if later is None:  # (latest - span, latest]: 14 days of daily rows are 14 rows
            return int(np.searchsorted(ordered, int(ordered[-1]) - amount.micros, "right"))
        return int(np.searchsorted(ordered, later - gap - amount.micros, "left"))
    wanted = ordered.size - (amount.rows or 0)
    if wanted <= 0:
        return 0
    low = int(np.searchsorted(ordered, ordered[wanted], "left"))
    high = int(np.searchsorted(ordered, ordered[wanted], "right"))
    if low == 0:
        return high if high < ordered.size else 0
    return low if wanted - low <= high - wanted or high == ordered.size else high


def _cut_problem(
    name: str, amount: _Amount, every: NDArray[np.int64], left: NDArray[np.int64], cut: int, gap: str | None
) -> Problem | None:
    where, behind = f"split.{name}", f" behind the gap of {gap}" if gap else ""
    if every[0] == every[-1]:
        moment = moment_text(int(every[0]))
        return Problem(f"every row has the same time ({moment}), so nothing comes before the {name}", where)
    if left.size == 0 or cut >= left.size:
        return Problem(
            f"{name} ({amount.text}) holds no row{behind}; the rows span {span_text(every)}",
            where,
            fix="make it longer, or the gap shorter",
        )
    if cut == 0:
        return Problem(
            f"{name} ({amount.text}) takes every row that is left{behind}; the rows span {span_text(every)}",
            where,
            why="nothing would be left for what comes before it",
            fix="make it shorter, or bring more data",
        )
    return None


# --- random and stratified -----------------------------------------------------------------------


def _by_draw(
    spec: SplitSpec, n: int, strata: Coded | None, amounts: tuple[_Amount, _Amount], seed: int
) -> NDArray[np.int8]:
    parts = np.zeros(n, dtype=np.int8)
    left: NDArray[np.int64] | None = None
    for code, amount in ((TEST, amounts[1]), (VALIDATION, amounts[0])):
        draws = amount.rows or 0
        if strata is None:
            picked = np.random.RandomState(seed).permutation(n if left is None else left.size)[:draws]
        else:
            codes = strata.codes if left is None else strata.codes[left]
            problems = _stratum_problems(spec, PARTS[code], codes, strata, draws)
            if problems:
                raise DataError.of(problems)
            picked = stratified_draw(codes, draws, seed)
        parts[picked if left is None else left[picked]] = code
        if code == TEST:
            left = np.flatnonzero(parts == TRAIN)
    return parts


def _stratum_problems(
    spec: SplitSpec, part: str, codes: NDArray[np.int32], strata: Coded, draws: int
) -> list[Problem]:
    counts = np.bincount(codes, minlength=len(strata))
    present = int(np.count_nonzero(counts))
    what = f"split.on ({spec.on})" if spec.on else "the target"
    fix = "join rare strata (on: case when … then … end), bring more rows of them, or split at random"
    single = np.flatnonzero(counts == 1)
    where = "split.on" if spec.on else "split"
    problems = []
    if single.size:
        names = ", ".join(repr(strata.label(int(i))) for i in single[:5]) + (", …" if single.size > 5 else "")
        left = "" if part == "test" else " left when the test is drawn"
        problems.append(
            Problem(
                f"{single.size:,} of {present:,} strata of {what} have a single row{left}: {names}",
                where,
                "a single row can't be in two parts",
                fix,
            )
        )
    if min(draws, codes.size - draws) < present:
        problems.append(
            Problem(
                f"{present:,} strata of {what} can't all be in {part}'s draw: it divides {codes.size:,} rows "
                f"into {codes.size - draws:,} and {draws:,}, and fewer rows than strata",
                where,
                fix=fix,
            )
        )
    return problems


# --- by group and by column ----------------------------------------------------------------------


def _by_group(
    spec: SplitSpec, groups: NDArray[np.int64], amounts: tuple[_Amount, _Amount], seed: int
) -> NDArray[np.int8]:
    present, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if present.size < 3:
        largest = int(sizes.max())
        raise DataError(
            f"{spec.group} has {present.size} group(s) (the largest of {largest:,} rows); 3 parts need 3",
            where="split.group",
            fix="split by a finer group, or by another rule",
        )
    order = np.random.RandomState(seed).permutation(present.size)
    part_of = np.zeros(present.size, dtype=np.int8)
    for code, amount, spare in ((TEST, amounts[1], 2), (VALIDATION, amounts[0], 1)):
        left = order[part_of[order] == TRAIN]
        part_of[fill(left, sizes, amount.rows or 0, spare)] = code
    return part_of[inverse]


def _by_column(spec: SplitSpec, column: Values, rows: NDArray[np.int64]) -> NDArray[np.int8]:
    coded = encode(column)
    labels = [coded.label(code) for code in range(len(coded))]
    counts = np.bincount(coded.codes, minlength=len(coded))
    part_of = np.array([_COLUMN_NAMES.get(str(v).strip().lower(), DROPPED) for v in labels], dtype=np.int8)
    problems = []
    strange = np.flatnonzero(part_of == DROPPED)
    if strange.size:
        named = ", ".join(f"{labels[i]!r} ({counts[i]:,} rows)" for i in strange[:8])
        more = f" and {strange.size - 8:,} more" if strange.size > 8 else ""
        first = int(rows[int(np.argmax(part_of[coded.codes] == DROPPED))]) + 1
        problems.append(
            Problem(
                f"{spec.column} holds {named}{more}; the first is in row {first:,}",
                "split.column",
                fix="every row needs 'train', 'validation' or 'test'",
            )
        )
    problems += [
        Problem(
            f"{spec.column} has no row with {name!r}",
            "split.column",
            "every project is measured on validation before the test is opened"
            if name == "validation"
            else "",
            f"mark some rows with {name!r}, or split by another rule",
        )
        for code, name in enumerate(PARTS)
        if not (part_of == code).any()
    ]
    if problems:
        raise DataError.of(problems)
    return part_of[coded.codes]
