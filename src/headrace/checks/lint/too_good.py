"""Does one feature alone predict better than all the others together, and better than is plausible?

What is implausible is a judgement: a feature that leaves a small part of the error which the rest of the
table leaves is, in practice, more often the outcome in another dress than a discovery. Noise counts: the
safe end of the single feature's score is compared with the rest's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headrace.checks.lint.alone import Alone, Score
from headrace.checks.lint.copies import pearson
from headrace.checks.lint.record import Column, Dataset, Finding, Floats, Severity

KIND = "too-good"

SEEN = {False: 0.10, True: 0.07}
"""Share of error left (1 - R², 1 - AUC) from which a feature alone is looked at: quantities, classes."""

RATIO = 0.3
"""It is flagged where that is less than this share of what all other features together leave."""

BLOCKS = 0.15
"""And blocks the run below this share."""

OUTSIDE = 0.4
"""Where the others are good too: share of the next best single feature's error, for a feature that has
nothing to do with the others once the target is known, as noise added to the target has not."""

REMEDY = (
    "find out when and how its value is written down; leave it out if that is with or after the outcome, "
    "else accept it with a reason under inspect.allow"
)
MOST = 5


def find(data: Dataset, alone: Alone, copies: set[str]) -> Iterator[Finding]:
    """Features that alone are implausibly good; `copies` are known to be copies and are not looked at."""
    seen = SEEN[bool(data.classes)]
    scores = {n: s for n, s in alone.scores.items() if n not in copies}
    best = sorted(scores, key=lambda n: scores[n].error)[:MOST]
    for name in best:
        score = scores[name]
        if score.error + score.se > seen:
            continue
        predicted = alone.predict_without({name, *copies})
        rest = alone.score(predicted) if predicted is not None else Score(1.0 if not data.classes else 0.5, 0)
        others = [scores[n].error for n in scores if n != name]
        ratio = (score.error + 2 * score.se) / max(rest.error - rest.se, 1e-12)
        if ratio < RATIO:
            yield _finding(data, name, score, rest, Severity.BLOCKS if ratio < BLOCKS else Severity.WARNS)
        elif predicted is not None and others and score.error + score.se < OUTSIDE * min(others):
            column = alone.data.by_feature[name]
            if _apart(alone, column, predicted):
                yield _finding(data, name, score, rest, Severity.WARNS)


def _finding(data: Dataset, name: str, score: Score, rest: Score, severity: Severity) -> Finding:
    unit = "ROC AUC" if data.classes else "R²"
    return Finding(
        KIND,
        name,
        severity,
        f"alone it reaches {unit} {score.value:.4f} across folds, all others together {rest.value:.4f}",
        REMEDY,
        {
            unit: score.value,
            "standard error": score.se,
            f"{unit} of the others": rest.value,
            "rows": int(data.train.sum()),
        },
    )


def _apart(alone: Alone, column: Column, rest: Floats) -> bool:
    """Whether the column is unrelated, given the target, to what the others predict. A cause is related: of
    two causes of the same outcome one is small where the other was enough."""
    if not column.numeric:
        return False
    known = ~column.null
    if known.sum() < 50:
        return False
    y, x = alone.targets[known], column.values[known].astype(np.float64)
    design = np.column_stack([np.ones(len(y)), y, y**2])
    keep = [x - design @ np.linalg.lstsq(design, x, rcond=None)[0]]
    other = rest[known]
    keep += [other[:, k] - design @ np.linalg.lstsq(design, other[:, k], rcond=None)[0]
             for k in range(other.shape[1])]  # fmt: skip
    most = max(abs(pearson(keep[0], r)) for r in keep[1:])
    return bool(most < 2.5 / np.sqrt(known.sum()))
