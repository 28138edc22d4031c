"""Features: what every feature means, where it comes from, what it gained, and how its values lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.catalogue import FeatureTold
from headrace.core.errors import HeadraceError
from headrace.report.features import feature_sections
from headrace.web.page import Asked, Page


@dataclass(frozen=True)
class FeaturesPage:
    """The page. wrong: why features can't be told (the spec has mistakes, or this install can't train)."""

    features: tuple[FeatureTold, ...]
    total: int
    words: str
    wrong: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "features": [f.plain() for f in self.features],
            "total": self.total,
            "words": self.words,
            "wrong": list(self.wrong),
        }


def model(asked: Asked) -> FeaturesPage:
    """The features, those alone in which the words occur where some are given."""
    words = asked.text("words")
    try:
        every = asked.project.features()
    except HeadraceError as error:
        return FeaturesPage((), 0, words, tuple(str(p) for p in error.problems))
    found = [
        f for f in every if words.lower() in f"{f.name} {f.definition} {f.description} {f.source}".lower()
    ]
    return FeaturesPage(tuple(found), len(every), words, ())


def dress(page: FeaturesPage) -> Mapping[str, Any]:
    """Its sections, as the page of `headrace features` has them."""
    from markupsafe import Markup

    sections = feature_sections(page.features) if page.features else []
    return {"sections": [(s, Markup(s.body)) for s in sections]}


PAGE = Page(
    "features",
    "features",
    "Features",
    "the documentation of every feature: definition, source, gain, risk, values",
    model,
    "features.html",
    dress=dress,
    plots=True,
)
