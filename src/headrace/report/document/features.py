"""Feature engineering: every feature with its source, transformation, type and risk of leakage."""

from __future__ import annotations

from headrace.core.catalogue import LEVELS, Spread
from headrace.core.document import Design, DesignFeature, Risk
from headrace.report.document.blocks import (
    Block,
    Code,
    Heading,
    Inline,
    Items,
    Lack,
    Para,
    Part,
    Table,
    Words,
)
from headrace.report.document.store import feature_store
from headrace.report.document.tell import counted, listed

_RISKS = {
    Risk.BLOCKS: "high, and it blocks",
    Risk.ACCEPTED: "found, and accepted",
    Risk.LOOK: "to look at",
    Risk.LOW: "low",
    Risk.OPEN: "not looked at yet",
}
_COLUMNS = Lack("problem.columns")

MOST_COLUMNS = 8
"""So many columns of one feature are shown (words of a text have hundreds)."""
MOST_VALUES = 5


def feature_engineering(design: Design) -> Part:
    """The section."""
    return Part(
        "Feature engineering",
        (
            Heading("Features"),
            *_features(design),
            Heading("Expected values"),
            *_spreads(design),
            Heading("What the columns mean"),
            *_columns(design),
            Heading("Cleaning"),
            *_cleaning(design),
            Heading("Feature store"),
            *feature_store(design),
        ),
    )


def _features(design: Design) -> list[Block]:
    rows = tuple(_feature(f) for f in design.features)
    told: list[Block] = []
    if design.unread:
        told.append(
            Para(f"Types, sources and risks are not known while tables can't be read: {design.unread}.")
        )
    told += [
        Para(
            f"{counted(len(rows), 'feature')}. A definition is compiled once and runs in training and "
            "serving alike. "
            "The risk of leakage is what the linter found on training and validation rows, and what the "
            "declarations let a feature see."
        ),
        Table(("feature", "source", "transformation", "type", "leakage risk", "owner", "used by"), rows),
    ]
    return told


def _feature(feature: DesignFeature) -> tuple[Words, ...]:
    plain = (
        feature.columns in ((feature.expression,), ()) and feature.expression.replace(".", "_").isidentifier()
    )
    transformation: list[Inline] = ["as it is: "] if plain else []
    transformation.append(Code(feature.expression))
    if feature.cleaning:
        transformation.append(f" (after cleaning: {'; '.join(feature.cleaning)})")
    name: Words = (
        (Code(feature.name), f": {feature.description}") if feature.description else Code(feature.name)
    )
    risk = f"{_RISKS[feature.risk]}: {feature.why}" if feature.why else _RISKS[feature.risk]
    used = ", ".join(feature.releases) or "no release yet"
    owner = feature.owner or Lack("problem.owners")
    return (
        name,
        ", ".join(feature.source) or "–",
        tuple(transformation),
        feature.type or "–",
        risk,
        owner,
        used,
    )


def _spreads(design: Design) -> list[Block]:
    """How every column of the matrix lay over the training rows: what new rows are expected to be like."""
    runs = tuple(dict.fromkeys(f.run for f in design.features if f.run))
    if not runs:
        return [Para("Not known: no run has computed these features yet.")]
    rows: list[tuple[Words, ...]] = []
    for feature in design.features:
        rows += [_spread(s) for s in feature.spreads[:MOST_COLUMNS]]
        more = len(feature.spreads) - MOST_COLUMNS
        if more > 0:
            rows.append(((Code(feature.name), f": {counted(more, 'more column')}"), "", "", ""))
    unknown = [f.name for f in design.features if not f.spreads]
    told = f"Over the training rows of {listed(runs)}; 5%, 25%, 50%, 75% and 95% are quantiles."
    if unknown:
        told += f" Not computed yet as they are declared now: {listed(unknown)}."
    return [Para(told), Table(("column", "missing", "expected values", "lowest to highest"), tuple(rows))]


def _spread(spread: Spread) -> tuple[Words, ...]:
    missing = f"{spread.missing:.1%}"
    if spread.kind == "category":
        top = [f"{value} {share:.0%}" for value, share in spread.values[:MOST_VALUES]]
        return Code(spread.column), missing, ", ".join(top) or "none", "–"
    if spread.kind == "bool" and spread.mean is not None:
        return Code(spread.column), missing, f"{spread.mean:.1%} true", "–"
    if not spread.quantiles:
        return Code(spread.column), missing, "none", "–"
    low, *inner, high = spread.quantiles
    levels = zip(LEVELS[1:-1], inner, strict=True)
    told = ", ".join(f"{level:.0%}: {q:.4g}" for level, q in levels)
    return Code(spread.column), missing, told, f"{low:.4g} to {high:.4g}"


def _columns(design: Design) -> list[Block]:
    if not design.columns:
        return [Para(_COLUMNS)]
    rows = tuple(
        (
            Code(c.name),
            c.type or "–",
            c.meaning or "not declared",
        )
        for c in design.columns
    )
    told: list[Block] = [Table(("column", "type", "meaning"), rows)]
    treated = [f"{c.name}: {c.treatment}" for c in design.columns if c.treatment]
    if treated:
        told.append(Para(f"Treated as personal data before anything is kept: {listed(treated)}."))
    silent = [c.name for c in design.columns if not c.meaning]
    if silent:
        told.append(Para((f"What {listed(silent)} {'mean' if len(silent) > 1 else 'means'}: ", _COLUMNS)))
    return told


def _cleaning(design: Design) -> list[Block]:
    clean = design.spec.clean
    items: list[Words] = list(dict.fromkeys(t for f in design.features for t in f.cleaning))
    rows = clean.rows
    if rows.duplicates:
        by = f" in {listed(rows.duplicates)}" if isinstance(rows.duplicates, tuple) else ""
        items.append(f"training rows that repeat an earlier one{by} are left out")
    items += [("training rows are left out where ", Code(d)) for d in rows.drop]
    if rows.outliers:
        items.append(f"training rows far out in {listed(rows.outliers)} are left out")
    items += [f"{t}: {listed(c)} forward filled" for t, c in sorted(clean.forward_fill.items())]
    if not items:
        return [Para("None is declared: nulls go to the model as nulls, and every training row is used.")]
    return [
        Para("Fitted on training rows alone; on columns it is part of the packaged graph."),
        Items(tuple(items)),
    ]
