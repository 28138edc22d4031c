"""What the target's values say about the problem: its task, classes and metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.core.errors import DataError, UserError, did_you_mean
from headrace.core.schema import Type
from headrace.core.sql import quoted, sql_text
from headrace.core.task import Kind
from headrace.draft.look import Look, Profile
from headrace.draft.meanings import names_an_id
from headrace.draft.names import listed, shown, sql_name, usable

FEW_CLASSES = 20
"""Whole numbers with up to so many different values are classes; with more, a quantity."""

MOST_CLASSES = 100
FEWEST_ROWS = 10
"""Rows that a class needs to be in every part and fold."""

_POSITIVE = frozenset(
    listed(
        """yes y true t 1 positive pos malignant sick disease late delayed churn churned bad default defaulted
    fraud spam fail failed failure abnormal dead died exited left attrited clicked bought converted >50k"""
    )
)
_NEGATIVE = frozenset(
    listed("no n false f 0 negative neg benign healthy ontime good paid ok normal ham pass passed")
)


@dataclass(frozen=True)
class Aim:
    """What is predicted. `expression` is the spec's target, `sql` the same for DuckDB; `classes` are the
    values kept (empty for regression), `reason` says why this task, `dropped` how many rows have none."""

    column: str
    kind: Kind
    metric: str
    expression: str
    classes: tuple[Any, ...] = ()
    positive: Any = None
    reason: str = ""
    dropped: int = 0
    notes: tuple[str, ...] = ()
    spellings: tuple[tuple[Any, tuple[Any, ...]], ...] = ()
    """Each class with every value that means it; empty where each value means itself."""

    @property
    def sql(self) -> str:
        """The target for DuckDB, null where there is none."""
        if not self.classes or self.expression in (self.column, quoted(self.column)):
            return quoted(self.column)
        return _cases(quoted(self.column), self.classes, self.spellings)


def _cases(name: str, classes: tuple[Any, ...], spellings: tuple[tuple[Any, tuple[Any, ...]], ...]) -> str:
    """The target as an expression over the column: kept classes, each under one name."""
    if not spellings:
        return f"case when {name} in ({', '.join(literal(c) for c in classes)}) then {name} end"
    cases = []
    for kind, spelled in spellings:
        if len(spelled) == 1:
            cases.append(f"when {name} = {literal(spelled[0])} then {literal(kind)}")
        else:
            cases.append(f"when {name} in ({', '.join(literal(v) for v in spelled)}) then {literal(kind)}")
    return f"case {' '.join(cases)} end"


def literal(value: Any) -> str:
    """A value as an expression and DuckDB read it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return sql_text(value)
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def find_aim(look: Look, profiles: dict[str, Profile], target: str) -> Aim:
    """Decide the task by the target's values.

    Raises:
        UserError: there is no such column.
        DataError: no model can learn this target, and why.
    """
    if target not in profiles:
        raise UserError(f"there is no column {target!r}", fix=did_you_mean(target, profiles))
    profile = profiles[target]
    if not usable(target):
        raise DataError(
            f"the target's name {target!r} can't be written in an expression",
            why="a dot stands between a side table and its column",
            fix="rename the column in the file",
        )
    _refuse(profile)
    known = profile.rows - profile.nulls
    if profile.type is Type.BOOL or profile.distinct == 2:
        return _classes(look, profile, "two values")
    if profile.type is Type.TEXT:
        if profile.distinct <= FEW_CLASSES or profile.distinct <= min(MOST_CLASSES, known / FEWEST_ROWS):
            return _classes(look, profile, f"text with {profile.distinct} values")
        raise DataError(
            f"the target {target!r} is text with {profile.distinct:,} different values in {known:,} rows",
            why="each would be a class, and most have too few rows to learn from",
            fix="name another column, or group the values in the file",
        )
    if profile.whole and profile.distinct <= FEW_CLASSES and known >= 5 * profile.distinct:
        return _classes(look, profile, f"whole numbers with only {profile.distinct} values")
    about = f"a number with {profile.distinct:,} different values"
    return Aim(target, Kind.REGRESSION, "rmse", sql_name(target), reason=about, dropped=profile.nulls)


def _refuse(profile: Profile) -> None:
    """Raises DataError for targets that nobody can learn."""
    name, known = profile.name, profile.rows - profile.nulls
    if known == 0:
        raise DataError(f"the target {name!r} is empty in every row", fix="name another column")
    if profile.type is Type.TIME:
        raise DataError(
            f"the target {name!r} is a time",
            why="a model predicts a quantity or a class",
            fix="add a column with the duration until then, in hours or days, and name that",
        )
    if profile.distinct == 1:
        raise DataError(
            f"the target {name!r} has one value in all of its {known:,} rows",
            why="there is nothing to tell apart",
            fix="name another column, or bring rows with other outcomes",
        )
    counts_up = profile.whole and profile.unique and profile.high - profile.low < 2 * known
    if profile.unique and (profile.type is Type.TEXT or (counts_up and known > FEW_CLASSES)):
        raise DataError(
            f"the target {name!r} is different in every row: it names rows",
            why="no value is seen twice, so there is nothing to learn",
            fix="name the column that holds the outcome",
        )


def _classes(look: Look, profile: Profile, reason: str) -> Aim:
    found = look.top(profile.name, limit=MOST_CLASSES + 1)
    counts, spelled = _folded(found)
    kept = [v for v, n in counts if n >= FEWEST_ROWS]
    if len(kept) < 2:
        told = ", ".join(f"{shown(v)!r} {n:,}" for v, n in counts[:5])
        few = "all but one class" if kept else "its classes"
        raise DataError(
            f"the target {profile.name!r} has too few rows of {few}: {told}",
            why=f"a class needs at least {FEWEST_ROWS} rows to be learnt, validated and tested",
            fix="bring more rows of the rare class, or name another column",
        )
    rare = [(v, n) for v, n in counts if n < FEWEST_ROWS]
    name = sql_name(profile.name)
    expression, notes = name, []
    several = any(len(spelled[v]) > 1 for v in kept)
    spellings = tuple((v, spelled[v]) for v in sorted(kept)) if several else ()
    if rare or several:
        expression = _cases(name, tuple(sorted(kept)), spellings)
    if several:
        words = [w for v in sorted(kept) for w in spelled[v] if w != v]
        told = ", ".join(f"{w!r}" for w in words[:8]) + (", …" if len(words) > 8 else "")
        notes.append(f"other spellings of a class count as it: {told}")
    if rare:
        told = ", ".join(f"{shown(v)!r} {n}" for v, n in rare[:8]) + (", …" if len(rare) > 8 else "")
        notes.append(f"left out: classes with fewer than {FEWEST_ROWS} rows ({told})")
    dropped = profile.nulls + sum(n for _, n in rare)
    if len(kept) == 2:
        positive = _positive(counts, kept)
        return Aim(
            profile.name, Kind.BINARY, "f1", expression, tuple(sorted(kept)), positive, reason, dropped,
            tuple(notes), spellings,
        )  # fmt: skip
    if profile.type is Type.NUMBER and not names_an_id(profile.name):
        notes.append("if the numbers are amounts or grades: `task: regression` and `metric: rmse`")
    return Aim(
        profile.name, Kind.MULTICLASS, "f1_macro", expression, tuple(sorted(kept)), None, reason, dropped,
        tuple(notes), spellings,
    )  # fmt: skip


def _folded(found: list[tuple[Any, int]]) -> tuple[list[tuple[Any, int]], dict[Any, tuple[Any, ...]]]:
    """Classes with their rows, and every spelling of each: words that differ by case or outer space alone
    are one class, under its most frequent spelling."""
    groups: dict[Any, list[tuple[Any, int]]] = {}
    for value, n in found:
        groups.setdefault(value.strip().casefold() if isinstance(value, str) else value, []).append(
            (value, n)
        )
    counts = [(g[0][0], sum(n for _, n in g)) for g in groups.values()]
    return counts, {g[0][0]: tuple(sorted(v for v, _ in g)) for g in groups.values()}


def _positive(counts: list[tuple[Any, int]], kept: list[Any]) -> Any:
    """The class that a decision is about: by its name, else true or 1, else the rarer one."""
    if all(isinstance(v, bool) for v in kept):
        return True
    if not all(isinstance(v, str) for v in kept):
        return max(kept)
    named = {v: v.strip().lower().replace(" ", "") for v in kept}
    speaking = [v for v in kept if named[v] in _POSITIVE] or [
        v for v in kept if not any(named[o] not in _NEGATIVE for o in kept if o != v)
    ]
    return speaking[0] if len(speaking) == 1 else min(kept, key=lambda v: (dict(counts)[v], v))
