"""Facts as they become known: validated, treated, and put into the online store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import to_plain
from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.online import Outcome
from headrace.core.ports import OnlineStore
from headrace.core.schema import NULL_TIME, Type
from headrace.data.cells import Value, column
from headrace.data.online.facts import Facts, name_of, plain_values
from headrace.data.privacy.redact import Treatment, treat
from headrace.graph.buffers import Array
from headrace.graph.rows import RowEncoder, sort_of
from headrace.release.feeds import types_before
from headrace.release.manifest import Serving, Treated
from headrace.serve.cells import shown

EVENT_ID = "event_id"
"""The field that names a fact where the table has no column of that name."""

MOST_FACTS = 10_000

_encode = msgspec.json.Encoder().encode


@dataclass
class Taken:
    """What became of facts: `new`, `known` already, `unused` (nothing says when they were known, so that
    nothing could ever see them: not kept) and `refused`, for the reasons in `problems`."""

    new: int = 0
    known: int = 0
    unused: int = 0
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Ready for JSON."""
        told: dict[str, Any] = {"new": self.new, "known": self.known, "refused": self.refused}
        if self.unused:
            told["unused"] = self.unused
        if self.problems:
            told["errors"] = [to_plain(p) for p in self.problems]
        return told


class Intake:
    """Takes facts of a release's tables. Safe for use by several threads.

    A fact is named by the events' `data.id`, by `event_id` where it is sent, else by its key and times: the
    same name with the same values is the same fact, whenever it is sent again.
    """

    def __init__(
        self,
        online: OnlineStore,
        serving: Serving,
        facts: Mapping[str, Facts],
        secret: bytes,
        kept: Callable[[], None],
    ) -> None:
        """facts: makes facts of each table's rows. kept: called when facts were kept, before `take` ends."""
        self._tables = {table: _Table(online, serving, made, secret) for table, made in sorted(facts.items())}
        self._kept = kept

    def take(self, body: Any) -> Taken:
        """Facts as sent: `{"table": ..., "rows": [...]}`, or a list of such.

        Each row is kept or refused by itself, every mistake of it named.

        Raises:
            DataError: the body as a whole has another form, names a table that takes no facts, or has too
                many rows; nothing was kept.
        """
        groups = _groups(body, self._tables)
        taken = Taken()
        for where, table, rows in groups:
            self._tables[table].take(rows, where, taken)
        # Also for what was known before: it may be sent again because its first time ended midway.
        if taken.new or taken.known:
            self._kept()
        return taken


def treated_of(serving: Serving, feeds: Iterable[str]) -> list[Treated]:
    """How columns of these tables are hashed or masked."""
    return [t for table in feeds for t in serving.sources[table].treated.values()]


def _groups(body: Any, tables: Mapping[str, object]) -> list[tuple[str, str, list[Any]]]:
    parts = body if isinstance(body, list) else [body]
    problems: list[Problem] = []
    groups = []
    for i, part in enumerate(parts):
        where = f"[{i}]" if isinstance(body, list) else ""
        fix = 'send {"table": "weather", "rows": [{...}, ...]}, or a list of such'
        if not isinstance(part, dict) or not isinstance(part.get("rows"), list) or "table" not in part:
            problems.append(Problem(f"facts come with their table, not as {sort_of(part)}", where, fix=fix))
            continue
        problems += [
            Problem(f"unknown field {name!r}", where, fix=did_you_mean(str(name), ("table", "rows")))
            for name in part
            if name not in ("table", "rows")
        ]
        name = part["table"]
        if not isinstance(name, str) or name not in tables:
            told = f"facts are taken of {', '.join(tables) or 'no table'}"
            named = shown(name) if isinstance(name, str) else f"that is {sort_of(name)}"
            problems.append(Problem(f"the release takes no facts of a table {named}", where, fix=told))
            continue
        groups.append((where, name, part["rows"]))
    count = sum(len(rows) for _, _, rows in groups)
    if count > MOST_FACTS:
        told = f"send at most {MOST_FACTS:,} at once"
        problems.append(Problem(f"{count:,} facts in one request", fix=told))
    if problems:
        raise DataError.of(problems)
    return groups


class _Table:
    """Takes facts of one table."""

    def __init__(self, online: OnlineStore, serving: Serving, facts: Facts, secret: bytes) -> None:
        feed = facts.feed
        source = serving.sources[feed.table]
        self._online = online
        self._facts = facts
        self._types = types_before(serving, feed.table)
        self._dropped = frozenset(source.dropped) - set(self._types)
        self._treated = {n: Treatment(t.do, length=t.length) for n, t in source.treated.items()}
        self._encoder = RowEncoder(
            self._types, zone=source.zone, required=self._facts.reads, hidden=self._treated
        )
        self._secret = secret
        self._streams = [s.name for s in feed.streams]
        self._named = EVENT_ID not in self._types

    def take(self, rows: Sequence[Any], where: str, taken: Taken) -> None:
        """Keep the rows that can be kept, and count."""
        good: list[tuple[int, Mapping[str, Any], bytes | None]] = []
        for i, row in enumerate(rows):
            problems, plain, name = self._checked(row, f"{where}.rows[{i}]".lstrip("."))
            if problems:
                taken.refused += 1
                taken.problems += problems
            else:
                good.append((i, plain, name))
        if not good:
            return
        facts = self._made([row for _, row, _ in good], [name for _, _, name in good])
        usable = [k for k, fact in enumerate(facts) if fact.moment != NULL_TIME]
        taken.unused += len(facts) - len(usable)
        outcomes = self._online.put(self._facts.feed.table, [facts[k] for k in usable], into=self._streams)
        taken.new += outcomes.count(Outcome.NEW)
        taken.known += outcomes.count(Outcome.KNOWN)
        for k, outcome in zip(usable, outcomes, strict=True):
            if outcome is Outcome.OTHER:
                taken.refused += 1
                taken.problems.append(self._other(f"{where}.rows[{good[k][0]}]".lstrip(".")))

    def _checked(self, row: Any, where: str) -> tuple[list[Problem], Mapping[str, Any], bytes | None]:
        """A row's mistakes, the row without what is not kept, and its name where it is sent."""
        if not isinstance(row, dict):
            return [Problem(f"a fact has to be an object, not {sort_of(row)}", where=where)], {}, None
        plain = {n: v for n, v in row.items() if n not in self._dropped}
        problems, name = [], None
        if self._named and EVENT_ID in plain:
            sent = plain.pop(EVENT_ID)
            if isinstance(sent, bool) or not isinstance(sent, str | int) or sent == "":
                found = "an empty one" if sent == "" else sort_of(sent)
                told = f"expected text or a whole number, found {found}"
                problems.append(Problem(told, where=f"{where}.{EVENT_ID}"))
            else:
                name = name_of([EVENT_ID, str(sent)])
        try:
            self._encoder.encode([plain], where=where)
        except DataError as error:
            problems += error.problems
        return problems, plain, name

    def _made(self, rows: Sequence[Mapping[str, Any]], names: Sequence[bytes | None]) -> list[Any]:
        """Facts of sound rows."""
        columns = self._columns(rows)
        values = {n: plain_values(c, self._facts.feed.columns[n]) for n, c in columns.items()}
        bodies = [_encode({n: v[i] for n, v in values.items() if n in row}) for i, row in enumerate(rows)]
        own = self._facts.names_of(columns)
        chosen = [o if n is None else n for o, n in zip(own, names, strict=True)]
        return self._facts.of(columns, len(rows), names=chosen, bodies=bodies)

    def _columns(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
        """Every column of the table in snapshot form, treated as ingest treats it."""
        feeds = self._encoder.encode([{n: r.get(n) for n in self._types} for r in rows])
        columns = {}
        for name, kind in self._types.items():
            values = _times(feeds[name]) if kind is Type.TIME else [r.get(name) for r in rows]
            held = column(values, kind)
            how = self._treated.get(name)
            columns[name] = held if how is None else treat(held, how, self._secret)
        return columns

    def _other(self, where: str) -> Problem:
        named = " and ".join(self._facts.names)
        return Problem(
            "a fact of this name is known, with other values",
            where=where,
            why=f"facts of {self._facts.feed.table} are named by {named}: nothing that was said is unsaid",
            fix=f"send a correction with the moment at which it became known, or an {EVENT_ID} of its own",
        )


def _times(moments: NDArray[np.int64]) -> list[Value]:
    return [None if m == NULL_TIME else m for m in moments.tolist()]
