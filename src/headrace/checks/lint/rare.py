"""Categories of which there is a single row: nothing can be learned of them, or checked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headrace.checks.lint.alone import Alone
from headrace.checks.lint.ids import named_row
from headrace.checks.lint.record import Dataset, Finding, Severity
from headrace.core.schema import Type

KIND = "rare-category"


def find(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """Text features with values that a single row has. A feature that names rows is told of as such."""
    del alone
    among = " among those that were looked at" if data.sampled else ""
    for feature in data.features:
        if feature.type is not Type.TEXT or named_row(feature, data):
            continue
        counts = np.bincount(feature.values[~feature.null], minlength=len(feature.levels))
        single = np.flatnonzero(counts == 1)
        if not single.size:
            continue
        yield Finding(
            KIND,
            feature.name,
            Severity.WARNS,
            f"{single.size:,} of its {np.count_nonzero(counts):,} values have a single row{among}",
            "mend the spelling if it is a typo, or group rare values with a `case` expression",
            {"values": int(np.count_nonzero(counts)), "with a single row": int(single.size)},
            tuple(repr(feature.levels[int(v)]) for v in single[:3]),
        )
