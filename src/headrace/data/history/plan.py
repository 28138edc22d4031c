"""All histories of a project, and the tables that they are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace.core.history import History
from headrace.core.schema import Type


@dataclass(frozen=True)
class HistoryPlan:
    """The histories, and by table the graph of their expressions (None: they have none).

    `sealed`: test rows of the events take no part in what other rows see, not even their existence. By time
    they could not: they are known later.
    """

    histories: tuple[History, ...] = ()
    graphs: Mapping[str, bytes | None] = field(default_factory=dict)
    sealed: bool = True

    def types(self) -> dict[str, Type]:
        """The raw columns that are filled, with their types."""
        return {h.column: h.type for h in self.histories}

    def of(self, columns: Sequence[str]) -> dict[str, tuple[History, ...]]:
        """The histories that fill these columns, by table."""
        asked = [h for h in self.histories if h.column in set(columns)]
        return {t: tuple(h for h in asked if h.table == t) for t in dict.fromkeys(h.table for h in asked)}


def plan_histories(
    histories: Sequence[History],
    tables: Mapping[str, Mapping[str, Type]],
    *,
    zone: str = "UTC",
    sealed: bool = True,
) -> HistoryPlan:
    """Make the graphs; `tables` are the column types by table.

    Raises:
        ExprError: an expression doesn't fit its table.
    """
    from headrace.data.history.values import value_graph  # onnx and sqlglot are not needed to serve

    names = dict.fromkeys(h.table for h in histories)
    graphs = {t: value_graph([h for h in histories if h.table == t], tables[t], zone=zone) for t in names}
    return HistoryPlan(tuple(histories), graphs, sealed)
