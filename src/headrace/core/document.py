"""What the design document is written from: the spec, and what the ledger has to say of it. No clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headrace.core.catalogue import Spread
from headrace.core.spec import Spec
from headrace.core.views import Releases, RunView


class Risk(StrEnum):
    """Whether a feature may know what is not known yet at the moment of prediction."""

    BLOCKS = "blocks"
    ACCEPTED = "accepted"
    LOOK = "to look at"
    LOW = "low"
    OPEN = "not looked at"


@dataclass(frozen=True)
class DesignFeature:
    """A feature. source: the tables it reads. columns: the raw columns. type: number, bool, category, or
    empty where no table could be read. cleaning: what is done to its columns before. risk and why: of
    leakage, by the linter's findings, `known_at` and lookups. spreads: how its columns lie over the training
    rows of the run `run`, where that had it by this definition. releases: those that use this definition, the
    oldest first."""

    name: str
    expression: str
    source: tuple[str, ...]
    columns: tuple[str, ...]
    type: str
    cleaning: tuple[str, ...]
    risk: Risk
    why: str
    description: str = ""
    owner: str = ""
    spreads: tuple[Spread, ...] = ()
    run: str = ""
    releases: tuple[str, ...] = ()


@dataclass(frozen=True)
class DesignColumn:
    """A raw column that features, target or today's rule read; `meaning` as the spec has it."""

    name: str
    type: str
    meaning: str
    treatment: str = ""


@dataclass(frozen=True)
class ServedTable:
    """A side table whose rows the server looks up. `columns` are those that features read."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    time: str = ""
    known_at: str = ""
    ttl: str = ""


@dataclass(frozen=True)
class ServedHistory:
    """A history that the server computes. `known_by`: the column that says from when on a row is known."""

    column: str
    table: str
    text: str
    known_by: str


@dataclass(frozen=True)
class Bar:
    """A bound that the sealed test is held to. gate: the judged name."""

    gate: str
    metric: str
    rule: str


@dataclass(frozen=True)
class Design:
    """All that the document says. The same spec and ledger make the same record.

    folder: what the project's folder is called. as_of: the ledger's last event of runs or releases, an ISO
    moment; empty before any. newest: the newest run of the spine that has ended; measured: the newest of
    those that came to learning, whose figures are shown. changed: the parts of the spec that have changed
    since. metric: the one that those figures are of. higher: whether more of the spec's metric is better.
    meaning: what the metric says. parts: rows of train, validation and test in the measured run. unread: why
    the tables' columns are not known. functions: the user's own that compute features (`features.py:risk`).
    before: the release that a rollback would bring back.
    """

    spec: Spec
    folder: str
    as_of: str = ""
    runs: tuple[RunView, ...] = ()
    newest: RunView | None = None
    measured: RunView | None = None
    changed: tuple[str, ...] = ()
    releases: Releases = field(default_factory=lambda: Releases({}, ()))
    before: str = ""
    features: tuple[DesignFeature, ...] = ()
    columns: tuple[DesignColumn, ...] = ()
    tables: tuple[ServedTable, ...] = ()
    histories: tuple[ServedHistory, ...] = ()
    functions: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    metric: str = ""
    higher: bool = True
    meaning: str = ""
    parts: Mapping[str, int] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    unread: str = ""

    def gate(self, name: str) -> Mapping[str, Any] | None:
        """A gate's line in the measured run."""
        run = self.measured or self.newest
        lines = run.summary.get("gates", ()) if run else ()
        return next((g for g in lines if g["name"] == name), None)

    def standing(self, model: str) -> Mapping[str, Any] | None:
        """A model's line on the measured run's leaderboard."""
        lines = self.measured.summary.get("leaderboard", ()) if self.measured else ()
        return next((m for m in lines if m["model"] == model), None)
