"""Does anything stand on both sides of the split? Measured from the parts, however they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.evidence import Evidence
from headrace.core.schema import NULL_TIME
from headrace.core.task import Task

PARTS = ("train", "validation", "test")
"""The parts by their code; a row with code -1 was left out."""


def split_crossing(
    parts: NDArray[np.int8],
    *,
    ids: NDArray[np.uint64] | None = None,
    groups: NDArray[np.int64] | None = None,
    times: NDArray[np.int64] | None = None,
    gap: int = 0,
) -> Evidence:
    """How much crosses the split; the rule is `== 0`. Pass what the spec promises to keep apart.

    Arguments, each with one value a row:
        parts: 0 train, 1 validation, 2 test, -1 left out; any other code counts as crossing.
        ids: names of the rows where `data.id` is declared: an id in two parts is one row on both sides.
        groups: numbers of the groups, for a split by group.
        times: UTC microseconds, for a split by time: a row of an earlier part crosses where it is not
            before the first row of a later part, or is closer to it than `gap` microseconds.

    `value` adds up ids and groups that are in more than one part and rows that break the order of time;
    `n` is the number of rows in a part; `details` has the counts by kind; `where` names an example each.

    >>> split_crossing(np.array([0, 0, 1, 2], dtype=np.int8), groups=np.array([7, 8, 8, 9])).where
    'groups in two parts: 1, such as the one of row 2 (train) and row 3 (validation)'
    """
    details: dict[str, Any] = {}
    examples: list[str] = []
    strange = (parts < -1) | (parts >= len(PARTS))
    details["rows of no known part"] = int(np.count_nonzero(strange))
    if strange.any():
        examples.append(f"row {int(np.argmax(strange)) + 1} is in part {int(parts[np.argmax(strange)])}")
    for name, keys in (("ids in two parts", ids), ("groups in two parts", groups)):
        if keys is None:
            continue
        count, first, second = _shared(parts, keys)
        details[name] = count
        if count:
            one, other = (f"row {row + 1} ({PARTS[parts[row]]})" for row in sorted((first, second)))
            examples.append(f"{name}: {count:,}, such as the one of {one} and {other}")
    if times is not None:
        details["rows out of the order of time"], example = _disorder(parts, times, gap)
        examples += [example] if example else []
    used = int(np.count_nonzero((parts >= 0) & ~strange))
    return Evidence(
        "split-crossing",
        float(sum(details.values())),
        "crossings",
        n=used,
        where="; ".join(examples),
        details=details,
    )


def _shared(parts: NDArray[np.int8], keys: NDArray[Any]) -> tuple[int, int, int]:
    """How many keys are in more than one part, and two rows of the first of them."""
    rows = np.flatnonzero((parts >= 0) & (parts < len(PARTS)))
    if rows.size == 0:
        return 0, 0, 0
    order = rows[np.argsort(keys[rows], kind="stable")]
    ordered, part = keys[order], parts[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    mixed = np.flatnonzero(np.minimum.reduceat(part, starts) != np.maximum.reduceat(part, starts))
    if mixed.size == 0:
        return 0, 0, 0
    begin = int(starts[mixed[0]])
    other = begin + int(np.argmax(part[begin:] != part[begin]))
    return int(mixed.size), int(order[begin]), int(order[other])


def _disorder(parts: NDArray[np.int8], times: NDArray[np.int64], gap: int) -> tuple[int, str]:
    """Rows of an earlier part that are not before the next part by at least the gap."""
    null = (times == NULL_TIME) & (parts >= 0)
    count, example = int(np.count_nonzero(null)), ""
    if count:
        example = f"row {int(np.argmax(null)) + 1} is in a part and has no time"
    for code in (0, 1):
        later = times[(parts > code) & (parts < len(PARTS)) & ~null]
        if later.size == 0:
            continue
        # the last moment that is far enough; Python's integers can't overflow here
        latest = int(later.min()) - max(gap, 1)
        late = (parts == code) & (times > latest) & ~null
        if late.any():
            count += int(np.count_nonzero(late))
            row = int(np.argmax(late))
            distance = int(later.min()) - int(times[row])
            far = f"{distance / 1e6:,.0f} s before" if distance > 0 else f"{-distance / 1e6:,.0f} s after"
            example = example or f"row {row + 1} ({PARTS[code]}) is {far} the first row of a later part"
    return count, example


def classes_present(parts: NDArray[np.int8], y: NDArray[Any], task: Task) -> Evidence:
    """How many pairs of class and part have no row; the rule is `== 0`.

    `y` holds a code into `task.classes` for each row (anything where the row is left out). `n` is the
    number of rows in a part. Does not apply to regression.

    >>> from headrace.core.task import Kind
    >>> task = Task(Kind.BINARY, ("no", "yes"))
    >>> classes_present(np.array([0, 0, 1, 1, 2, 2], dtype=np.int8), np.array([0, 1, 0, 1, 0, 0]), task).where
    "no row of 'yes' in test"
    """
    gate = "classes-present"
    used = (parts >= 0) & (parts < len(PARTS))
    n = int(np.count_nonzero(used))
    if not task.classes:
        return Evidence(gate, None, n=n, why_none="a regression has no classes", applies=False)
    counts = {
        part: np.bincount(y[parts == code].astype(np.int64), minlength=len(task.classes))
        for code, part in enumerate(PARTS)
    }
    absent = [(c, part) for part in PARTS for c in np.flatnonzero(counts[part] == 0).tolist()]
    return Evidence(
        gate,
        float(len(absent)),
        "absent classes",
        n=n,
        where=_absent(absent, task.classes),
        details={part: _by_class(counts[part], task.classes) for part in PARTS},
    )


def _absent(absent: Sequence[tuple[int, str]], classes: Sequence[str | float | bool]) -> str:
    shown = "; ".join(f"no row of {classes[c]!r} in {part}" for c, part in absent[:5])
    return shown + (f"; and {len(absent) - 5} more" if len(absent) > 5 else "")


def _by_class(counts: NDArray[np.int64], classes: Sequence[str | float | bool]) -> Mapping[str, int]:
    return {str(c): int(k) for c, k in zip(classes[:50], counts, strict=False)}
