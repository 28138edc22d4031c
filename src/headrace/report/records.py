"""The results of a run's stages, read back from plain JSON as the records that they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from headrace.checks.curves import Curves
from headrace.checks.errors import Errors
from headrace.checks.fairness import Fairness
from headrace.checks.learning_curve import LearningCurve
from headrace.checks.lint.record import Finding
from headrace.checks.robustness import Robustness
from headrace.checks.slices import Slices
from headrace.core.codec import from_plain
from headrace.core.told import RunTold
from headrace.data.privacy.scan import Scan
from headrace.data.profile.record import Profile
from headrace.explain.record import Explanations
from headrace.features.clean import CleaningReport
from headrace.learn.records import EnsembleRecord
from headrace.learn.search.record import SearchRecord
from headrace.metrics.calibration import Reliability
from headrace.metrics.worth import Worth

T = TypeVar("T")


@dataclass(frozen=True)
class Looked:
    """What the linter looked at and found: the artifact with the role `findings`."""

    train_rows: int
    validation_rows: int
    sampled: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Scanned:
    """The proof behind the gate `pii`: the scans, and what was done by table and column."""

    scans: tuple[Scan, ...]
    treatments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    key: str = ""


@dataclass(frozen=True)
class Records:
    """What is there; None where a run did not come so far, or where it was not asked for. `unreadable` names
    what another version of headrace wrote in another form."""

    profile: Profile | None
    findings: Looked | None
    cleaning: CleaningReport | None
    privacy: Scanned | None
    search: SearchRecord | None
    ensemble: EnsembleRecord | None
    slices: Slices | None
    fairness: Fairness | None
    errors: Errors | None
    curves: Curves | None
    calibration: Reliability | None
    robustness: Robustness | None
    learning_curve: LearningCurve | None
    worth: Worth | None
    explanations: Explanations | None
    unreadable: tuple[str, ...]


def read_records(told: RunTold) -> Records:
    """Every record of a run."""
    failed: list[str] = []

    def read(role: str, kind: type[T], given: Any = None) -> T | None:
        plain = told.records.get(role) if given is None else given
        if plain is None:
            return None
        try:
            return from_plain(plain, kind)
        except msgspec.ValidationError:
            failed.append(role)
            return None

    return Records(
        profile=read("profile", Profile),
        findings=read("findings", Looked),
        cleaning=read("cleaning", CleaningReport),
        privacy=read("pii scan", Scanned),
        search=read("search", SearchRecord),
        ensemble=read("ensemble", EnsembleRecord, told.facts("learn").get("ensemble")),
        slices=read("slices", Slices),
        fairness=read("fairness", Fairness),
        errors=read("errors", Errors),
        curves=read("curves", Curves),
        calibration=read("calibration", Reliability),
        robustness=read("robustness", Robustness),
        learning_curve=read("learning_curve", LearningCurve),
        worth=read("worth", Worth),
        explanations=read("explanations", Explanations),
        unreadable=tuple(failed),
    )
