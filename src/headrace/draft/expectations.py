"""What holds in the data as it is, written as expectations on the data to come. Blind to the target."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from headrace.core.schema import Type
from headrace.draft.look import Look, Profile
from headrace.draft.names import sql_name, usable
from headrace.draft.problem import literal
from headrace.draft.roles import Roles

CLOSED = 12
"""A column of up to so many values, none of them rare, is taken for a closed set."""

MOST = 80
"""More expectations than this nobody reads."""

_RARE = 0.001


def draft_expectations(
    look: Look,
    profiles: Mapping[str, Profile],
    used: set[str],
    numbers: Collection[str],
    roles: Roles,
    target: str,
) -> tuple[str, ...]:
    """Expectations on the columns `used`, each true on all rows of the file; `profiles` are those of all
    rows, `numbers` the text columns that spell numbers."""
    found: list[str] = []
    if roles.key is not None and usable(roles.key):
        found.append(f"unique({sql_name(roles.key)})")
    if roles.time is not None and usable(roles.time):
        found.append(f"null_share({sql_name(roles.time)}) == 0")
    for name, profile in profiles.items():
        if name not in used or name == target or not usable(name):
            continue
        if profile.type is Type.NUMBER and profile.low is not None and profile.low >= 0:
            found.append(f"{sql_name(name)} >= 0")
        closed = [] if name in numbers else _closed(look, profile)
        if closed:
            found.append(f"{sql_name(name)} in ({', '.join(literal(v) for v in closed)})")
        if name != roles.time:
            found.append(f"null_share({sql_name(name)}) <= {slack(profile.null_share):g}")
    return tuple(found[:MOST])


def slack(share: float) -> float:
    """A bound above a share of nulls that ordinary variation stays under: half as much again and a point.

    >>> slack(0.0), slack(0.01), slack(0.9)
    (0.01, 0.03, 1.0)
    """
    return min(1.0, math.ceil(100 * (1.5 * share + 0.01) - 1e-9) / 100)


def _closed(look: Look, profile: Profile) -> list[Any]:
    """The values of a small set, each with enough rows that an unseen one would be news."""
    if profile.type is not Type.TEXT or not 2 <= profile.distinct <= CLOSED:
        return []
    counts = look.top(profile.name)
    known = profile.rows - profile.nulls
    if any(n < max(3, _RARE * known) for _, n in counts) or any(not str(v).isprintable() for v, _ in counts):
        return []
    return sorted(v for v, _ in counts)
