"""Features that are the same in every row."""

from __future__ import annotations

import re

import pytest

from headrace.core.errors import SpecError
from headrace.project import Project


def test_features_that_read_no_column_are_refused_before_any_work(fresh: Project) -> None:
    file = fresh.root / "headrace.yaml"
    text = re.sub(r"features:\n(  .*\n)+", "features:\n  a: \"'a'\"\n", file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match="no feature reads a column") as caught:
        fresh.check()
    assert "headrace.yaml:" in str(caught.value)
