"""The audit: is everything still what was written?

An event's payload names artifacts under the keys `artifacts` and `outputs`, at any depth: each string of
64 hex digits beneath such a key is the digest of an artifact that the store has to hold. Digests elsewhere
in a payload (stage keys, specs, rows) name records, not artifacts.

What a chain can't show: events cut off at its *end* leave a shorter chain that is sound in itself, and
whoever rewrites every event from some point on makes a new sound chain. Both are seen by comparing
`store.head()` with a copy of it kept elsewhere; the audit alone doesn't see them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.core.digest import digest, digest_file
from headrace.core.errors import Corrupt, NotFound
from headrace.core.event import GENESIS, Event
from headrace.core.ports import Store

Progress = Callable[[str, int], None]
"""Told `("events", n)` and `("artifacts", n)` as the audit goes on."""

_SHOWN = 100
_REMEMBERED = 100_000
_EVERY = 10_000
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAMING = frozenset({"artifacts", "outputs"})


@dataclass(frozen=True)
class AuditReport:
    """What an audit found. `events`, `artifacts` and `parts` (of the prediction log, where it was looked at)
    count what was verified.

    `first_broken` names the first event, or else the first artifact, that isn't what was written:
    `event 17` or `artifact 9f86…`. `problems` has a line for each, the first hundred and how many more.
    """

    events: int
    artifacts: int
    ok: bool
    first_broken: str | None
    problems: tuple[str, ...]
    parts: int = 0

    def with_log(self, parts: int, broken: Sequence[tuple[str, str]]) -> AuditReport:
        """The same audit with what was found of the prediction log: so many parts, and what is broken how."""
        if not broken:
            return replace(self, parts=parts)
        lines = [f"{what}: {how}" for what, how in broken[:_SHOWN]]
        more = [f"… and {len(broken) - _SHOWN} more of the prediction log"] * (len(broken) > _SHOWN)
        first = self.first_broken or broken[0][0]
        return replace(
            self, parts=parts, ok=False, first_broken=first, problems=(*self.problems, *lines, *more)
        )


def audit(store: Store, *, progress: Progress | None = None) -> AuditReport:
    """Verify every event and every artifact. Memory stays bounded however long the ledger is.

    An event that can't be read at all ends the check of the events; the artifacts are checked all the same.

    Events: numbered from 1 without a gap, each naming the digest of the one before, each digest computed
    anew, each artifact that a payload names present. Artifacts: the bytes hash to the name.

    Raises:
        StoreError: the store can't be read at all.
    """
    found = _Findings()
    events = _audit_events(store, found, progress)
    artifacts = _audit_artifacts(store, found, progress)
    return AuditReport(events, artifacts, found.first is None, found.first, found.lines())


class _Findings:
    def __init__(self) -> None:
        self.first: str | None = None
        self._lines: list[str] = []
        self._count = 0

    def add(self, broken: str, how: str) -> None:
        self.first = self.first or broken
        self._count += 1
        if self._count <= _SHOWN:
            self._lines.append(f"{broken}: {how}")

    def lines(self) -> tuple[str, ...]:
        more = self._count - len(self._lines)
        return (*self._lines, f"… and {more} more") if more else tuple(self._lines)


def _audit_events(store: Store, found: _Findings, progress: Progress | None) -> int:
    checked = 0
    after, prev = 0, GENESIS
    seen: set[str] = set()
    try:
        for event in store.read():
            _audit_event(event, after, prev, found)
            _audit_named(store, event, seen, found)
            after, prev = event.seq, event.digest
            checked += 1
            if progress is not None and checked % _EVERY == 0:
                progress("events", checked)
    except Corrupt as error:
        found.add(f"event {after + 1}", f"{error.problems[0].what}; nothing behind it was verified")
    if progress is not None:
        progress("events", checked)
    return checked


def _audit_event(event: Event, after: int, prev: str, found: _Findings) -> None:
    """Check one event against the one before, number `after` and digest `prev`."""
    broken = f"event {event.seq}"
    if event.seq != after + 1:
        found.add(f"event {after + 1}", f"missing: event {event.seq} follows event {after}")
    elif event.prev != prev:
        found.add(broken, f"names {event.prev} as the digest before it, which is {prev}")
    name = _name(event)
    if event.digest != name:
        found.add(broken, f"was changed: its content hashes to {name}, not {event.digest}")


def _name(event: Event) -> str:
    """The digest that the event must have. Its version is its own: old kinds are read forever."""
    return digest(
        [
            event.seq,
            event.kind,
            event.version,
            event.subject,
            event.time,
            event.actor,
            event.payload,
            event.prev,
        ]
    )


def _audit_named(store: Store, event: Event, seen: set[str], found: _Findings) -> None:
    for name in named_artifacts(event.payload):
        if name in seen:
            continue
        if len(seen) >= _REMEMBERED:
            seen.clear()
        seen.add(name)
        if not store.has(name):
            found.add(f"event {event.seq}", f"names artifact {name}, which the store doesn't hold")


def named_artifacts(payload: Any) -> Iterator[str]:
    """The digests of the artifacts that a payload names, as this module's docstring defines it.

    >>> list(named_artifacts({"key": "a" * 64, "outputs": {"model": "b" * 64}})) == ["b" * 64]
    True
    """
    if isinstance(payload, Mapping):
        for key, value in payload.items():
            yield from _digests(value) if key in _NAMING else named_artifacts(value)
    elif isinstance(payload, list | tuple):
        for value in payload:
            yield from named_artifacts(value)


def _digests(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if _DIGEST.fullmatch(value):
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _digests(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _digests(inner)


def _audit_artifacts(store: Store, found: _Findings, progress: Progress | None) -> int:
    checked = 0
    for artifact in store.artifacts():
        broken = f"artifact {artifact.digest}"
        try:
            actual = digest_file(store.get(artifact.digest))
        except (NotFound, OSError) as error:
            found.add(broken, f"can't be read: {error}")
        else:
            if actual != artifact.digest:
                found.add(broken, f"was changed: its bytes hash to {actual}")
        checked += 1
        if progress is not None:
            progress("artifacts", checked)
    return checked
