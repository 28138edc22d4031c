"""The linter for leakage and faults: arrays in, findings with evidence and remedy out."""

from headrace.checks.lint.record import Column, Dataset, Finding, Seen, Severity, Unlabelled
from headrace.checks.lint.registry import FAULTS, KINDS, LEAKAGE, lint

__all__ = [
    "FAULTS",
    "KINDS",
    "LEAKAGE",
    "Column",
    "Dataset",
    "Finding",
    "Seen",
    "Severity",
    "Unlabelled",
    "lint",
]
