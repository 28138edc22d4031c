"""What shadows would have said, against what was said: from the prediction log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.event import Event
from headrace.core.ports import Store
from headrace.core.routes import Role

Ask = Callable[[str], "tuple[Mapping[str, str], list[tuple[Any, ...]]]"]
"""Asks the log one SELECT: the columns' types by name, and rows."""
_NUMBERS = ("DOUBLE", "BIGINT")


@dataclass(frozen=True)
class Shadowed:
    """A shadow's answers against those that were returned to the same requests.

    agreement: the share of equal predictions, None for a regression. difference: by how much its score (the
    probability, or the prediction of a regression) lies above, on average; apart: how far off, either way;
    both None where scores are no single numbers. p99_ms: of its answers, beside `returned_p99_ms`.
    """

    route: str
    release: str
    answers: int
    agreement: float | None
    difference: float | None
    apart: float | None
    p99_ms: float
    returned_p99_ms: float


def shadowed(store: Store, ask: Ask) -> tuple[Shadowed, ...]:
    """Every shadow that has answered, by route and release. Where none was ever set, the log is not asked."""
    since = next((e.time for e in store.read(kinds=("route.set",)) if _shades(e)), None)
    if since is None:
        return ()
    types, _ = ask("SELECT * FROM predictions LIMIT 0")
    if "prediction" not in types:
        return ()
    number = next((n for n in ("probability", "prediction") if types.get(n) in _NUMBERS), None)
    apart = f"s.{number} - p.{number}" if number else "CAST(NULL AS DOUBLE)"
    regression = number == "prediction" and "probability" not in types
    agrees = "NULL" if regression else "avg((s.prediction IS NOT DISTINCT FROM p.prediction)::INT)"
    _, rows = ask(
        f"""SELECT s.route, s.release, count(*), {agrees}, avg({apart}), avg(abs({apart})),
            quantile_cont(s.took_us, 0.99) / 1000, quantile_cont(p.took_us, 0.99) / 1000
        FROM predictions s JOIN predictions p ON p.id = s.shadow_of
        WHERE s.arm = 'shadow' AND s.time >= TIMESTAMP '{since[:26]}' AND p.time >= TIMESTAMP '{since[:26]}'
        GROUP BY 1, 2 ORDER BY 1, 2"""
    )
    return tuple(Shadowed(*row) for row in rows)


def _shades(event: Event) -> bool:
    return any(arm["role"] == Role.SHADOW.value for arm in event.payload["arms"])
