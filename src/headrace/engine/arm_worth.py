"""What the decisions of a route's arms were worth, as truths become known: from the log and its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.clock import iso_micros
from headrace.core.ports import Store
from headrace.core.routes import Role, Route
from headrace.core.sql import sql_text
from headrace.core.task import Kind, Task, code_of, truth_of
from headrace.engine import releases

Ask = Callable[[str], list[tuple[Any, ...]]]
"""Asks the log one SELECT."""
News = Callable[[], object]
"""What is another whenever labels came, or were matched."""
_PER = 1000.0
"""Worth is told of so many decisions, as the metric `value` is."""
_LATE_US = 600_000_000
"""A label may be seen so long after it arrived: when another process is slow to keep it, or the answer that
it is about is slow to reach the log."""
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

    def __init__(self, store: Store, ask: Ask, release: str, *, news: News | None = None) -> None:
        """By the value of outcomes that the release's own spec states. With `news` the log is asked where
        there are any, and else at every twelfth look."""
        self._ask = ask
        self._news = news
        self._seen: object = None
        self._looks = 0
        self._told: set[str] = set()
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
        """The decisions since the canary began whose truth became known: each once, by the first truth that
        was known of it, whatever corrections say later. `after`: `upto` of the look before (0: the first).
        """
        if not self._due():
            return Known(upto=after)
        since = iso_micros(route.began)
        # Labels that were sent by inputs may be matched, and so known, long after they arrived.
        rows = self._ask(
            f"""SELECT id, arm, prediction, label, epoch_us(labelled) FROM answered
            WHERE route = {sql_text(route.name)} AND shadow_of = '' AND arm IN ('canary', 'champion')
            AND epoch_us(time) >= {since} AND label IS NOT NULL AND (epoch_us(labelled) > {after - _LATE_US}
            OR id IN (SELECT id FROM labels WHERE id IS NOT NULL AND inputs IS NOT NULL)) ORDER BY id"""
        )
        found: dict[str, list[float]] = {Role.CANARY.value: [], Role.CHAMPION.value: []}
        for decision, arm, prediction, label, _ in rows:
            outcome = _OUTCOMES.get((_code(self._task, prediction), _code(self._task, label)))
            if outcome is not None and decision not in self._told:
                self._told.add(decision)
                found[arm].append(self._worth[outcome])
        canary, champion = (tuple(found[r.value]) for r in (Role.CANARY, Role.CHAMPION))
        return Known(canary, champion, max([after, *(row[-1] for row in rows)]))

    def _due(self) -> bool:
        """Whether to ask the log: reading it costs what serving could need."""
        if self._news is None:
            return True
        seen, self._seen = self._seen, self._news()
        self._looks = 0 if seen != self._seen else self._looks + 1
        # Once more, as an answer reaches the log after its caller; then for labels that wait for theirs.
        return self._looks < 2 or self._looks % 12 == 0


def _code(task: Task, value: str | float | bool | None) -> int | None:
    """A class's code, however the class is spelled: labels come from files, and some are older than the
    release."""
    return None if value is None else code_of(task, truth_of(task, value))
