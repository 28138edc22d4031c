"""Which columns become features, by which expression; and why the others don't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.schema import Type
from headrace.core.sql import quoted, sql_text
from headrace.data.privacy.names import words
from headrace.draft.look import Look, Profile, one
from headrace.draft.meanings import names_an_id
from headrace.draft.names import distinct_slug, listed, shown, sql_name, usable
from headrace.draft.problem import Aim
from headrace.draft.roles import Roles
from headrace.draft.spelling import MISSING, Dated, Words, dated, sentinel, words_of
from headrace.draft.suspects import Suspect
from headrace.expr.nodes import NUMBER_TEXT

MOST_CATEGORIES = 1_000
_FEW = 20
OFTEN = 0.05
"""Share of nulls from which being missing may itself say something."""

_DAY = 86_400_000_000
_CODES = frozenset(listed("zip zipcode postcode postal plz code class type category kind"))


@dataclass(frozen=True)
class DraftedFeature:
    """A feature of the draft. `note` is its comment; `category` reads a number as a category."""

    name: str
    expression: str
    note: str = ""
    category: bool = False


@dataclass(frozen=True)
class Drafted:
    """Every feature, and every column left out with its reason, both in the file's order."""

    features: tuple[DraftedFeature, ...]
    numbers: frozenset[str]
    """Text columns that are read as numbers."""
    left_out: tuple[tuple[str, str], ...]
    cleaning: tuple[Cleaned, ...] = ()


@dataclass(frozen=True)
class Cleaned:
    """An entry of `clean.columns`: the column, its settings as YAML, and why."""

    column: str
    settings: str
    note: str


def draft_features(
    look: Look,
    profiles: Mapping[str, Profile],
    aim: Aim,
    roles: Roles,
    suspects: tuple[Suspect, ...],
) -> Drafted:
    """A feature or a reason for each column but the target; `profiles` are those of the training rows."""
    by_column = {s.column: s for s in suspects}
    features: list[DraftedFeature] = []
    left_out: list[tuple[str, str]] = []
    taken: set[str] = set()
    numbers: set[str] = set()
    cleaning: list[Cleaned] = []
    for number, (column, profile) in enumerate(profiles.items(), start=1):
        if column == aim.column:
            continue
        suspect = by_column.get(column)
        made: list[tuple[str, str, str, bool]] | str
        if suspect is not None and not suspect.kept:
            made = suspect.reason
        elif not usable(column):
            made = "expressions can't name it: a dot means a side table's column; rename it in the file"
        else:
            made = _from(look, profile, roles, cleaning)
        if isinstance(made, str):
            left_out.append((column, made))
            continue
        cleaning += _flagged(profile, made, suspect)
        for suffix, expression, note, category in made:
            name = distinct_slug(f"{column} {suffix}".strip(), taken, fallback=f"column_{number}")
            taken.add(name)
            if suspect is not None:
                note = "; ".join(n for n in (note, suspect.reason) if n)
            features.append(DraftedFeature(name, expression, note, category))
            if profile.type is Type.TEXT and expression.startswith("cast("):
                numbers.add(column)
    return Drafted(tuple(features), frozenset(numbers), tuple(left_out), tuple(cleaning))


def _flagged(profile: Profile, made: Made, suspect: Suspect | None) -> list[Cleaned]:
    """Flags for numbers that are cut off at their top, or often missing: both may say something."""
    if (
        profile.type is not Type.NUMBER
        or isinstance(made, str)
        or made[0][3]
        or made[0][1].startswith("nullif(")
    ):
        return []
    settings, notes = [], []
    if suspect is not None and suspect.kind == "capped" and "largest" in suspect.reason:
        settings.append(f"cap: {profile.high:.12g}")
        notes.append("capped")
    if profile.null_share >= OFTEN:
        settings.append("flag: true")
        notes.append(f"{profile.null_share:.0%} missing")
    return [Cleaned(profile.name, f"{{{', '.join(settings)}}}", ", ".join(notes))] if settings else []


Made = list[tuple[str, str, str, bool]] | str
"""Features of a column as (name's suffix, expression, note, read as category), or why there is none."""


def _from(look: Look, profile: Profile, roles: Roles, cleaning: list[Cleaned]) -> Made:
    if profile.type is Type.TIME:
        return _from_time(look, profile, roles)
    if profile.type is Type.TEXT:
        return _from_text(look, profile, cleaning)
    name = sql_name(profile.name)
    parts = set(words(profile.name))
    if profile.type is Type.NUMBER and profile.whole and (names_an_id(profile.name) or parts & _CODES):
        if profile.distinct > _most(profile):
            return f"a code with {profile.distinct:,} different values"
        return [("", name, "a code by its name, so a category", True)]
    held = sentinel(look, profile.name) if profile.type is Type.NUMBER else None
    if held is not None:
        value, rows = held
        return [("", f"nullif({name}, {value:g})", f"{value:g} in {rows:,} rows stands for missing", False)]
    return [("", name, _nulls(profile), False)]


def _nulls(profile: Profile) -> str:
    return f"{profile.null_share:.1%} missing" if profile.nulls else ""


def _most(profile: Profile) -> float:
    return max(_FEW, min(MOST_CATEGORIES, (profile.rows - profile.nulls) / 20))


def _from_text(look: Look, profile: Profile, cleaning: list[Cleaned]) -> Made:
    known = profile.rows - profile.nulls
    name = sql_name(profile.name)
    numbers = _spells_numbers(look, profile)
    if numbers is not None:
        return [("", f"cast({name} as double)", numbers, False)]
    date = dated(look, profile.name, "train")
    if date is not None:
        cleaning.append(Cleaned(profile.name, f"{{trim: true, parse: '{date.form}'}}", _dated(date)))
        later = "to split by time, write all its dates in one format and draft again"
        return [("weekday", f"dayofweek({name})", f"0 is Sunday; {later}", False),
                ("month", f"month({name})", "", False)]  # fmt: skip
    if profile.distinct > _most(profile):
        if profile.length > 30:
            return f"free text, {profile.length:.0f} characters on average"
        return f"text with {profile.distinct:,} different values in {known:,} training rows"
    words = words_of(look, profile.name)
    settings = [
        f"{k}: {v}" for k, v, on in (("trim", "true", words.trim), ("case", "lower", words.case)) if on
    ]
    if settings:
        cleaning.append(Cleaned(profile.name, f"{{{', '.join(settings)}}}", _words(words)))
    return [("", name, "; ".join(n for n in (_nulls(profile), _slips(words)) if n), False)]


def _dated(date: Dated) -> str:
    if not date.odd:
        return "dates"
    return f"dates; {date.odd:,} are written otherwise ({shown(date.example, 20)!r}) and become null"


def _words(words: Words) -> str:
    return f"{words.spellings:,} spellings of {words.folded:,} values"


def _slips(words: Words) -> str:
    """What looks mistyped; which word was meant is for the reader to say."""
    told = ", ".join(f"{shown(rare, 20)!r} may be {shown(often, 20)!r}" for rare, often in words.slips[:3])
    return f"{told}: mend it in the file" if told else ""


def _spells_numbers(look: Look, profile: Profile) -> str | None:
    """A note where a text column holds numbers with a few others among them, as `?` or `12 kg`."""
    q, known = quoted(profile.name), profile.rows - profile.nulls
    pattern = sql_text(NUMBER_TEXT)
    kept = f"from train where {q} is not null and not regexp_full_match({q}, {pattern})"
    odd = int(one(look, f"select count(*) {kept}")[0])
    if not odd:  # all numbers, yet text: leading zeros or more than 64 bits
        return "numbers written as text" if profile.distinct > _FEW else None
    told = look.db.sql(f"select {q}, count(*) {kept} group by 1 order by 2 desc, 1 limit 3").fetchall()
    markers = sum(n for v, n in told if v.strip().lower() in MISSING)
    if odd - markers > 0.1 * known or odd > 0.5 * known:
        return None
    examples = ", ".join(repr(shown(v, 20)) for v, _ in told)
    return f"{odd:,} values are no numbers ({examples}) and become null"


def _from_time(look: Look, profile: Profile, roles: Roles) -> Made:
    name = sql_name(profile.name)
    if profile.name == roles.time:
        return _parts(look, profile, name)
    if roles.time is None:
        return [*_parts(look, profile, name), ("year", f"year({name})", "", False)]
    q, main = quoted(profile.name), quoted(roles.time)
    later = one(look, f"select avg(cast({q} > {main} as int)) from train where {q} is not null")[0]
    if later is None:
        return "empty in every training row"
    if later > 0:
        return (
            f"later than {roles.time} in {later:.0%} of the training rows: may not be known at the prediction"
        )
    before = f"date_diff('day', {name}, {sql_name(roles.time)})"
    return [(f"days before {roles.time}", before, _nulls(profile), False)]


def _parts(look: Look, profile: Profile, name: str) -> list[tuple[str, str, str, bool]]:
    clock = one(look, f"select count(*) from train where epoch_us({quoted(profile.name)}) % {_DAY} <> 0")[0]
    made = [("weekday", f"dayofweek({name})", "0 is Sunday", False)]
    if clock:
        made.insert(0, ("hour", f"hour({name})", "", False))
    if profile.high - profile.low >= 365 * _DAY:
        made.append(("month", f"month({name})", "", False))
    return made
