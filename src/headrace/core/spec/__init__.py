"""The Spec: one `headrace.yaml`, parsed into typed, frozen models."""

from headrace.core.spec.models import FeatureSpec, ModelSpec, Spec, SplitSpec, TableSpec
from headrace.core.spec.parse import FILE_NAME, ParsedSpec, parse_spec

__all__ = [
    "FILE_NAME",
    "FeatureSpec",
    "ModelSpec",
    "ParsedSpec",
    "Spec",
    "SplitSpec",
    "TableSpec",
    "parse_spec",
]
