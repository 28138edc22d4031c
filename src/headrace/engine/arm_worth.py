"""What the decisions of a route's arms were worth, as truths become known: from the log and its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.core.ports import Store
from headrace.core.routes import Role, Route
from headrace.core.task import Kind, Task, code_of
from headrace.engine import releases

Ask = Callable[[str], list[tuple[Any, ...]]]
"""Asks the log one SELECT."""
_PER = 1000.0
"""Worth is told of so many decisions, as the metric `value` is."""
_OUTCOMES: Mapping[tuple[int | None, int | None], str] = {
    (1, 1): "true_positive",
    (1, 0): "false_positive",
    (0, 0): "true_negative",
    (0, 1): "false_negative",
}


@dataclass(frozen=True)
class Known:
    """What became known since the last look: worth a decision, by arm. upto: of the newest label, UTC
    microseconds."""

    canary: tuple[float, ...] = ()
    champion: tuple[float, ...] = ()
    upto: int = 0


class ArmWorth:
    """What the decisions of one canary, and of the champion beside it, are worth."""

    def __init__(self, store: Store, ask: Ask, release: str) -> None:
        """By the value of outcomes that the release's own spec states."""
        self._ask = ask
        view = releases.view(store).releases[release]
        value = releases.spec_of(store, view).problem.value
        self._task = releases.load_manifest(store, view).serving.task
        self._worth: Mapping[str, float] = {}
        if value is not None and self._task.kind is Kind.BINARY:
            told = value.model_dump()
            self._worth = {name: float(told.get(name) or 0.0) * _PER for name in _OUTCOMES.values()}

    @property
    def reach(self) -> tuple[float, float] | None:
        """The least and the most that a decision can be worth; None where nothing says."""
        if not self._worth or min(self._worth.values()) == max(self._worth.values()):
            return None
        return min(self._worth.values()), max(self._worth.values())

    def known(self, route: Route, after: int) -> Known:
        """The decisions since the canary began whose truth arrived after a moment."""
        if not self._ask("SELECT 1 FROM predictions LIMIT 1"):
            return Known(upto=after)  # it has no columns yet, either
        since = int(datetime.fromisoformat(route.began).timestamp() * 1e6)
        name = route.name.replace("'", "''")
        rows = self._ask(
            f"""SELECT arm, prediction, label, epoch_us(labelled) FROM answered
            WHERE route = '{name}' AND shadow_of = '' AND arm IN ('canary', 'champion')
            AND epoch_us(time) >= {since} AND label IS NOT NULL AND epoch_us(labelled) > {after}"""
        )
        found: dict[str, list[float]] = {Role.CANARY.value: [], Role.CHAMPION.value: []}
        for arm, prediction, label, _ in rows:
            outcome = _OUTCOMES.get((_code(self._task, prediction), _code(self._task, label)))
            if outcome is not None:
                found[arm].append(self._worth[outcome])
        canary, champion = (tuple(found[r.value]) for r in (Role.CANARY, Role.CHAMPION))
        return Known(canary, champion, max([after, *(row[3] for row in rows)]))


def _code(task: Task, value: Any) -> int | None:
    """A class's code; 0, 1 and their texts are truths, too, as labels come from files."""
    code = code_of(task, value)
    if code is None and task.classes == (False, True):
        return {"0": 0, "1": 1, "false": 0, "true": 1, "0.0": 0, "1.0": 1}.get(str(value).lower())
    return code
