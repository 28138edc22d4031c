"""The spec's Python functions: what they read, typed against the tables, and whether they are there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.core.digest import digest_bytes
from headrace.core.errors import Problem, did_you_mean
from headrace.core.function import PYTHON, Function
from headrace.core.schema import Type
from headrace.core.spec import ParsedSpec, Spec
from headrace.core.spec.features import PythonFeature
from headrace.data.sources import code_files
from headrace.engine.checking.checker import Checker
from headrace.expr import Expr
from headrace.expr.nodes import Node


def python_features(spec: Spec) -> dict[str, PythonFeature]:
    """The features that are functions, by name."""
    return {n: f for n, f in sorted(spec.feature_specs().items()) if isinstance(f, PythonFeature)}


def type_functions(
    check: Checker, types: Mapping[str, Type], target: Expr | None
) -> tuple[tuple[Function, ...], dict[str, Type]]:
    """Every function of the spec by name, and the type of every raw column `python.NAME`, those with mistakes
    among them. `types` are the raw columns that functions may read."""
    features = python_features(check.parsed.spec)
    if PYTHON in check.parsed.spec.data.tables:
        check.add(
            f"a table can't be called {PYTHON!r}",
            *("data", "tables", PYTHON),
            why=f"expressions read what functions give as {PYTHON}.NAME",
            fix="give the table another name",
        )
    found = []
    for name, spec in features.items():
        before = len(check.problems)
        file, function = _split(check, name, spec)
        _check_reads(check, name, spec, types, target)
        if len(check.problems) == before:
            kinds = tuple(types[c] for c in spec.of)
            found.append(Function(name, file, function, spec.of, kinds, Type(spec.type)))
    return tuple(found), {f"{PYTHON}.{n}": Type(f.type) for n, f in features.items()}


def expression_of_function(function: Function, zone: str) -> Expr:
    """The feature that is what the function gives."""
    node = Node("col", function.type, param=function.column)
    return Expr(function.text, node, function.type, (function.column,), zone)


def declared_functions(spec: Spec) -> dict[str, Any]:
    """What a stage's key has to hold of the functions, beside their code."""
    return {
        name: feature.model_dump(mode="json", exclude={"description", "owner"})
        for name, feature in python_features(spec).items()
    }


def code_digests(root: Path, spec: Spec) -> dict[str, str]:
    """The digest of every file that the functions run from: a changed one is another feature."""
    files = sorted({f.python.rpartition(":")[0] for f in python_features(spec).values()})
    return {
        name: digest_bytes(path.read_bytes())
        for file in files
        if (root / file).is_file()
        for name, path in code_files((root / file).resolve(), root)
    }


def _split(check: Checker, name: str, spec: PythonFeature) -> tuple[str, str]:
    file, _, function = spec.python.rpartition(":")
    parts = Path(file).parts
    if not file.endswith(".py") or not function.isidentifier():
        check.add(
            f"feature {name!r}: {spec.python!r} names no function",
            *("features", name, "python"),
            fix="write the file and the function, such as python: features.py:risk",
        )
    elif Path(file).is_absolute() or ".." in parts:
        check.add(
            f"feature {name!r}: {file} lies outside the project",
            *("features", name, "python"),
            why="its code is kept with the release, below the project's folder",
            fix="move the file into the project",
        )
    return Path(file).as_posix(), function


def _check_reads(
    check: Checker, name: str, spec: PythonFeature, types: Mapping[str, Type], target: Expr | None
) -> None:
    for column in spec.of:
        if types and column not in types:
            check.add(
                f"feature {name!r} reads {column!r}, which there is not",
                *("features", name, "of"),
                fix=did_you_mean(column, types),
            )
    if len(set(spec.of)) < len(spec.of):
        check.add(f"feature {name!r} names a column twice", *("features", name, "of"), fix="name each once")
    leaked = sorted(set(spec.of) & set(target.columns)) if target else []
    if leaked:
        check.add(
            f"feature {name!r} uses the target's column {leaked[0]!r}",
            *("features", name, "of"),
            why="the target is not known when the prediction is made",
            fix="remove it, or read other columns",
        )


def function_problems(parsed: ParsedSpec, root: Path) -> Iterator[Problem]:
    """Files and functions that are not there. The files are read, not run."""
    for name, spec in python_features(parsed.spec).items():
        file, _, function = spec.python.rpartition(":")
        where = parsed.where("features", name, "python")
        path = root / file
        if not file.endswith(".py") or Path(file).is_absolute() or ".." in Path(file).parts:
            continue  # told by type_functions
        if not path.is_file():
            near = sorted(p.relative_to(root).as_posix() for p in root.glob("*.py"))
            fix = did_you_mean(file, near) or "write it, in the project's folder"
            yield Problem(f"feature {name!r}: there is no file {file}", where, fix=fix)
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError) as error:
            line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            yield Problem(f"feature {name!r}: {file}{line} can't be read: {error}", where, fix="correct it")
            continue
        names = set(_names(tree))
        if function not in names and "*" not in names:
            yield Problem(
                f"feature {name!r}: there is no function {function!r} in {file}",
                where,
                fix=did_you_mean(function, names),
            )


def _names(tree: ast.Module) -> Iterator[str]:
    """What a file defines at its top level: functions, assigned names, imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from (a.asname or a.name for a in node.names)
