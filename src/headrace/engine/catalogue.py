"""Every feature of a project, told from its spec, its lock, its newest run and its releases."""

from __future__ import annotations

from headrace.core.catalogue import FeatureTold
from headrace.core.document import Design
from headrace.core.spec import ParsedSpec, Spec
from headrace.core.spec.features import (
    EncodeFeature,
    ExprFeature,
    FeatureSpec,
    HistoryFeature,
    NeighboursFeature,
    long_form,
)
from headrace.core.spec.lock import Lock

_RISKS = {
    "blocks": "high, and it blocks",
    "accepted": "found, and accepted",
    "not looked at": "not looked at yet",
}


def catalogue(parsed: ParsedSpec, design: Design) -> tuple[FeatureTold, ...]:
    """Features in the order of the spec, then the lock's, then what was dropped."""
    spec = parsed.spec
    lock = parsed.lock.lock if parsed.lock is not None else None
    specs = spec.feature_specs()
    told = []
    for line in design.features:
        feature = specs[line.name]
        about = lock.about.get(line.name) if lock is not None else None
        why = f"{_RISKS.get(line.risk.value, line.risk.value)}: {line.why}" if line.why else line.risk.value
        told.append(
            FeatureTold(
                name=line.name,
                form=about.form if about is not None else _form(feature),
                type=line.type,
                source=line.source or (about.source if about is not None else ()),
                state=_state(spec, lock, line.name),
                definition=feature.text,
                description=feature.description,
                owner=line.owner,
                risk="; ".join(r for r in (why, about.risk if about is not None else "") if r),
                measured=about.measured if about is not None else None,
                spreads=line.spreads,
                run=line.run,
                releases=line.releases,
            )
        )
    return (*told, *(_dropped(spec, lock) if lock is not None else ()))


def _state(spec: Spec, lock: Lock | None, name: str) -> str:
    if name in spec.features or lock is None:
        return "named"
    return "pinned" if name in lock.pin else "kept"


def _dropped(spec: Spec, lock: Lock) -> list[FeatureTold]:
    return [
        FeatureTold(
            name=name,
            form=tried.form,
            type="",
            source=(),
            state="dropped",
            definition=long_form(tried.feature).text,
            description=long_form(tried.feature).description,
            owner=spec.owner("features"),
            risk="",
            measured=tried.measured,
            why=tried.why,
        )
        for name, tried in lock.dropped.items()
        if name not in spec.feature_specs()
    ]


def _form(feature: FeatureSpec) -> str:
    if isinstance(feature, ExprFeature):
        return "expression"
    if isinstance(feature, HistoryFeature):
        return "history"
    if isinstance(feature, NeighboursFeature):
        return "neighbours"
    return f"{feature.encode} encoding" if isinstance(feature, EncodeFeature) else "function"
