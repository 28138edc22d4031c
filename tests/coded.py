"""Rows that are coded already, counted: the plain way, against which quicker ones are held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headrace.summary.bins import UNKNOWN, Bins
from headrace.summary.coding import Codes
from headrace.summary.counts import Counts, no_rows


def count_codes(bins: Bins, codes: Codes) -> Counts:
    """Of rows, uint8 [rows, columns]. Codes that are `UNKNOWN` are in no count of their column."""
    found = np.zeros(bins.width, np.int64)
    for i in range(len(bins.columns)):
        column = codes[:, i]
        start, end = bins.offsets[i], bins.offsets[i + 1]
        found[start:end] = np.bincount(column[column != UNKNOWN], minlength=end - start)
    return replace(no_rows(bins), rows=len(codes), codes=found)
