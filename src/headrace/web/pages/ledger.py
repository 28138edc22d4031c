"""Ledger: every event, filtered by kind, subject, actor or words, newest first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.codec import to_plain
from headrace.core.event import KINDS, Event
from headrace.core.ports import Store
from headrace.web.page import Asked, Page
from headrace.web.said import Said, said

PER_PAGE = 50
_LOOKED = 20_000
"""Events that a search for words reads, at most; the page says where it stopped."""


@dataclass(frozen=True)
class Line:
    """An event: in words, and as it is."""

    said: Said
    subject: str
    digest: str
    payload: Mapping[str, Any]
    text: str


@dataclass(frozen=True)
class LedgerPage:
    """The page. before: only events with a lower number (0: from the newest). older: the number behind which
    the next page begins (0: there is none). stopped: whether a search ended before the ledger did."""

    lines: tuple[Line, ...]
    kind: str
    subject: str
    words: str
    actor: str
    before: int
    older: int
    head: int
    stopped: bool
    kinds: tuple[str, ...]


def model(asked: Asked) -> LedgerPage:
    """A page of events."""
    store = asked.project.store
    kind = asked.choice("kind", KINDS, "")
    subject, words, actor = asked.text("subject"), asked.text("words").lower(), asked.text("actor")
    before = asked.whole("before", 0, most=1 << 40)
    looked = 0
    found: list[Event] = []
    for e in _below(store, before, (kind,) if kind else None, subject or None):
        looked += 1
        if (not actor or actor in e.actor) and (not words or words in _text(e)):
            found.append(e)
        if len(found) > PER_PAGE or looked >= _LOOKED:
            break
    more = len(found) > PER_PAGE
    stopped = not more and looked >= _LOOKED
    shown = found[:PER_PAGE]
    last = shown[-1].seq if shown else 0
    return LedgerPage(
        lines=tuple(_line(e) for e in shown),
        kind=kind,
        subject=subject,
        words=asked.text("words"),
        actor=actor,
        before=before,
        older=last if more or stopped else 0,
        head=store.head()[0],
        stopped=stopped,
        kinds=tuple(KINDS),
    )


def _below(store: Store, before: int, kinds: tuple[str, ...] | None, subject: str | None) -> Iterator[Event]:
    """The events below a number (0: all), the newest first. What lies above it is not read."""
    if not before:
        yield from store.read(kinds=kinds, subject=subject, newest_first=True)
        return
    high, width = before, 4 * PER_PAGE
    while high > 1:
        low = max(0, high - 1 - width)
        part: list[Event] = []
        for e in store.read(after=low, kinds=kinds, subject=subject):
            if e.seq >= high:
                break
            part.append(e)
        yield from reversed(part)
        high, width = low + 1, min(4 * width, _LOOKED)


def _text(e: Event) -> str:
    return f"{e.kind} {e.subject} {e.actor} {json.dumps(to_plain(e.payload), ensure_ascii=False)}".lower()


def _line(e: Event) -> Line:
    plain = to_plain(e.payload)
    text = json.dumps(plain, indent=1, ensure_ascii=False)
    return Line(said(e), e.subject, e.digest, plain, text if len(text) < 6000 else text[:6000] + "\n…")


PAGE = Page(
    "ledger",
    "ledger",
    "Ledger",
    "every event: by kind, subject, actor or words",
    model,
    "ledger.html",
)
