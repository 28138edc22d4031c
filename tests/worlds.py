"""Real tables as projects: three classes of wine, and California's districts."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from headrace.core.clock import Clock
from headrace.project import Project

AUTHOR = "author@example.com"


def wine(folder: Path, changes: Mapping[str, Any] | None = None, *, clock: Clock | None = None) -> Project:
    """178 wines of three classes, from scikit-learn. `changes` are merged into the spec."""
    from sklearn.datasets import load_wine

    bunch = load_wine()
    names = [n.replace("/", "_") for n in bunch.feature_names]
    rows = [[i, *x, f"class_{y}"] for i, (x, y) in enumerate(zip(bunch.data, bunch.target, strict=True))]
    _write(folder / "data" / "wine.csv", ["id", *names, "kind"], rows)
    spec = {
        "headrace": 1,
        "project": "wine",
        "problem": {
            "objective": "sort wines by their maker",
            "decision": "label the bottle",
            "task": "multiclass",
            "target": "kind",
            "metric": "f1_macro",
            "owners": {"default": "owner@example.com"},
            "approval": "self",
        },
        "data": {"events": "wine", "id": "id", "tables": {"wine": {"read": "data/wine.csv"}}},
        "split": {"by": "stratified", "validation": "20%", "test": "20%"},
        "features": {n: n for n in names},
        "models": ["linear", "tree"],
        "cv": {"folds": 3},
        "serve": {"deadline": "60 s"},  # a machine that is busy with other tests is no reason to refuse
    }
    return _project(folder, spec, changes, clock)


def homes(
    folder: Path,
    file: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    rows: int = 2000,
    clock: Clock | None = None,
) -> Project:
    """About `rows` evenly spaced districts of `file`. `changes` are merged into the spec."""
    with file.open(newline="") as f:
        header, *lines = csv.reader(f)
    step = max(1, len(lines) // rows)
    _write(folder / "data" / "housing.csv", header, lines[::step][:rows])
    target = "median_house_value"
    spec = {
        "headrace": 1,
        "project": "housing",
        "problem": {
            "objective": "price districts fairly",
            "decision": "make an offer",
            "task": "regression",
            "target": target,
            "metric": "rmse",
            "owners": {"default": "owner@example.com"},
            "approval": "self",
        },
        "data": {"events": "housing", "tables": {"housing": {"read": "data/housing.csv"}}},
        "split": {"by": "random", "validation": "20%", "test": "20%"},
        "features": {n: n for n in header if n != target},
        "models": ["linear", "tree"],
        "cv": {"folds": 3},
        "serve": {"deadline": "60 s"},  # a machine that is busy with other tests is no reason to refuse
    }
    return _project(folder, spec, changes, clock)


def _project(
    folder: Path, spec: dict[str, Any], changes: Mapping[str, Any] | None, clock: Clock | None
) -> Project:
    _merge(spec, changes or {})
    (folder / "headrace.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return Project(folder, actor=AUTHOR, **({"clock": clock} if clock else {}))


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = value


def _write(file: Path, header: list[str], rows: list[list[Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(header)
        out.writerows(rows)
