"""The Spec: one `headrace.yaml`, parsed into typed, frozen models."""

from headrace.core.spec.features import FeatureSpec
from headrace.core.spec.learning import ModelSpec
from headrace.core.spec.models import Spec
from headrace.core.spec.parse import FILE_NAME, LOCK_NAME, ParsedLock, ParsedSpec, parse_lock, parse_spec
from headrace.core.spec.tables import SplitSpec, TableSpec

__all__ = [
    "FILE_NAME",
    "LOCK_NAME",
    "FeatureSpec",
    "ModelSpec",
    "ParsedLock",
    "ParsedSpec",
    "Spec",
    "SplitSpec",
    "TableSpec",
    "parse_lock",
    "parse_spec",
]
