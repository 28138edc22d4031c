"""Parts of dates and cycles, and spans between moments."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.core.schema import Type
from headrace.core.spec.features import EncodeFeature, ExprFeature
from headrace.draft.look import Profile
from headrace.draft.propose.record import Facts, Names, Proposal, written

_DAY = 86_400_000_000
_PARTS = (
    ("minute of day", "hour({t}) * 60 + minute({t})", "minutes since midnight", 0.0, True),
    ("hour", "hour({t})", "the hour", 0.0, True),
    ("weekday", "dayofweek({t})", "the day of the week, 0 is Sunday", 14.0, False),
    ("weekend", "dayofweek({t}) in (0, 6)", "whether it is Saturday or Sunday", 14.0, False),
    ("day of month", "day({t})", "the day of the month", 60.0, False),
    ("month", "month({t})", "the month", 365.0, False),
    ("day of year", "dayofyear({t})", "the day of the year", 730.0, False),
)
"""Name, expression, meaning, the days that a column has to span, and whether it needs a clock."""

_CYCLES = (
    ("hour", "hour({t}) + minute({t}) / 60", 24.0, 0.0, True),
    ("week", "dayofweek({t})", 7.0, 14.0, False),
    ("year", "dayofyear({t})", 366.0, 365.0, False),
)


def propose_moments(facts: Facts, names: Names, clocks: frozenset[str]) -> Iterator[Proposal]:
    """Parts and cycles of every moment; `clocks` are those that hold more than days."""
    times = [p for p in facts.profiles.values() if p.type is Type.TIME and p.low is not None]
    main = facts.spec.data.time
    for p in times:
        if "." not in p.name:
            yield from _parts(facts, names, p, p.name in clocks)
        if main is not None and p.name != main and main in facts.profiles:
            yield _made(
                facts, names, f"hours from {p.name}", "span",
                f"epoch({written(main)}) / 3600 - epoch({written(p.name)}) / 3600",
                f"hours from {p.name} to {main}", p.name, main,
            )  # fmt: skip


def _parts(facts: Facts, names: Names, p: Profile, clock: bool) -> Iterator[Proposal]:
    days = (p.high - p.low) / _DAY
    t = written(p.name)
    for name, expr, meaning, span, needs in _PARTS:
        expr = expr.format(t=t)
        if days >= span and (clock or not needs):
            yield _made(facts, names, f"{p.name} {name}", "date part", expr, f"{meaning} of {p.name}", p.name)
    for name, expr, period, span, needs in _CYCLES:
        if days >= span and (clock or not needs):
            meaning = f"where {p.name} stands in the {'day' if name == 'hour' else name}, on a circle"
            cycle = EncodeFeature(encode="cycle", of=expr.format(t=t), period=period, description=meaning)
            risk, source = facts.risk(p.name), facts.source(p.name)
            yield Proposal(names.give(f"{p.name} {name} cycle"), cycle, "cycle", source, risk)


def _made(
    facts: Facts, names: Names, name: str, form: str, expr: str, meaning: str, *columns: str
) -> Proposal:
    return Proposal(
        names.give(name),
        ExprFeature(expr=expr, description=meaning),
        form,
        facts.source(*columns),
        facts.risk(*columns),
    )
