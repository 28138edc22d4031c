"""Every column of a table's Parquet file, looked through for personal data, in one pass and bounded memory.

Text is read to its last row. A cheap pattern passes over every value; what it lets through is looked at by
the patterns of each kind, and what these find is put to its test (`kinds`). A kind is given up in a column
where 2,000 candidates were tested and fewer than a quarter passed, and settled after 20,000. Numbers are
looked at in the first rows alone, and called personal only where nearly all are cards: whatever else is
digits alone (ids, phone numbers, timestamps) can't be told from any other number by its looks. Names of
columns count for every type, where the values differ enough to be somebody's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.core.schema import Column, Type
from headrace.data.privacy.kinds import ANY, CARDS, HALF, KINDS, Kind, beyond_chance
from headrace.data.privacy.names import names_personal
from headrace.data.privacy.redact import Treatment, mask_text, untreated
from headrace.graph.buffers import Array, fixed, known, texts

_BATCH = 131_072
_TESTED = 20_000
_SETTLED = 2_000
_EXAMPLES = 3
_FIRST = 20_000
_CARDS_SHARE = 0.9
_SHOWN = 40


@dataclass(frozen=True)
class Finding:
    """A column that looks personal. `by` is values or name; `hits` of `rows` known values do. `inside`: in
    longer text. `examples` show their shape alone. `first` is the number of the first such row, from 1."""

    column: str
    kind: str
    by: str
    hits: int
    rows: int
    inside: bool = False
    examples: tuple[str, ...] = ()
    first: int = 0

    @property
    def share(self) -> float:
        return self.hits / self.rows if self.rows else 0.0

    def __str__(self) -> str:
        if self.by == "name":
            return f"{self.kind} by its name"
        held = "hold" if self.inside else "look like"
        shown = f", such as {self.examples[0]}" if self.examples else ""
        return f"{self.hits:,} of {self.rows:,} values ({100 * self.share:.3g}%) {held} {self.kind}{shown}"


@dataclass(frozen=True)
class Scan:
    """What a table's file holds. `columns` were looked at; `findings` name those that look personal, kept
    ones among them; `untreated` counts values of a hashed or masked column that lack its form."""

    table: str
    rows: int
    columns: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    untreated: Mapping[str, int] = field(default_factory=dict)


def scan(
    table: str,
    path: Path,
    columns: Sequence[Column],
    treated: Mapping[str, Treatment],
    *,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Scan:
    """Look through a snapshot's Parquet file. Columns in `treated` that are hashed or masked are looked at
    for values without their form, all others for personal data."""
    looks: list[_Text | _Number | _Treated] = []
    for column in columns:
        how = treated.get(column.name)
        if how is not None and how.changes:
            looks.append(_Treated(column.name, how))
        elif column.type is Type.TEXT:
            looks.append(_Text(column))
        elif column.type in (Type.NUMBER, Type.TIME):
            looks.append(_Number(column))
    rows = 0
    with pq.ParquetFile(path) as file:
        total = file.metadata.num_rows
        wide = [x for x in looks if not isinstance(x, _Number)]
        if len(wide) < len(looks):
            names = [x.name for x in looks]
            batch = next(file.iter_batches(_FIRST, columns=names), None)
            for look in looks if batch is not None else ():
                look.begin(batch.column(look.name))  # type: ignore[union-attr]  # None is filtered out
        with ThreadPoolExecutor(max(1, threads), thread_name_prefix="headrace-scan") as pool:
            for batch in file.iter_batches(_BATCH, columns=[x.name for x in wide]) if wide else ():
                # Columns don't depend on each other; a batch is done before the next is read.
                jobs = [pool.submit(look.add, batch.column(look.name), rows) for look in wide]
                for job in jobs:
                    job.result()
                rows += batch.num_rows
                if progress is not None:
                    progress(rows)
    findings = [f for look in looks for f in look.findings()]
    return Scan(
        table,
        total,
        tuple(c.name for c in columns),
        tuple(findings),
        {x.name: x.wrong for x in looks if isinstance(x, _Treated)},
    )


class _Treated:
    """Counts values without the form that hash or mask leave."""

    def __init__(self, name: str, how: Treatment) -> None:
        self.name, self._how, self.wrong = name, how, 0

    def begin(self, values: Array) -> None:
        """The first rows tell nothing more."""

    def add(self, values: Array, offset: int) -> None:
        del offset
        self.wrong += untreated(values, self._how)

    def findings(self) -> list[Finding]:
        return []


class _Named:
    """Whether a column that is called like something personal holds values that differ enough to be it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._called = names_personal(name)
        self._enough = False
        self._known = 0
        self._examples: tuple[str, ...] = ()

    def begin(self, values: Array) -> None:
        if not self._called:
            return
        distinct = values.drop_null().unique()
        self._known = len(values) - values.null_count
        # Flags and types of something (`phone`: landline, mobile) are few; people are many.
        self._enough = len(distinct) > 2 and (len(distinct) > 0.05 * self._known or len(distinct) > 1000)
        if pa.types.is_string(distinct.type):
            self._enough &= any(not t.isdigit() or len(t) > 5 for t in texts(distinct[:100]) if t)
            shown = [mask_text(t)[:_SHOWN] for t in texts(distinct[:_EXAMPLES]) if t]
            self._examples = tuple(dict.fromkeys(shown))

    def finding(self) -> list[Finding]:
        if not self._enough:
            return []
        return [Finding(self.name, self._called, "name", self._known, self._known, False, self._examples, 1)]


@dataclass
class _Tally:
    """What a kind has found in a column so far. `rows` is how many known values it has looked at."""

    kind: Kind
    tested: int = 0
    passed: int = 0
    hits: int = 0
    rows: int = 0
    texts: int = 0
    inside: int = 0
    first: int = 0
    examples: list[str] = field(default_factory=list)
    done: bool = False


class _Text:
    """Looks through a column of text."""

    def __init__(self, column: Column) -> None:
        self.name = column.name
        self._named = _Named(column.name)
        self._tallies = [_Tally(kind) for kind in KINDS]

    def begin(self, values: Array) -> None:
        self._named.begin(values)

    def add(self, values: Array, offset: int) -> None:
        count = len(values) - values.null_count
        open_ = [t for t in self._tallies if not t.done]
        for tally in open_:
            tally.rows += count
        places = _places(values, ANY) if open_ else np.empty(0, np.int64)
        if not len(places):
            return
        coded: Any = values.take(pa.array(places)).dictionary_encode()
        codes = fixed(coded.indices)
        for tally in open_:
            self._tell(tally, coded.dictionary, codes, places, offset)

    def _tell(self, tally: _Tally, distinct: Array, codes: Any, places: Any, offset: int) -> None:
        """Test the candidates among the distinct values, until it is clear what they are."""
        chosen = _places(distinct, tally.kind.filter)
        if not len(chosen):
            return
        held = np.zeros(len(distinct), np.bool_)
        for at, text in zip(chosen.tolist(), texts(distinct.take(pa.array(chosen))), strict=True):
            candidates = tally.kind.candidates(text or "")
            passed = [c for c in candidates if tally.kind.passes(c)]
            tally.tested += len(candidates)
            tally.passed += len(passed)
            if passed:
                held[at] = True
                whole = (text or "").strip() == passed[0].strip()
                tally.texts += 1
                tally.inside += not whole
                if len(tally.examples) < _EXAMPLES:
                    tally.examples.append(mask_text(passed[0])[:_SHOWN])
            # Enough is known of a column of nothing else; and of one whose candidates fail.
            if tally.tested >= _TESTED or (
                tally.tested >= _SETTLED and tally.passed < HALF / 2 * tally.tested
            ):
                tally.done = True
                break
        hits = held[codes]
        tally.hits += int(np.count_nonzero(hits))
        if not tally.first and hits.any():
            tally.first = offset + int(places[int(np.argmax(hits))]) + 1

    def findings(self) -> list[Finding]:
        found = [
            Finding(
                self.name, t.kind.name, "values", t.hits, t.rows, t.inside > t.texts / 2,
                tuple(dict.fromkeys(t.examples)), t.first,
            )
            for t in self._tallies
            if beyond_chance(t.passed, t.tested, t.kind.chance)
        ]  # fmt: skip
        return found or self._named.finding()


class _Number:
    """Looks at the first rows of a column of numbers or times: cards written as numbers, and names."""

    def __init__(self, column: Column) -> None:
        self.name = column.name
        self._named = _Named(column.name)
        self._type = column.type
        self._cards: list[Finding] = []

    def begin(self, values: Array) -> None:
        birth = names_personal(self.name) == "a date of birth"
        if self._type is Type.TIME:
            if birth:
                self._named.begin(values)
            return
        numbers = fixed(values)[known(values)]
        if not len(numbers) or (numbers != np.floor(numbers)).any():
            return
        if birth or np.abs(numbers).max() >= 1e5:  # shorter numbers are codes and amounts
            self._named.begin(values)
        cards = (
            [str(n) for n in numbers.astype(np.int64).tolist() if n >= 10**12]
            if (numbers < 1e18).all()
            else []
        )
        passed = [c for c in cards if CARDS.holds(c)]
        if len(passed) >= _CARDS_SHARE * len(numbers):
            shown = tuple(dict.fromkeys(mask_text(c) for c in passed[:_EXAMPLES]))
            self._cards = [
                Finding(self.name, CARDS.name, "values", len(passed), len(numbers), False, shown, 1)
            ]

    def add(self, values: Array, offset: int) -> None:
        """Numbers are looked at in the first rows alone."""

    def findings(self) -> list[Finding]:
        return self._cards or self._named.finding()


def _places(values: Array, pattern: str) -> Any:
    """Where a pattern matches, ascending."""
    matched = pc.match_substring_regex(values, pattern)
    return np.flatnonzero(fixed(matched) & known(matched))
