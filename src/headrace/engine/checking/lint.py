"""Names of findings: under which they are judged, and which `inspect:` may accept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headrace.checks.lint import FAULTS, KINDS, LEAKAGE, Finding
from headrace.core.errors import did_you_mean
from headrace.core.spec.features import ExprFeature, FeatureSpec
from headrace.engine.checking.checker import Checker

GATES: Mapping[str, Sequence[str]] = {"leakage": LEAKAGE, "faults": FAULTS}
"""The kinds of findings behind each gate."""


def thing_of(finding: Finding) -> str:
    """What a finding is judged as, behind its gate's name: a feature, or a kind."""
    return f"feature {finding.subject}" if finding.subject else finding.kind


def judged_names(features: Mapping[str, FeatureSpec], wanted: Iterable[str] = ()) -> list[str]:
    """Every name under which a finding can be judged, and so waived; and those of `wanted` that name one of
    the several columns that a feature may make, whose names begin with its own."""
    things = [f"feature {name}" for name in features]
    several = [n for n, f in features.items() if not isinstance(f, ExprFeature)]
    begun = tuple(f"{gate}: feature {name}_" for gate in GATES for name in several)
    names = [f"{gate}: {thing}" for gate, kinds in GATES.items() for thing in (*things, *kinds)]
    return names + [w for w in wanted if w.startswith(begun)]


def check_lint(check: Checker, features: Iterable[str], encoders: Iterable[str]) -> None:
    """Every accepted finding is about a feature, or of a kind that speaks of the whole table. An encoder may
    make several columns, whose names begin with its own."""
    known, begun = [*features, *encoders, *KINDS], tuple(f"{n}_" for n in encoders)
    for name in check.parsed.spec.inspect.allow:
        if name not in known and not name.startswith(begun):
            check.add(
                f"inspect.allow: {name!r} is no feature and no kind of finding",
                *("inspect", "allow", name),
                fix=did_you_mean(name, known),
            )
