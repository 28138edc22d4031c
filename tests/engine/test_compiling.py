"""What a spec says is compiled once for its tables, however many stages ask."""

from __future__ import annotations

import pytest
from spine import begin

from headrace.core.schema import Column, Type
from headrace.engine import compile as room
from headrace.project import Project


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return begin(tmp_path_factory.mktemp("compiling") / "p")


def test_the_same_spec_and_tables_are_compiled_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(parsed: object, tables: object) -> tuple[object, object]:
        asked.append((parsed, tables))
        return parsed, tables

    monkeypatch.setattr(room, "compile_spec", counted)
    one, other = project.spec(), project.spec()
    tables = {"parcels": (Column("distance", Type.NUMBER),)}
    wider = {"parcels": (*tables["parcels"], Column("depot", Type.TEXT))}
    compiling = room.Compiling()
    for parsed, columns in [(one, tables), (one, wider), (other, tables), (one, tables), (one, dict(wider))]:
        assert compiling.of(parsed, columns) == (parsed, columns)
    assert [(p is one, len(t["parcels"])) for p, t in asked] == [(True, 1), (True, 2), (False, 1)]
