"""What a caller sent, by the release's schema and the spec's policy: read, refused, or read with flags.

Wrong types, infinities and NaN are always refused. What is missing, unknown, outside of what training held or
never seen there is refused, flagged, or taken for null, as `serve.inputs` says.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import DataError, HeadraceError, Problem
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.release.manifest import Serving
from headrace.release.plan import InputPolicy
from headrace.serve.answer import Answerer

Feeds = Mapping[str, NDArray[Any]]
MOST_CATEGORIES = 200
"""As many categories as a schema names: where it names so many there may have been more."""
_LONGEST, _MOST_UNKNOWN = 60, 20
_LARGEST = sys.float_info.max
_NOBODY: frozenset[str] = frozenset()


@dataclass(eq=False)
class Taken:
    """Rows that fit. rows: as they are read; feeds: their columns; flags: what is odd about each, such as
    `range: distance` (None: nothing about any); first: the rule before the model that answers each, -1 for
    none (None: not asked yet)."""

    rows: Sequence[Mapping[str, Any]]
    feeds: Feeds
    flags: list[tuple[str, ...]] | None = None
    first: list[int] | None = None

    def of(self, spots: Sequence[int]) -> Taken:
        """Some of them."""
        flags = None if self.flags is None else [self.flags[i] for i in spots]
        feeds = {n: v[spots] for n, v in self.feeds.items()}
        return Taken([self.rows[i] for i in spots], feeds, flags)


class Inputs:
    """The schema of one release with the policy for what is not as training had it. Safe for several
    threads."""

    def __init__(self, answerer: Answerer, policy: InputPolicy) -> None:
        serving = answerer.serving
        self._answerer, self._policy = answerer, policy
        self._types = dict(answerer.types)
        self._known = frozenset({*self._types, *serving.unused})
        self._required = frozenset(self._types)
        self._treated = frozenset(n for n in serving.treated if n in self._types)
        self._numbers, self._times, self._texts = _bounds(serving, self._types)
        self._low = np.array([[low] for _, low, _ in self._numbers])
        self._high = np.array([[high] for _, _, high in self._numbers])
        self._lenient = policy.missing != "reject" or policy.unknown != "reject"

    @property
    def columns(self) -> frozenset[str]:
        """What may be sent."""
        return self._known

    @property
    def required(self) -> frozenset[str]:
        """What has to be sent."""
        return self._required

    def take(
        self,
        rows: Sequence[Mapping[str, Any]],
        known: Collection[str] = _NOBODY,
        forgiven: Collection[str] = _NOBODY,
    ) -> Taken:
        """Read rows.

        known: fields that another release takes: here they are left out. forgiven: columns that another
        release does not ask for: here they are null where they are missing.

        Raises:
            DataError: every field of every row that does not fit.
        """
        flags: dict[int, list[str]] = {}
        if self._lenient or known or forgiven:
            rows = self._mended(rows, known, forgiven, flags)
        try:
            feeds = self._answerer.encode(rows)
        except DataError as error:
            raise DataError.of([*error.problems, *self._out_of_bounds(rows)]) from None
        if len(rows) == 1:
            self._look_at_one(rows[0], feeds, flags)
        else:
            self._look_at_many(rows, feeds, flags)
        if not flags:
            return Taken(rows, feeds)
        return self._treat_odd(rows, feeds, flags)

    def kept(self, taken: Taken, span: slice) -> Sequence[Mapping[str, Any]]:
        """Some rows as the log may have them: the columns that are read, hashed and masked as in training."""
        rows = taken.rows[span]
        if taken.feeds and not self._treated and {*map(len, rows)} == {len(self._types)}:
            return rows
        return [self._kept(taken, i, row) for i, row in enumerate(rows, span.start)]

    def _kept(self, taken: Taken, row: int, sent: Any) -> Mapping[str, Any]:
        if not isinstance(sent, Mapping):
            return {}
        found = {name: sent.get(name) for name in self._types}
        for name in self._treated:
            value = taken.feeds[name][row] if taken.feeds else NULL_TEXT
            found[name] = None if value == NULL_TEXT else value
        return found

    def _mended(
        self,
        rows: Sequence[Mapping[str, Any]],
        known: Collection[str],
        forgiven: Collection[str],
        flags: dict[int, list[str]],
    ) -> list[Mapping[str, Any]]:
        """Rows with nulls for what may be missing, and without what may be unknown."""
        fill = self._types if self._policy.missing != "reject" else dict.fromkeys(forgiven, Type.TEXT)
        mended: list[Mapping[str, Any]] = []
        for i, row in enumerate(rows):
            if not isinstance(row, dict) or (row.keys() <= self._known and self._types.keys() <= row.keys()):
                mended.append(row)
                continue
            missing = [n for n in self._types if n not in row and n in fill]
            strange = [n for n in row if n not in self._known]
            drop = {n for n in strange if self._policy.unknown != "reject" or n in known}
            told = [f"missing: {n}" for n in missing]
            told += [f"unknown: {_short(n)}" for n in strange if n in drop and n not in known][:_MOST_UNKNOWN]
            if told:
                flags[i] = told
            new = {n: v for n, v in row.items() if n not in drop}
            new.update(dict.fromkeys(missing))
            mended.append(new)
        return mended

    def _look_at_one(self, row: Mapping[str, Any], feeds: Feeds, flags: dict[int, list[str]]) -> None:
        """As `_look_at_many`, a microsecond instead of fifty."""
        odd = []
        for name, low, high in self._numbers:
            value = row[name]
            if value is not None and not low <= value <= high:
                if not -_LARGEST <= value <= _LARGEST:
                    raise _infinite([name])
                odd.append(f"range: {name}")
        for name, known in self._texts:
            value = row[name]
            if value is not None and value not in known:
                odd.append(f"unseen: {name}")
        for name, low in self._times:
            if NULL_TIME != feeds[name][0] < low:
                odd.append(f"range: {name}")
        if odd:
            flags.setdefault(0, []).extend(odd)

    def _look_at_many(
        self, rows: Sequence[Mapping[str, Any]], feeds: Feeds, flags: dict[int, list[str]]
    ) -> None:
        if self._numbers:
            names = [name for name, _, _ in self._numbers]
            values = np.array([feeds[name] for name in names])
            null = np.isnan(values)
            if null.any():
                spots = np.argwhere(null).tolist()
                wrong = [f"rows[{i}].{names[c]}" for c, i in spots if rows[i].get(names[c]) is not None]
                if wrong:
                    raise _infinite(wrong)
            outside = (values < self._low) | (values > self._high)
            if outside.any():
                for c, i in np.argwhere(outside).tolist():
                    flags.setdefault(i, []).append(f"range: {names[c]}")
        for name, known in self._texts:
            if known.issuperset(feeds[name].tolist()):
                continue
            for i, value in enumerate(feeds[name].tolist()):
                if value not in known and value != NULL_TEXT:
                    flags.setdefault(i, []).append(f"unseen: {name}")
        for name, low in self._times:
            values = feeds[name]
            odd = (values < low) & (values != NULL_TIME)
            for i in np.flatnonzero(odd).tolist():
                flags.setdefault(i, []).append(f"range: {name}")

    def _treat_odd(
        self, rows: Sequence[Mapping[str, Any]], feeds: Feeds, flags: dict[int, list[str]]
    ) -> Taken:
        """Refuse what the policy refuses, and make null what it takes for null."""
        how = {"range": self._policy.range, "unseen": self._policy.unseen}
        odd = [(i, *_parted(flag)) for i in sorted(flags) for flag in flags[i]]
        refused = [(i, kind, name) for i, kind, name in odd if how.get(kind) == "reject"]
        if refused:
            many = len(rows) > 1
            raise DataError.of(
                [self._refusal(kind, name, f"rows[{i}].{name}" if many else name, rows[i][name])
                 for i, kind, name in refused]
            )  # fmt: skip
        nulled = [(i, name) for i, kind, name in odd if how.get(kind) == "default"]
        if nulled:
            feeds = dict(feeds)
            changed: list[Mapping[str, Any]] = list(rows)
            for i, name in nulled:
                changed[i] = {**changed[i], name: None}
                feeds[name][i] = _null(self._types[name])
            rows = changed
        return Taken(rows, feeds, [tuple(flags.get(i, ())) for i in range(len(rows))])

    def _refusal(self, kind: str, name: str, where: str, value: Any) -> Problem:
        if kind == "unseen":
            known = next(known for n, known in self._texts if n == name)
            seen = ", ".join(sorted(known)[:6]) + (", …" if len(known) > 6 else "")
            return Problem(
                f"{_short(value)} is no value that training held", where, fix=f"send one of {seen}, or null"
            )
        if self._types[name] is Type.TIME:
            return Problem(f"{_short(value)} is before all that training held", where, fix="send null")
        low, high = next((a, b) for n, a, b in self._numbers if n == name)
        return Problem(
            f"{_short(value)} is outside of what training held",
            where,
            f"that was {low:g} to {high:g}",
            "mend it, or send null",
        )

    def _out_of_bounds(self, rows: Sequence[Any]) -> Iterator[Problem]:
        """What a refused request holds beside, so that all of it is told at once."""
        many = len(rows) > 1
        for i, row in enumerate(rows):
            if not isinstance(row, dict):
                continue
            for name, low, high in self._numbers if self._policy.range == "reject" else ():
                value = row.get(name)
                if not isinstance(value, int | float) or isinstance(value, bool):
                    continue
                if -_LARGEST <= value <= _LARGEST and not low <= value <= high:
                    yield self._refusal("range", name, f"rows[{i}].{name}" if many else name, value)
            for name, known in self._texts if self._policy.unseen == "reject" else ():
                value = row.get(name)
                if isinstance(value, str) and NULL_TEXT not in value and value not in known:
                    yield self._refusal("unseen", name, f"rows[{i}].{name}" if many else name, value)


def _bounds(serving: Serving, types: Mapping[str, Type]) -> tuple[list[Any], list[Any], list[Any]]:
    """Ranges of numbers, first moments of times (time goes on: later ones are no wonder), values of texts.
    Every number has a range, if only that of doubles; what is hashed or masked has none, nor a text with more
    values than the schema names."""
    seen = {f.name: f for f in serving.fields if f.source == "event" and f.name not in serving.treated}
    numbers: list[tuple[str, float, float]] = []
    times: list[tuple[str, float]] = []
    texts: list[tuple[str, frozenset[str]]] = []
    for name, kind in types.items():
        if name in serving.treated:
            continue
        field = seen.get(name)
        low = None if field is None else field.low
        high = None if field is None else field.high
        if kind is Type.NUMBER:
            whole = low is None or high is None
            numbers.append((name, -_LARGEST, _LARGEST) if whole else (name, low or 0.0, high or 0.0))
        elif kind is Type.TIME and low is not None:
            times.append((name, low))
        elif kind is Type.TEXT and field is not None and 0 < len(field.categories) < MOST_CATEGORIES:
            texts.append((name, frozenset(field.categories)))
    return numbers, times, texts


def _infinite(fields: Sequence[str]) -> HeadraceError:
    return DataError.of(
        [
            Problem("NaN and infinities are no numbers to a model", f, fix="send a number, or null")
            for f in fields
        ]
    )


def _null(kind: Type) -> Any:
    return {Type.TEXT: NULL_TEXT, Type.TIME: NULL_TIME}.get(kind, np.nan)


def _parted(flag: str) -> tuple[str, str]:
    kind, _, name = flag.partition(": ")
    return kind, name


def _short(value: Any) -> str:
    told = str(value)
    return told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"
