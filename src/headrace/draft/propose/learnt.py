"""Encodings by cardinality, and neighbours where there are coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from headrace.core.schema import Type
from headrace.core.spec.features import EncodeFeature, Neighbours, NeighboursFeature
from headrace.data.privacy.names import words
from headrace.draft.look import Profile
from headrace.draft.names import listed
from headrace.draft.propose.record import Facts, Names, Proposal, written

FEW = 12
"""Beyond so many values, a category's own level is learned from few rows: its means may help."""

OFTEN = 5
"""Rows that a value needs on average, so that its mean says anything."""

MANY = 200
"""The values that a category's vocabulary holds: of more, the others are hashed."""

LONG = 25.0
"""From so many characters on average a text with many values is read by its words."""

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


def propose_neighbours(facts: Facts, names: Names) -> Iterator[Proposal]:
    """The target among the nearest training rows, at several ranges; inputs there; clusters."""
    found = places(facts)
    if found is None:
        return
    of = tuple(written(c) for c in found)
    others = [p for p in facts.numbers() if p.name not in found and "." not in p.name][:6]
    inputs = tuple(written(p.name) for p in others)
    near: dict[str, object] = {"k": (3, 8, 20, 60), "stats": ("mean", "std")}
    like: dict[str, object] = {"k": (20,), "stats": ("mean",), "target": False, "columns": inputs}
    plans: list[tuple[str, str, dict[str, object]]] = [
        ("near target", "the target of the nearest training rows", near),
        ("near weighted", "the target nearby, the nearer the more", {"k": (5, 15), "stats": ("weighted",)}),
        ("near range", "the least and most of the target nearby", {"k": (8, 20), "stats": ("min", "max")}),
        ("near inputs", "what the nearest rows are like", like),
        ("areas", "the area that it lies in, and how far others are",
         {"clusters": 30, "target": False, "stats": ()}),
    ]  # fmt: skip
    for name, meaning, asked in plans:
        if asked.get("columns") == ():
            continue
        feature = NeighboursFeature(
            neighbours=Neighbours.model_validate({"of": of, **asked}), description=meaning
        )
        risk = facts.risk(*found)
        if risk.startswith("low"):
            risk = "low: a row is not its own neighbour, and each fold has neighbours of its own"
        yield Proposal(names.give(name), feature, "neighbours", facts.source(*found), risk)
