"""Is the prediction log still what was written? The ledger has the digest of every part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.core.digest import digest_file
from headrace.core.errors import HeadraceError
from headrace.core.ports import Store
from headrace.logs.parts import Parts, load, reading

KINDS = ("log.segment", "log.expired", "log.erased")


def standing(told: Iterable[tuple[str, Mapping[str, Any]]]) -> set[str]:
    """The digests of the parts that should be there, of what the ledger was told (kind and payload). What an
    erasure or an expiry took is not missed; being told twice changes nothing."""
    there: set[str] = set()
    gone: set[str] = set()
    for kind, payload in told:
        if kind == "log.segment":
            new, old = {payload["digest"]}, set(payload["replaces"])
        elif kind == "log.erased":
            new, old = set(payload["after"]), set(payload["before"])
        else:
            new, old = set(), set(payload["digests"])
        gone |= old
        there = (there | new) - gone
    return there


def audit_log(folder: Path, store: Store) -> tuple[int, list[tuple[str, str]]]:
    """How many parts were verified, and what is broken, as (what, how): parts whose bytes are not those that
    the ledger was told of, that are missing, or that it was never told of; and segments that are damaged in
    their middle can't be told here from torn ends: `headrace log status` shows both.

    Raises:
        StoreError: the ledger can't be read.
    """
    with reading(folder):
        try:
            counts, there = _both(folder, store)
        except HeadraceError as error:
            return 0, [("prediction log", error.problems[0].what)]
        named = {p.digest for p in counts.parts}
        broken = [
            ("prediction log", f"lacks the part {digest}, which the ledger tells of")
            for digest in sorted(there - named)
        ]
        broken += list(_changed(folder, counts, there))
    return len(counts.parts), broken


def _both(folder: Path, store: Store) -> tuple[Parts, set[str]]:
    """What counts, and the digests that should; a compaction may come between the two looks."""
    while True:
        counts = load(folder)
        told = [(e.kind, e.payload) for e in store.read(kinds=KINDS)]
        there = standing([*told, *((n.kind, n.payload) for n in counts.untold)])
        if load(folder) == counts:
            return counts, there


def _changed(folder: Path, counts: Parts, there: set[str]) -> Iterator[tuple[str, str]]:
    for part in counts.parts:
        name = f"log part {part.file}"
        if part.digest not in there:
            yield name, "the ledger was never told of it"
        try:
            actual = digest_file(folder / part.file)
        except OSError as error:
            yield name, f"can't be read: {error.strerror}"
        else:
            if actual != part.digest:
                yield name, f"was changed: its bytes hash to {actual}, not {part.digest}"
