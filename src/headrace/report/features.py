"""The page of a project's features."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.catalogue import LEVELS, FeatureTold, Spread
from headrace.core.spec.lock import Gain
from headrace.report.figures.embed import embed
from headrace.report.figures.features import gains, spread
from headrace.report.figures.style import rows_high
from headrace.report.page import Section, listed, number, page, para, table

MOST_FIGURES = 60


def features_page(features: Sequence[FeatureTold], *, title: str, subtitle: str = "") -> str:
    """The whole page as HTML: every feature, what proposals gained, and each one's values."""
    dropped = sum(f.state == "dropped" for f in features)
    facts = [("used", str(len(features) - dropped)), ("dropped", str(dropped))]
    return page(title, feature_sections(features), subtitle=subtitle, facts=facts)


def feature_sections(features: Sequence[FeatureTold]) -> list[Section]:
    """The sections of that page."""
    used = [f for f in features if f.state != "dropped"]
    dropped = [f for f in features if f.state == "dropped"]
    sections = [Section("features", "Features", _used(used), f"{len(used)} are used.")]
    tried = [f for f in features if f.measured is not None]
    if tried:
        height = rows_high(min(40, len(tried)))
        body = embed(gains(tried), label="Gain of each proposal with its interval", height=height)
        lead = "Shares of the loss of training rows out of fold; 90% intervals over whole units."
        sections.append(Section("gains", "What proposals gained", body, lead))
    body = "".join(_one(f) for f in used[:MOST_FIGURES])
    lead = "Over the training rows of the newest run."
    sections.append(
        Section("values", "What their values are like", body or para("No run has computed them."), lead)
    )
    if dropped:
        rows = [[f.name, f.form, f.definition, gain_text(f.measured), f.why] for f in dropped]
        body = table(["proposal", "form", "definition", "gain", "why"], rows)
        sections.append(Section("dropped", "Not kept", body, f"{len(dropped)} proposals."))
    return sections


def gain_text(gain: Gain | None) -> str:
    """A gain with its interval, in percent of the loss."""
    if gain is None:
        return "–"
    return f"{gain.gain:.2%} [{gain.low:.2%}, {gain.high:.2%}]"


def _used(features: Sequence[FeatureTold]) -> str:
    rows = [
        [f.name, f.form, f.type or "–", ", ".join(f.source) or "–", f.state, f.definition, f.description,
         gain_text(f.measured), f.risk, f.owner or "–", ", ".join(r[:12] for r in f.releases) or "–"]
        for f in features
    ]  # fmt: skip
    heads = ["feature", "form", "type", "source", "state", "definition", "description", "gain",
             "leakage risk", "owner", "releases"]  # fmt: skip
    return table(heads, rows)


def _one(feature: FeatureTold) -> str:
    parts = []
    for column in feature.spreads:
        height = rows_high(len(column.values)) if column.values else 240
        parts.append(para(f"{column.column}: {column.missing:.1%} missing of {column.rows:,} rows"))
        if column.counts or column.values:
            parts.append(embed(spread(column), label=f"Values of {column.column}", height=height))
        if column.quantiles:
            parts.append(listed(quantiles(column)))
    return "".join(parts)


def quantiles(column: Spread) -> list[tuple[str, str]]:
    """A number's quantiles with their names."""
    return [(f"{level:.0%}", number(q)) for level, q in zip(LEVELS, column.quantiles, strict=True)]
