"""Keys: what changes them and what does not; and what a run is called."""

from __future__ import annotations

import pytest

from headrace.engine import code
from headrace.engine.naming import name_run


def test_a_changed_helper_changes_the_code_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code.code_digest(("headrace.engine.stages.frame",))
    original = code._read

    def edited(file):  # type: ignore[no-untyped-def]
        digest, imported = original(file)
        return ("edited" if file.name == "evidence.py" else digest), imported

    monkeypatch.setattr(code, "_read", edited)
    code.code_digest.cache_clear()
    try:
        assert code.code_digest(("headrace.engine.stages.frame",)) != before
    finally:
        monkeypatch.undo()
        code.code_digest.cache_clear()
    assert code.code_digest(("headrace.engine.stages.frame",)) == before


def test_rooms_that_a_stage_does_not_import_are_no_part_of_it() -> None:
    reached: set[str] = set()
    waiting = ["headrace.engine.stages.ingest"]
    while waiting:
        module = waiting.pop()
        file = code._file_of(module)
        if module not in reached and file is not None:
            reached.add(module)
            waiting.extend(code._read(file)[1])
    assert "headrace.data.snapshot" in reached
    assert not any(m.startswith(("headrace.cli", "headrace.serve", "headrace.learn")) for m in reached)


def test_an_unknown_module_is_refused() -> None:
    with pytest.raises(ValueError, match="no module"):
        code.code_digest(("headrace.nothing",))


def test_absent_libraries_are_named_so() -> None:
    versions = code.library_versions(("numpy", "no-such-distribution"))
    assert versions["no-such-distribution"] == "absent"
    assert versions["numpy"][0].isdigit()


@pytest.mark.parametrize(
    ("new", "old", "name"),
    [
        ({"features": {"a": "x"}}, None, "first run"),
        ({"features": {"a": "x"}}, {"features": {"a": "x"}}, "no change in the spec"),
        ({"features": {"a": "x", "b": "y"}}, {"features": {"a": "x"}}, "features: +b"),
        ({"features": {"a": "y"}}, {"features": {"a": "x", "b": "y"}}, "features: -b ~a"),
        ({"models": ["tree"]}, {"models": ["tree", "linear"]}, "models: -linear"),
        (
            {"models": [{"use": "tree", "params": {"depth": 2}}]},
            {"models": [{"use": "tree"}]},
            "models: ~order or parameters",
        ),
        ({"seed": 2, "split": {"by": "time"}}, {"split": {"by": "random"}}, "seed: set; split: ~by"),
        ({"project": "b"}, {"project": "a"}, "project: a → b"),
    ],
)
def test_a_run_is_named_by_what_changed(new: dict, old: dict | None, name: str) -> None:  # type: ignore[type-arg]
    assert name_run(new, old) == name
