"""Everything that might help, each an ordinary definition with a name, a meaning and its risk of leakage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.core.schema import Type
from headrace.core.spec import Spec
from headrace.core.spec.features import ExprFeature
from headrace.draft.propose.columns import Seen, few
from headrace.draft.propose.learnt import propose_encodings, propose_neighbours
from headrace.draft.propose.moments import propose_moments
from headrace.draft.propose.past import Past, propose_histories
from headrace.draft.propose.quantities import Like, propose_pairs, propose_together
from headrace.draft.propose.record import Facts, Names, Proposal, written

MOST = 250
"""Proposals of one kind, at most."""


@dataclass(frozen=True)
class Proposals:
    """plain: columns as they are, taken without a trial where no features are named. others: what has to earn
    its place."""

    plain: tuple[Proposal, ...]
    others: tuple[Proposal, ...]
    left_out: tuple[tuple[str, str], ...]


def propose(
    seen: Seen,
    spec: Spec,
    pairs: Sequence[tuple[str, str]],
    pasts: tuple[Past, ...],
    target: str,
    like: Sequence[Like],
) -> Proposals:
    """Every proposal. pairs: quantities that trees split by together; target: its expression, where a mean of
    it means something, else empty; like: in what rows are compared, measured."""
    facts, named = seen.facts, spec.feature_specs()
    names = Names(frozenset(named))
    plain = tuple(_plain(seen, names))
    used = {_bare(f.expr) for f in named.values() if isinstance(f, ExprFeature)}
    used |= {_bare(p.feature.expr) for p in plain if isinstance(p.feature, ExprFeature)}
    kinds = (
        _lookups(facts, names),
        propose_neighbours(facts, names, like),
        propose_pairs(facts, names, pairs),
        propose_moments(facts, names, seen.clocks),
        propose_histories(facts, names, pasts, target),
        propose_encodings(facts, names),
        propose_together(facts, names, pairs),
    )
    others = []
    for kind in kinds:
        for proposal, _ in zip(kind, range(MOST), strict=False):
            text = _bare(proposal.feature.expr) if isinstance(proposal.feature, ExprFeature) else ""
            if not text or text not in used:
                others.append(proposal)
                used.add(text)
    return Proposals(plain, tuple(others), seen.plain.left_out)


def _bare(expr: str) -> str:
    return re.sub(r"\s+", "", expr)


def _plain(seen: Seen, names: Names) -> Iterator[Proposal]:
    """The columns as they are, by the draft's expressions."""
    for drafted in seen.plain.features:
        columns = [n for n in seen.facts.profiles if written(n) in drafted.expression]
        feature = ExprFeature(
            expr=drafted.expression,
            kind="category" if drafted.category else None,
            description=drafted.note,
        )
        risk = seen.facts.risk(*columns)
        yield Proposal(names.give(drafted.name), feature, "plain", seen.facts.source(*columns), risk)


def _lookups(facts: Facts, names: Names) -> Iterator[Proposal]:
    """Columns of side tables that no named feature reads."""
    for name, p in facts.profiles.items():
        if "." not in name or name in facts.declared or p.type is Type.TIME:
            continue
        category = name in facts.categories
        if (p.type is Type.TEXT or category) and not few(p):
            continue
        table, _, column = name.partition(".")
        feature = ExprFeature(
            expr=written(name),
            kind="category" if category else None,
            description=f"{column} of the row of {table}",
        )
        yield Proposal(names.give(name), feature, "lookup", facts.source(name), facts.risk(name))
