"""Encodings by cardinality, and neighbours where there are coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from headrace.core.schema import Type
from headrace.core.spec.features import EncodeFeature, ExprFeature, Neighbours, NeighboursFeature
from headrace.data.privacy.names import words
from headrace.draft.look import Profile
from headrace.draft.names import listed
from headrace.draft.propose.quantities import Like
from headrace.draft.propose.record import Facts, Names, Proposal, written

FEW = 12
"""Beyond so many values, a category's own level is learned from few rows: its means may help."""

OFTEN = 5
"""Rows that a value needs on average, so that its mean says anything."""

MANY = 200
"""The values that a category's vocabulary holds: of more, the others are hashed."""

LONG = 25.0
"""From so many characters on average a text with many values is read by its words."""

MOST_KINDRED = 6
"""Quantities beside the place in the space of rows that are near and alike."""

PLACES_COUNT = 100.0
"""The map from its southern to its northern end, in spreads of a quantity, in that space."""

PLACE = "place"
"""The group of what is told by where a row lies."""

_ANGLES = (15, 30, 45, 60, 75)
_LAT = frozenset(listed("latitude lat northing"))
_LON = frozenset(listed("longitude lon lng long easting"))


def propose_encodings(facts: Facts, names: Names) -> Iterator[Proposal]:
    """Means of the target, counts, buckets and words of categories, by how many values they have."""
    categories = [p for n, p in facts.profiles.items() if p.type is Type.TEXT or n in facts.categories]
    for p in categories:
        known = p.rows - p.nulls
        if p.type is Type.TEXT and p.length >= LONG and p.distinct > MANY:
            yield _encoded(facts, names, "tfidf", f"the words of {p.name}", p.name)
            continue
        if p.distinct > FEW and known >= OFTEN * p.distinct:
            yield _encoded(facts, names, "target", f"the target's smoothed mean by {p.name}", p.name)
        if p.distinct > FEW and p.distinct < 0.9 * known:
            yield _encoded(facts, names, "count", f"how often {p.name} is among the training rows", p.name)
        if p.distinct > MANY and known >= OFTEN * p.distinct:
            yield _encoded(facts, names, "hash", f"one of 64 buckets of {p.name}", p.name)
    few = [p for p in categories if 2 <= p.distinct <= MANY]
    for a, b in combinations(few[:8], 2):
        if a.distinct * b.distinct * OFTEN <= min(a.rows, b.rows):
            meaning = f"the target's smoothed mean by {a.name} and {b.name} together"
            yield _encoded(facts, names, "target", meaning, a.name, b.name)


def _encoded(facts: Facts, names: Names, how: str, meaning: str, *columns: str) -> Proposal:
    of = tuple(written(c) for c in columns)
    feature = EncodeFeature.model_validate(
        {"encode": how, "of": of[0] if len(of) == 1 else of, "description": meaning}
    )
    risk = facts.risk(*columns)
    if how == "target" and risk.startswith("low"):
        risk = "low: no row's own target is in its mean"
    word = {"target": "mean", "tfidf": "words"}.get(how, how)
    return Proposal(
        names.give(f"{' '.join(columns)} {word}"), feature, f"{how} encoding", facts.source(*columns), risk
    )


def places(facts: Facts) -> tuple[str, str] | None:
    """The columns of latitude and longitude, by name and range; None where there are none."""
    lat = [p for p in facts.numbers() if set(words(p.name)) & _LAT and _within(p, 90)]
    lon = [p for p in facts.numbers() if set(words(p.name)) & _LON and _within(p, 180)]
    return (lat[0].name, lon[0].name) if len(lat) == 1 and len(lon) == 1 else None


def _within(p: Profile, most: float) -> bool:
    """Degrees, or the metres of a grid."""
    grid = bool(set(words(p.name)) & {"easting", "northing"})
    return not p.whole and (grid or (abs(float(p.low)) <= most and abs(float(p.high)) <= most))


def propose_neighbours(facts: Facts, names: Names, like: Sequence[Like]) -> Iterator[Proposal]:
    """The target among the nearest training rows at several ranges, with how the row differs from them; lines
    fitted to them; among those that are near and of a kind; areas; and the map turned, because trees cut
    along its axes. `like` are quantities in which neighbours are compared.

    Those of `PLACE` are one proposal: each of them gains little beside the others."""
    found = places(facts)
    if found is None:
        return
    lat, lon = found
    narrow, of = _narrow(facts.profiles[lat]), (written(lon), written(lat))
    plane = (of[0] if narrow == 1 else f"{of[0]} * {narrow:g}", of[1])
    kind = {"columns": tuple(q.text for q in like), "scale": False}
    near = ("mean", "weighted", "distance", *(("difference",) if like else ()))
    plans: list[tuple[str, str, dict[str, object]]] = [
        ("near", "the target of the nearest training rows, how far they are, how this one differs from them",
         {**kind, "k": (1, 3, 8, 20, 60), "stats": near}),
        ("trend", "the target by a line fitted to the rows around",
         {**kind, "k": (30, 100), "stats": ("linear",)}),
        *_kindred(facts.profiles[lat], of, narrow, like),
        ("areas", "the area that it lies in, and how far others are",
         {"clusters": 30, "target": False, "stats": (), "scale": False}),
    ]  # fmt: skip
    source, risk = facts.source(*found), facts.risk(*found)
    told = "low: a row is not its own neighbour, and each fold has neighbours of its own"
    for name, meaning, asked in plans:
        spec = Neighbours.model_validate({"of": plane} | asked)
        feature = NeighboursFeature(neighbours=spec, description=meaning)
        learns = told if risk.startswith("low") else risk
        group = "" if name == "areas" else PLACE
        yield Proposal(names.give(name), feature, "neighbours", source, learns, group)
    for angle in _ANGLES:
        cos, sin = round(math.cos(math.radians(angle)), 4), round(math.sin(math.radians(angle)), 4)
        for name, expr in (
            ("along", f"{of[0]} * {cos} + {of[1]} * {sin}"),
            ("across", f"{of[1]} * {cos} - {of[0]} * {sin}"),
        ):
            meaning = f"where it lies {name} a line turned by {angle} degrees"
            turned = ExprFeature(expr=expr, description=meaning)
            yield Proposal(names.give(f"{name} {angle}"), turned, "turned map", source, risk, PLACE)


def _kindred(
    lat: Profile, place: tuple[str, str], narrow: float, like: Sequence[Like]
) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Neighbours in a space of place and inputs, each input divided by its spread. Places count much more: of
    those around a row the ones that resemble it."""
    low, high = float(lat.low), float(lat.high)
    some = [q for q in like if q.spread > 0][:MOST_KINDRED]
    if not some or not high > low:
        return
    weight = PLACES_COUNT / (high - low)
    of = [f"{place[0]} * {_short(narrow * weight)}", f"{place[1]} * {_short(weight)}"]
    of += [f"{q.text} * {_short(1 / q.spread)}" for q in some]
    meaning = "the target of the training rows that are near and alike, how much it varies, how far they are"
    yield (
        "kindred",
        meaning,
        {"of": tuple(of), "scale": False, "k": (5, 15, 40), "stats": ("mean", "std", "distance")},
    )


def _short(weight: float) -> str:
    """Two digits: a lock is for people."""
    return f"{float(f'{weight:.2g}'):g}"


def _narrow(lat: Profile) -> float:
    """What a degree of longitude is of one of latitude, in the middle; 1 on a grid of metres."""
    middle = (float(lat.low) + float(lat.high)) / 2
    return round(math.cos(math.radians(middle)), 2) if abs(middle) <= 90 else 1.0
