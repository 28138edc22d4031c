"""A proposal, and what the proposers know of columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.core.schema import Type
from headrace.core.spec import Spec
from headrace.core.spec.features import FeatureSpec
from headrace.draft.look import Profile
from headrace.draft.names import distinct_slug, sql_name


@dataclass(frozen=True)
class Proposal:
    """A feature that might help. form: what kind of proposal; source: the tables that it reads; risk: what is
    to be known of leakage."""

    name: str
    feature: FeatureSpec
    form: str
    source: tuple[str, ...]
    risk: str
    group: str = ""
    """Proposals of one group are kept together or not at all: each alone says little."""


@dataclass(frozen=True)
class Facts:
    """The columns that proposals may read: `profiles` are those of training rows, by the name that
    expressions use (`planes.seats`). `zone_of` the project: what is known of each column at the prediction
    is told by `risk_of`. later: columns of the events that are known only afterwards. declared: columns
    that named features read, and so are declared to be known."""

    spec: Spec
    profiles: Mapping[str, Profile]
    later: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()
    categories: frozenset[str] = field(default_factory=frozenset)
    """Numbers that are codes."""

    def written(self, column: str) -> str:
        """The column in an expression."""
        return written(column)

    def source(self, *columns: str) -> tuple[str, ...]:
        """The tables that columns belong to."""
        found = (c.partition(".")[0] if "." in c else self.spec.data.events for c in columns)
        return tuple(dict.fromkeys(found))

    def risk(self, *columns: str) -> str:
        """What is to be known of leakage of a feature that reads these columns of one row."""
        told = []
        data = self.spec.data
        for column in columns:
            table, dot, _ = column.partition(".")
            if not dot:
                if column not in self.declared:
                    told.append(f"open: nothing says that {column} is known at the prediction")
                continue
            side = data.tables[table]
            if side.time is None and side.known_at is None and data.time is not None:
                told.append(f"to look at: {table} is looked up without time, as it is today")
        return "; ".join(dict.fromkeys(told)) or "low: its columns are known at the prediction"

    def numbers(self) -> list[Profile]:
        """Quantities: numbers of more than two values that are no codes."""
        return [
            p
            for n, p in self.profiles.items()
            if p.type is Type.NUMBER and n not in self.categories and p.distinct > 2
        ]


def written(column: str) -> str:
    """A column, or a lookup, in an expression."""
    table, dot, name = column.partition(".")
    return f"{sql_name(table)}.{sql_name(name)}" if dot else sql_name(column)


class Names:
    """Names for proposals, each given once."""

    def __init__(self, taken: frozenset[str]) -> None:
        self._taken = set(taken)

    def give(self, text: str) -> str:
        """A name after `text` that nothing has."""
        found = distinct_slug(text.replace(".", " "), self._taken, fallback="feature")
        self._taken.add(found)
        return found
