"""Columns to be wary of, each with its reason; measured on the training rows of the drafted split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.checks.lint.late import empty_with_target
from headrace.core.schema import Type
from headrace.core.sql import quoted, sql_text
from headrace.draft.look import Look, Profile, one
from headrace.draft.meanings import names_a_moment, names_an_id
from headrace.draft.names import shown
from headrace.draft.near_copy import near_copy
from headrace.draft.problem import Aim
from headrace.draft.roles import Roles, rises
from headrace.draft.spelling import sentinel
from headrace.expr.nodes import NUMBER_TEXT

CAPPED = 0.01
"""Share of rows at one end of a column from which it may be cut off there."""

_FEWEST_VALUES = 20


@dataclass(frozen=True)
class Suspect:
    """A column to be wary of. `kind` is constant, id-like, near-copy, late, capped or personal;
    `kept` says whether the draft uses it all the same."""

    column: str
    kind: str
    reason: str
    kept: bool = False


def find_suspects(
    look: Look, profiles: Mapping[str, Profile], aim: Aim, roles: Roles, group: str | None
) -> tuple[Suspect, ...]:
    """Every suspect, in the file's order; `profiles` are those of the training rows.

    A column left out for one reason is not examined for the next; a capped one may be the target itself.
    """
    found = []
    for name, profile in profiles.items():
        suspect = None
        if name != aim.column:
            suspect = _suspect(look, profile, aim, roles, group)
        if suspect is None and profile.type is Type.NUMBER:
            suspect = _capped(look, profile, target=name == aim.column)
        if suspect is not None:
            found.append(suspect)
    return tuple(found)


def _suspect(look: Look, profile: Profile, aim: Aim, roles: Roles, group: str | None) -> Suspect | None:
    name = profile.name
    if profile.nulls == profile.rows:
        return Suspect(name, "constant", "empty in every training row")
    if profile.distinct == 1 and not profile.nulls:
        value = look.top(name, "train", 1)[0][0]
        return Suspect(name, "constant", f"has the value {shown(value)!r} in every training row")
    if name in look.personal:
        return Suspect(name, "personal", f"personal data: {look.personal[name]}")
    late = _known_late(look, name, aim)
    if late:
        return Suspect(name, "late", late)
    copied = near_copy(look, profile, aim)
    if copied:
        return Suspect(name, "near-copy", copied)
    if name == roles.key:
        return Suspect(name, "id-like", "names the row: different in every one")
    if name == group:
        return Suspect(name, "id-like", "names whom the row is about; new ones have never been seen")
    return _id_like(look, profile)


def _known_late(look: Look, name: str, aim: Aim) -> str:
    """A column that is empty only where the target is: both were written down together, afterwards.

    Counts nulls over all rows: rows without a target are in no part.
    """
    q, target = quoted(name), quoted(aim.column)
    empty, both, blank = one(
        look,
        f"select count(*) filter ({q} is null), count(*) filter ({q} is null and {target} is null), "
        f"count(*) filter ({target} is null) from rows",
    )
    if not empty_with_target(int(blank), int(both), int(empty) - int(both)):
        return ""
    where = f"empty in {both:,} of the {blank:,} rows without a target, and hardly elsewhere"
    return f"{where}: known with the outcome"


def _id_like(look: Look, profile: Profile) -> Suspect | None:
    name, known = profile.name, profile.rows - profile.nulls
    if profile.type is Type.NUMBER:
        if profile.whole and profile.unique and names_an_id(name):
            return Suspect(name, "id-like", "called like an id, and different in every row")
        if profile.distinct > 30 and not profile.nulls and rises(look, name, "train"):
            return Suspect(name, "id-like", "rises or falls from row to row, as a counter does")
        if profile.whole and names_a_moment(name) and _unix_time(profile):
            return Suspect(
                name, "id-like", "looks like Unix time; absolute time tells nothing about tomorrow"
            )
        if profile.whole and names_an_id(name) and profile.distinct > max(50, known / 20):
            return Suspect(name, "id-like", f"called like an id, with {profile.distinct:,} different values")
    differs = profile.unique or profile.distinct > 0.9 * known
    if profile.type is Type.TEXT and differs and known > 20 and not _measures(look, profile):
        return Suspect(name, "id-like", f"{profile.distinct:,} different values in {known:,} rows")
    return None


def _measures(look: Look, profile: Profile) -> bool:
    """Whether most of a text's values are numbers with fractions: a measurement with slips of the pen."""
    q = quoted(profile.name)
    fits = f"regexp_full_match({q}, {sql_text(NUMBER_TEXT)}) and contains({q}, '.')"
    return int(one(look, f"select count(*) from train where {fits}")[0]) > 0.5 * (
        profile.rows - profile.nulls
    )


def _unix_time(profile: Profile) -> bool:
    """Seconds or milliseconds between 1990 and 2100."""
    return any(631_152_000 * k <= profile.low and profile.high <= 4_102_444_800 * k for k in (1, 1000))


def _capped(look: Look, profile: Profile, *, target: bool) -> Suspect | None:
    """A pile of rows at an end, where its neighbours are rare: the source cut larger values off."""
    if profile.distinct < _FEWEST_VALUES:
        return None
    q, known = quoted(profile.name), profile.rows - profile.nulls
    if not target and sentinel(look, profile.name) is not None:
        return None
    for extreme, order, end in ((profile.high, "desc", "largest"), (profile.low, "asc", "smallest")):
        if order == "asc" and extreme in (0, 1):
            continue  # the natural beginning of counts and amounts
        at = int(one(look, f"select count(*) from train where {q} = {extreme!r}")[0])
        if at < CAPPED * known:
            continue
        near = look.db.sql(
            f"select count(*) from train where {q} is not null group by {q} order by {q} {order} "
            "limit 3 offset 1"
        ).fetchall()
        if at >= 3 * max(int(n[0]) for n in near):
            reason = f"capped: {at / known:.1%} of the training rows hold its {end} value {extreme:.12g}"
            if target:
                reason += ", and predictions will not go beyond it either"
            return Suspect(profile.name, "capped", reason, kept=True)
    return None
