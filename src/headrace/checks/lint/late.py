"""What is known only after the moment of prediction: as declared, by its nulls, its times, or its values.

A feature that knows the targets of later rows, or the sampling noise in a group's mean target, was computed
from them. Both are measured against what an honest feature can know: the targets of this row and of earlier
ones, and the group's true mean. Observed means scatter about true ones as rows scatter within groups; a fit
that is better than this chance is too good to be true (Fisher 1936, Annals of Science 1, on Mendel's peas).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.lint.alone import Alone, auc, ranks
from headrace.checks.lint.past import ahead
from headrace.checks.lint.record import Bools, Column, Dataset, Finding, Floats, Ints, Severity
from headrace.core.schema import NULL_TIME, Type

KIND = "known-later"
WINDOW = 6
GAIN = 0.15
"""Share of a feature's variance that later targets have to explain beyond this row's and earlier ones'."""

AHEAD = 0.08
"""The same of a history, whose own window is looked at: less would be chance."""

BY_OUTCOME = 0.85
"""Cohen's kappa between being filled and one class, from which a column is filled because of it."""

BY_SIZE = 0.975
"""ROC AUC with which a quantity tells whether the column is filled."""

_FEWEST_NULLS = 10
_FEWEST = 100
_FEWEST_GROUPS = 10
TOO_CLOSE = 4.0
"""Standard deviations by which group means fit a feature better than chance allows."""

_SCATTER = 0.6
REMEDY = "leave it out, or look it up as of the moment of prediction (`time`, `known_at`, `lead`)"


def find(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """Features that are known later than their prediction is made, one finding each."""
    del alone
    paths = _paths(data)
    for feature in data.features:
        found = (
            _declared(data, feature)
            or _empty_with_target(data, feature)
            or _filled_by_outcome(data.fit, feature)
            or _after(data, feature)
            or _knows_the_future(data, feature, paths)
            or _sees_ahead(data, feature)
            or _is_a_rate(data, feature)
            or _knows_the_mean(data, feature)
        )
        if found is not None:
            yield found


def _declared(data: Dataset, feature: Column) -> Finding | None:
    for name in data.reads.get(feature.name, ()):
        if name in data.later:
            return Finding(
                KIND, feature.name, Severity.BLOCKS, f"it reads {name}: {data.later[name]}", REMEDY,
                {"column": name},
            )  # fmt: skip
    return None


def _empty_with_target(data: Dataset, feature: Column) -> Finding | None:
    """A column that is empty only where the target is: both were written down together, afterwards."""
    blank = data.unlabelled.rows
    for column in data.columns_of(feature.name):
        both = data.unlabelled.nulls.get(column.name, 0)
        elsewhere = int(column.null.sum())
        if not empty_with_target(blank, both, elsewhere):
            continue
        return Finding(
            KIND,
            feature.name,
            Severity.BLOCKS,
            f"{column.name} is empty in {both:,} of the {blank:,} rows without a target, and in "
            f"{elsewhere:,} of {data.rows:,} others: known with the outcome",
            REMEDY,
            {"rows without a target": blank, "of them empty": both, "empty elsewhere": elsewhere},
        )
    return None


def empty_with_target(blank: int, both: int, elsewhere: int) -> bool:
    """Whether a column that is null in `both` of the `blank` rows without a target, and in `elsewhere`
    other rows, was written down together with it."""
    return both >= _FEWEST_NULLS and both >= 0.5 * blank and elsewhere <= 0.005 * (both + elsewhere)


def _filled_by_outcome(fit: Dataset, feature: Column) -> Finding | None:
    """A column that is filled for one outcome and hardly for others: it is written down afterwards."""
    filled = ~fit.by_feature[feature.name].null
    few = min(int(filled.sum()), int((~filled).sum()))
    if few < max(_FEWEST_NULLS, 0.02 * fit.rows):
        return None
    if fit.classes:
        outcomes = [(str(fit.task.classes[k]), fit.y == k) for k in range(fit.classes)]
        kappa, outcome = max((_kappa(filled, is_k), name) for name, is_k in outcomes)
        if kappa < BY_OUTCOME:
            return None
        said = f"it is filled where the target is {outcome}, and hardly elsewhere (kappa {kappa:.3f})"
        measured = {"kappa": kappa}
    else:
        area = auc(fit.y, filled)
        if max(area, 1 - area) < BY_SIZE:
            return None
        end = "large" if area > 0.5 else "small"
        area = max(area, 1 - area)
        said = f"it is filled where the target is {end}, and hardly elsewhere (ROC AUC {area:.3f})"
        measured = {"auc": area}
    evidence = {**measured, "filled": int(filled.sum()), "empty": int((~filled).sum())}
    return Finding(KIND, feature.name, Severity.BLOCKS, said, REMEDY, evidence)


def _kappa(a: Bools, b: Bools) -> float:
    """Cohen's agreement of two markings beyond chance."""
    agree = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return (agree - chance) / (1 - chance) if chance < 1 else 0.0


def _after(data: Dataset, feature: Column) -> Finding | None:
    """A time that lies behind the moment of prediction. Planned times do too: it is a warning."""
    if data.moments is None:
        return None
    for column in data.columns_of(feature.name):
        if column.type is not Type.TIME or _same(column.values, data.times):
            continue
        known = ~column.null & (data.moments != NULL_TIME)
        later = known & (column.values > data.moments)
        if data.times is not None:
            later &= column.values > data.times  # between the two lies what `lead` is for: planned moments
        share = int(later.sum()) / max(int(known.sum()), 1)
        if known.sum() < 20 or share < 0.05:
            continue
        row = int(np.flatnonzero(later)[0])
        at = np.datetime64(int(data.moments[row]), "us")
        return Finding(
            KIND,
            feature.name,
            Severity.WARNS,
            f"it reads {column.name}, a time behind the moment of prediction in {share:.1%} of the rows",
            f"{REMEDY}; a time that is planned beforehand can be accepted under inspect.allow",
            {"share": share, "rows": int(known.sum())},
            (f"{column.name} {column.shown(row)}, predicted at {at}",),
        )
    return None


def _same(values: Ints, times: Ints | None) -> bool:
    return times is not None and np.array_equal(values, times)


def _paths(data: Dataset) -> list[tuple[Ints, Floats]]:
    """The rows in order of time, then those of each group: the order, and the targets around each row."""
    if data.times is None or data.classes > 2 or data.rows < _FEWEST:
        return []
    orders: list[tuple[Ints, Ints | None]] = [(np.argsort(data.times, kind="stable"), None)]
    if data.group is not None:
        order = np.lexsort((data.times, data.group.values))
        orders.append((order, data.group.values[order]))
    return [(order, _lags(data.y[order], entity)) for order, entity in orders]


def _knows_the_future(data: Dataset, feature: Column, paths: Sequence[tuple[Ints, Floats]]) -> Finding | None:
    """Later targets explain the feature beyond what this row's and earlier targets do."""
    if not feature.numeric:
        return None
    best, told = GAIN, None
    for order, around in paths:
        kept = ~feature.null[order]
        if kept.sum() < _FEWEST:
            continue
        x = ranks(feature.values[order])
        lags = around if kept.all() else around[kept]
        x = x[kept] - x[kept].mean()
        middle = WINDOW + 1
        past, full = _explained(lags[:, :middle], x), _explained(lags, x)
        if full - past > best:
            best, told = full - past, (full, past)
    if told is None:
        return None
    full, past = told
    return Finding(
        KIND,
        feature.name,
        Severity.BLOCKS if full - past > 2 * GAIN else Severity.WARNS,
        f"the targets of later rows explain it: {full:.1%} of its variance with them, {past:.1%} by this "
        "row's and earlier targets alone",
        REMEDY,
        {"with later targets": full, "without": past, "rows": data.rows},
    )


def _sees_ahead(data: Dataset, feature: Column) -> Finding | None:
    """A history that later outcomes of its entities explain, or whose table says that they are known at
    once."""
    found = ahead(data, feature)
    gain = found.full - found.past if found else 0.0
    if found and gain > AHEAD:
        return Finding(
            KIND,
            feature.name,
            Severity.BLOCKS if gain > 2 * AHEAD else Severity.WARNS,
            f"the outcomes of later rows explain this history: {found.full:.1%} of its variance with them, "
            f"{found.past:.1%} by this row's and earlier outcomes alone",
            "look at the times of its table: `time`, `known_at` or `on` says rows were known too early",
            {"with later targets": found.full, "without": found.past, "rows": found.rows},
        )
    seen = data.past.get(feature.name)
    if seen is not None and seen.at_once:
        return Finding(
            KIND,
            feature.name,
            Severity.WARNS,
            f"it reads outcomes of earlier rows, and {seen.at_once}",
            "let `known_at` name the moment at which an outcome was known; where it is known at once, say so "
            "under inspect.allow",
        )
    return None


def _lags(y: Floats, entity: Ints | None) -> Floats:
    """The targets around each row [n, 2 * WINDOW + 1], earliest first; none is the mean."""
    centred = y - y.mean()
    result = np.zeros((len(y), 2 * WINDOW + 1))
    for i, lag in enumerate(range(-WINDOW, WINDOW + 1)):
        a, b = max(0, -lag), min(len(y), len(y) - lag)
        moved = centred[a + lag : b + lag]
        result[a:b, i] = (
            moved if entity is None else np.where(entity[a:b] == entity[a + lag : b + lag], moved, 0)
        )
    return result


def _explained(X: Floats, x: Floats) -> float:
    """Adjusted R²."""
    total = float(x @ x)
    gram, beside = X.T @ X, X.T @ x
    gram[np.diag_indices_from(gram)] += 1e-9 * (np.trace(gram) + 1e-12)  # lags of nothing are all zero
    weights = np.linalg.solve(gram, beside)
    if not total:
        return 0.0
    share = float(weights @ beside) / total
    return float(1 - (1 - share) * (len(x) - 1) / max(len(x) - X.shape[1] - 1, 1))


def _is_a_rate(data: Dataset, feature: Column) -> Finding | None:
    """The mean target of small groups, this row's own among them: it equals the target where a group has
    one row (quantities), or is 0 and 1 where all targets are and else the share that it says (classes)."""
    if not feature.numeric or data.classes > 2:
        return None
    kept = ~feature.null
    x, y = feature.values[kept], data.y[kept]
    if len(x) < _FEWEST:
        return None
    told = _calibrated(x, y) if data.classes else _often_equal(x, y)
    if told is None:
        return None
    what, evidence = told
    sure = bool(data.classes) or evidence["equal"] >= 0.5
    return Finding(KIND, feature.name, Severity.BLOCKS if sure else Severity.WARNS, what, REMEDY, evidence)


def _often_equal(x: Floats, y: Floats) -> tuple[str, dict[str, float]] | None:
    if len(np.unique(y)) < 50:
        return None
    equal = float(np.isclose(x, y, rtol=1e-9, atol=0).mean())
    # the same values in other rows: what chance makes equal
    chance = float(np.mean([np.isclose(x, np.roll(y, k), rtol=1e-9, atol=0).mean() for k in range(1, 6)]))
    if equal < max(0.01, 5 / len(x)) or equal < 5 * chance:
        return None
    said = f"it equals the target in {equal:.1%} of the rows, where chance would have {chance:.2%}"
    return said, {"equal": equal, "by chance": chance, "rows": float(len(x))}


def _calibrated(x: Floats, y: Floats) -> tuple[str, dict[str, float]] | None:
    if x.min() < 0 or x.max() > 1:
        return None
    none, all_ = x == 0, x == 1
    codes, back, sizes = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(back, y) / sizes
    inner = (codes > 0) & (codes < 1) & (sizes >= 5)
    if min(int(none.sum()), int(all_.sum())) < 5 or int(inner.sum()) < 3:
        return None
    if y[none].mean() > 0.005 or y[all_].mean() < 0.995:
        return None
    off = sizes[inner] * (means[inner] - codes[inner]) ** 2 / (codes[inner] * (1 - codes[inner]))
    scatter = float(off.mean())
    if scatter > 1.2:
        return None
    said = (
        f"it is a share of targets: all {int(none.sum()):,} rows with 0 are negative, all "
        f"{int(all_.sum()):,} with 1 positive, and {int(inner.sum())} values between are the shares "
        "of positive rows among those that have them"
    )
    return said, {"rows with 0": float(none.sum()), "rows with 1": float(all_.sum()), "scatter": scatter}


def _knows_the_mean(fit: Dataset, feature: Column) -> Finding | None:
    """The same for all rows of a group (of a column, or of rows that share its value), and closer to the
    group's mean target than the true mean can be."""
    if not feature.numeric or feature.null.mean() > 0.5:
        return None
    named = [c for c in (*fit.features, *fit.raw, fit.group) if c is not None and c.type is Type.TEXT]
    kept = ~feature.null
    x = feature.values[kept]
    groups: dict[str, Ints] = {"group of rows that share its value": x}
    groups |= {f"group of {c.name}": c.values[kept] for c in named}
    for name, values in groups.items():
        count, back = _numbered(values)
        if not _FEWEST_GROUPS <= count <= len(x) / 2:
            continue
        sizes = np.bincount(back)
        level = np.bincount(back, x) / sizes
        if np.abs(level[back] - x).max() > 1e-6 * (np.abs(x).max() + 1e-12):
            continue
        y = fit.y[kept]
        for target in [y] if fit.classes <= 2 else [(y == k).astype(np.float64) for k in range(fit.classes)]:
            found = _too_close(level, sizes, back, target)
            if found is not None:
                said = (
                    f"it is the mean target of each {name}, noise included: the means of the rows at hand "
                    f"lie {found['scatter']:.2f} times as far from it as chance puts them from the true means"
                )
                return Finding(KIND, feature.name, Severity.BLOCKS, said, REMEDY, found)
    return None


def _numbered(values: NDArray[Any]) -> tuple[int, Ints]:
    """How many distinct values there are, and of each its number among them."""
    if not len(values) or values.dtype.kind != "i" or int(values.max()) - int(values.min()) > 4 * len(values):
        distinct, back = np.unique(values, return_inverse=True)
        return len(distinct), back
    low = values.min()  # codes are dense: counted, not sorted
    rank = np.cumsum(np.bincount(values - low) > 0)
    return int(rank[-1]), rank[values - low] - 1


def _too_close(level: Floats, sizes: Ints, back: Ints, y: Floats) -> dict[str, float] | None:
    """Whether the groups' means scatter less about a line in `level` than rows scatter within groups."""
    sums = np.bincount(back, y)
    means = sums / sizes
    squares = np.bincount(back, (y - means[back]) ** 2)
    used = sizes >= 2
    groups = int(used.sum())
    if groups < _FEWEST_GROUPS:
        return None
    weight, x, m = sizes[used].astype(np.float64), level[used], means[used]
    within = float((squares[used] / (sizes[used] - 1)).mean())
    x, m = x - np.average(x, weights=weight), m - np.average(m, weights=weight)
    spread = float(weight @ x**2)
    if not within or not spread:
        return None
    slope = float(weight @ (x * m)) / spread
    scatter = float(weight @ (m - slope * x) ** 2) / (within * (groups - 2))
    # Wilson & Hilferty 1931: the cube root of a chi-squared variable is nearly normal
    z = (scatter ** (1 / 3) - (1 - 2 / (9 * (groups - 2)))) / np.sqrt(2 / (9 * (groups - 2)))
    if z > -TOO_CLOSE or scatter > _SCATTER:
        return None
    return {"scatter": scatter, "z": float(z), "groups": float(groups), "slope": slope}
