"""Keys: what changes them and what does not; and what a run is called."""

from __future__ import annotations

import ast

import pytest

from headrace.engine import code


def test_a_changed_helper_changes_the_code_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code.code_digest(("headrace.engine.stages.frame",))
    original = code._read

    def edited(file):
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


def test_imports_read_as_text_are_those_of_the_syntax_tree() -> None:
    for file in sorted(code._root().rglob("*.py")):
        found: set[str] = set()
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                found.update(a.name for a in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        assert code._read(file)[1] == tuple(sorted(m for m in found if code._file_of(m))), file


def test_an_unknown_module_is_refused() -> None:
    with pytest.raises(ValueError, match="no module"):
        code.code_digest(("headrace.nothing",))


def test_absent_libraries_are_named_so() -> None:
    versions = code.library_versions(("numpy", "no-such-distribution"))
    assert versions["no-such-distribution"] == "absent"
    assert versions["numpy"][0].isdigit()
