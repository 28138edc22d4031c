"""Ratios and differences of quantities that are alike, and of those that a tree splits by together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from headrace.core.schema import Type
from headrace.core.spec.features import ExprFeature
from headrace.core.sql import quoted
from headrace.data.privacy.names import words
from headrace.draft.look import Look, Profile
from headrace.draft.names import listed
from headrace.draft.propose.record import Facts, Names, Proposal, written

MOST_PAIRS = 120
"""Pairs of quantities that are proposed: the likest first, of equals those that trees split by together."""

MOST_LIKE = 3
"""Quantities, and ratios, in which rows are compared with their neighbours."""

MOST_TOGETHER = 12
"""Pairs of quantities that are not alike, and that trees split by together."""

_VAGUE = frozenset(
    listed(
        "mean avg average total sum min max low high worst best std sd error count num number n of the per x"
    )
)
"""Words that say nothing of what is measured."""

_UNITS = frozenset(
    listed(
        """miles mile km kilometres kilometers m metres meters feet inches inch mph kmh °f °c degrees minutes
    hours seconds days years months usd eur gbp dollars euros percent kg g tons litres watts kwh volts people
    persons rooms pixels mm cm millibars hpa"""
    )
)
PLACES = frozenset(listed("latitude longitude lat lon lng long easting northing"))
_COUNTS = 20
"""A count has at least so many different values."""


Pairs = Sequence[tuple[str, str]]


def pairs_alike(facts: Facts, together: Pairs) -> list[tuple[str, str, str]]:
    """(larger, smaller, why they are alike) of quantities, the likest first."""
    found, place = [], {frozenset(pair): i for i, pair in enumerate(together)}
    quantities = [p for p in facts.numbers() if not set(words(p.name)) & PLACES]
    for a, b in combinations(quantities, 2):
        rank, why = _alike(a, b, facts)
        if rank:
            large, small = (a, b) if _size(a) >= _size(b) else (b, a)
            split = place.get(frozenset((a.name, b.name)), len(place))
            found.append((-rank, split, large.name, small.name, why))
    found.sort(key=lambda f: f[:2])
    return [(a, b, why) for _, _, a, b, why in found[:MOST_PAIRS]]


def _size(p: Profile) -> float:
    return max(abs(float(p.low)), abs(float(p.high)))


def _alike(a: Profile, b: Profile, facts: Facts) -> tuple[int, str]:
    """How alike two quantities are (0: not), and by what."""
    meanings = facts.spec.problem.columns
    units = _units(meanings.get(a.name, "")) & _units(meanings.get(b.name, ""))
    if units:
        return 4, f"both in {sorted(units)[0]}"
    stem_a, stem_b = (re.sub(r"\d+$", "", n.name) for n in (a, b))
    shared = set(words(stem_a)) & set(words(stem_b)) - _VAGUE
    if shared and _near(a, b, 1e4):
        return 3, f"both of {sorted(shared, key=lambda w: (-len(w), w))[0]}"
    if _counts(a) and _counts(b) and _near(a, b, 1e3):
        return 2, "both counts"
    if stem_a == stem_b and _near(a, b, 100):
        return 1, "numbered alike, with like ranges"
    return 0, ""


def _units(meaning: str) -> set[str]:
    return set(re.split(r"[\s,;()]+", meaning.lower())) & _UNITS


def _near(a: Profile, b: Profile, factor: float) -> bool:
    small, large = sorted((_size(a), _size(b)))
    return small > 0 and large / small <= factor


def _counts(p: Profile) -> bool:
    return p.whole and float(p.low) >= 0 and p.distinct >= _COUNTS and float(p.high) > _COUNTS


def propose_pairs(facts: Facts, names: Names, together: Pairs) -> Iterator[Proposal]:
    """The ratio of like quantities where neither is below zero, and their difference."""
    for a, b, why in pairs_alike(facts, together):
        if float(facts.profiles[a].low) >= 0 and float(facts.profiles[b].low) >= 0:
            yield _of(facts, names, "ratio", a, b, why)
        yield _of(facts, names, "difference", a, b, why)


@dataclass(frozen=True)
class Like:
    """A quantity, or the ratio of two, in which rows are compared. spread: of its values, as far as outliers
    don't tell (a standard deviation, were they normal); 0 where it is not known."""

    columns: tuple[str, ...]
    spread: float = 0.0

    @property
    def text(self) -> str:
        """Its expression."""
        return " / ".join(map(written, self.columns))


def like_quantities(facts: Facts, together: Pairs) -> list[Like]:
    """In what rows are compared: ratios (first those that the project names) of like counts, quantities that
    trees split by."""
    named = list(_named_ratios(facts))
    known = {frozenset(pair) for pair in named}
    counts = [(a, b) for a, b, why in pairs_alike(facts, together) if why == "both counts"]
    ratios = [*named, *(pair for pair in counts if frozenset(pair) not in known)][:MOST_LIKE]
    in_ratios = {c for pair in ratios for c in pair}
    ranked = list(dict.fromkeys(c for pair in together for c in pair))
    single = [c for c in ranked if c not in in_ratios and not is_place(c) and c in facts.profiles]
    return [Like((c,)) for c in single[:MOST_LIKE]] + [Like(pair) for pair in ratios]


def _named_ratios(facts: Facts) -> Iterator[tuple[str, str]]:
    """Of two quantities, in the order of the file."""
    quantities = {written(p.name): p.name for p in facts.numbers()}
    for feature in facts.spec.feature_specs().values():
        parts = [t.strip() for t in feature.expr.split("/")] if isinstance(feature, ExprFeature) else []
        if len(parts) == 2 and all(t in quantities for t in parts):
            yield quantities[parts[0]], quantities[parts[1]]


def measured(look: Look, like: Sequence[Like]) -> tuple[Like, ...]:
    """The same with their spreads over the training rows: the quartiles' distance, which is 1.35 standard
    deviations of what is normal."""
    if not like:
        return ()
    texts = [
        " / ".join([quoted(q.columns[0]), *(f"nullif({quoted(c)}, 0)" for c in q.columns[1:])]) for q in like
    ]
    asked = ", ".join(f"quantile_cont({t}, 0.75) - quantile_cont({t}, 0.25)" for t in texts)
    found = look.db.sql(f"select {asked} from train").fetchall()[0]
    return tuple(replace(q, spread=float(f or 0.0) / 1.35) for q, f in zip(like, found, strict=True))


def propose_together(facts: Facts, names: Names, together: Pairs) -> Iterator[Proposal]:
    """Ratio, product and difference of quantities that a shallow tree splits by one after the other."""
    why = "a shallow tree splits by both"
    known = {frozenset((a, b)) for a, b, _ in pairs_alike(facts, together)}
    there = [p for p in together if frozenset(p) not in known and set(p) <= set(facts.profiles)]
    for a, b in there[:MOST_TOGETHER]:
        if float(facts.profiles[b].low) > 0 or float(facts.profiles[b].high) < 0:
            yield _of(facts, names, "ratio", a, b, why)
        elif float(facts.profiles[a].low) > 0 or float(facts.profiles[a].high) < 0:
            yield _of(facts, names, "ratio", b, a, why)
        yield _of(facts, names, "product", a, b, why)
        if _near(facts.profiles[a], facts.profiles[b], 20):
            yield _of(facts, names, "difference", a, b, why)


_FORMS = {"ratio": ("per", "/"), "difference": ("minus", "-"), "product": ("times", "*")}


def _of(facts: Facts, names: Names, form: str, a: str, b: str, why: str) -> Proposal:
    word, sign = _FORMS[form]
    text = {"ratio": f"{a} for each {b}", "difference": f"how much more {a} is than {b}"}
    return Proposal(
        names.give(f"{a} {word} {b}"),
        ExprFeature(
            expr=f"{written(a)} {sign} {written(b)}",
            description=f"{text.get(form, f'{a} times {b}')} ({why})",
        ),
        form,
        facts.source(a, b),
        facts.risk(a, b),
    )


def is_place(name: str) -> bool:
    """Whether a column is called like a coordinate."""
    return bool(set(words(name)) & PLACES)


def splittable(facts: Facts) -> list[str]:
    """The quantities whose pairs a tree may find."""
    return [p.name for p in facts.numbers() if p.type is Type.NUMBER]
