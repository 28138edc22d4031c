"""What evaluation looks at beside the predictions: groups of the validation rows, and some rows whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.errors import worst_rows
from headrace.checks.groups import Coder, Cuts, Grouping, cuts_of, one_group
from headrace.checks.robustness import ROWS
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.data.rows import Rows
from headrace.engine.checking.evaluate import slice_expression
from headrace.engine.columns import ANSWER, answering, join_vectors
from headrace.engine.context import Context, Made
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import compiled_of
from headrace.expr import Expr
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner
from headrace.metrics.record import Bools, Ints, Predictions

TRAIN_ROWS = 50_000
"""So many training rows, evenly spaced, say where numbers are cut and which values are frequent."""
MOST_DECLARED, MOST_SEARCHED = 200, 20
"""Values of a column that are slices of their own: where declared, and in the search."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")

Vectors = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Watched:
    """The validation rows as evaluation sees them, in the order of the predictions.

    declared, searched, sensitive: groupings of all rows. missing: where each input is null. times: UTC
    microseconds. sample, sampled: the inputs of some rows, and which rows they are. worst, picked: raw
    columns of the rows with the largest losses, and which these are. spreads: the standard deviation of each
    number in training. hidden: columns that are personal.
    """

    declared: tuple[Grouping, ...]
    searched: tuple[Grouping, ...]
    sensitive: tuple[Grouping, ...]
    missing: Mapping[str, Bools]
    times: NDArray[np.int64] | None
    sample: Vectors
    sampled: Ints
    worst: Mapping[str, Sequence[Any]]
    picked: Ints
    numbers: Ints
    spreads: Mapping[str, float]
    hidden: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Sources:
    """Where the values to group by come from: raw columns, and expressions over them."""

    columns: Mapping[str, Type]
    expressions: Mapping[str, Expr]

    def types(self) -> dict[str, Type]:
        return {**self.columns, **{n: e.type for n, e in self.expressions.items()}}

    def batches(self, rows: Rows) -> Iterator[Vectors]:
        """The values of these rows, by name."""
        runner = answering(self.expressions) if self.expressions else None
        for batch in rows.batches(list(self.columns)):
            feeds: Vectors = encode_batch(batch, self.columns)
            if runner is not None:
                wanted = {n: feeds[n] for n in runner.inputs}
                answers = runner.run(wanted, batch.num_rows)
                feeds |= {n: answers[ANSWER + n] for n in self.expressions}
            yield feeds


def watch(ctx: Context, made: Made, runner: Runner, predictions: Predictions) -> Watched:
    """Read what has to be known of the validation rows, in bounded memory but for codes of groups.

    Raises:
        HeadraceError: rows can't be read.
    """
    spec, inputs = ctx.spec.evaluate, dict(runner.inputs)
    compiled = compiled_of(ctx, made)
    types = compiled.types
    rows = rows_of(ctx, made, "validation")
    hidden = tuple(sorted(set(ctx.spec.data.pii)))
    declared = {t: slice_expression(t, types, ctx.zone) for t in spec.slices}
    parts = _time_parts(ctx, inputs, types) if spec.search else {}
    sensitive = spec.fairness.columns if spec.fairness else ()
    time = ctx.spec.data.time
    names = {*inputs, *sensitive, *compiled.target.columns, *([time] if time else [])}
    expressions = {n: e for n, e in {**parts, **declared}.items() if e is not None}
    names |= {n for n, e in declared.items() if e is None}
    names |= {c for e in expressions.values() for c in e.columns}
    sources = _Sources({n: types[n] for n in sorted(names)}, expressions)
    searched = [n for n, k in inputs.items() if k != Type.TIME and n not in hidden] if spec.search else []
    searched += [n for n in parts if n not in searched]
    train = _train(ctx, made, sources)
    grouped = dict.fromkeys([*declared, *searched, *sensitive])
    kinds = sources.types()
    cuts = {n: cuts_of(n, kinds[n], train[n]) for n in grouped}
    spreads = {n: _spread(train[n]) for n, k in inputs.items() if k == Type.NUMBER}
    tell = ctx.tell("evaluate")
    rng = np.random.default_rng(ctx.spec.seed)
    sampled = np.sort(rng.permutation(rows.count)[:ROWS]) if spec.robustness else np.zeros(0, np.int64)
    picked = worst_rows(predictions)
    seen = _Seen(cuts, inputs, sampled, picked, declared, time)
    for feeds in sources.batches(rows):
        seen.add(feeds)
        tell("grouping rows", seen.at, rows.count)
    low = spec.min_rows
    return Watched(
        declared=tuple(seen.declared(n, e, low) for n, e in declared.items()),
        searched=tuple(seen.coders[n].result(min_rows=low, most=MOST_SEARCHED) for n in searched),
        sensitive=tuple(seen.coders[n].result(min_rows=low, most=10**6, fold=False) for n in sensitive),
        missing={n: join_vectors(v) for n, v in seen.missing.items()},
        times=join_vectors(seen.times) if time else None,
        sample={n: join_vectors(v) for n, v in seen.sample.items()},
        sampled=sampled,
        worst={n: [_value(kinds[n], cells.get(i)) for i in picked] for n, cells in seen.worst.items()},
        picked=picked,
        numbers=rows.row_numbers()[picked],
        spreads=spreads,
        hidden=tuple(h for h in hidden if h in names),
    )


def _time_parts(
    ctx: Context, inputs: Mapping[str, Type], types: Mapping[str, Type]
) -> dict[str, Expr | None]:
    """Hour and weekday of every time that the graph reads: a raw time has no groups, its parts have."""
    times = [n for n, k in inputs.items() if k == Type.TIME and _PLAIN.fullmatch(n)]
    texts = [f"{part}({n})" for n in times for part in ("hour", "dayofweek")]
    return {t: slice_expression(t, types, ctx.zone) for t in texts}


def _train(ctx: Context, made: Made, sources: _Sources) -> Vectors:
    rows = rows_of(ctx, made, "train")
    step = max(1, rows.count // TRAIN_ROWS)
    found: dict[str, list[NDArray[Any]]] = {n: [] for n in sources.types()}
    for feeds in sources.batches(rows.only(np.arange(0, rows.count, step))):
        for name in found:
            found[name].append(feeds[name])
    return {n: join_vectors(v) for n, v in found.items()}


def _spread(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.std()) if len(known) else 0.0


class _Seen:
    """Adds up what is kept of each batch. Live."""

    def __init__(
        self,
        cuts: Mapping[str, Cuts],
        inputs: Mapping[str, Type],
        sampled: Ints,
        picked: Ints,
        declared: Mapping[str, Expr | None],
        time: str | None,
    ) -> None:
        self.at = 0
        self.coders = {n: Coder(c) for n, c in cuts.items()}
        self.missing: dict[str, list[Bools]] = {n: [] for n in inputs}
        self.times: list[NDArray[np.int64]] = []
        self.sample: dict[str, list[NDArray[Any]]] = {n: [] for n in inputs}
        self.worst: dict[str, dict[int, Any]] = {}
        self._true: dict[str, list[NDArray[np.float64]]] = {
            n: [] for n, e in declared.items() if e is not None and e.type == Type.BOOL
        }
        self._inputs, self._sampled, self._picked, self._time = inputs, sampled, picked, time
        self._raw: set[str] = set()

    def add(self, feeds: Vectors) -> None:
        """Take in one batch."""
        count = len(next(iter(feeds.values())))
        for name, coder in self.coders.items():
            coder.add(feeds[name])
        for name, parts in self._true.items():
            parts.append(feeds[name])
        for name, kind in self._inputs.items():
            self.missing[name].append(_missing(kind, feeds[name]))
            some = self._sampled[(self._sampled >= self.at) & (self._sampled < self.at + count)] - self.at
            self.sample[name].append(feeds[name][some])
        if self._time:
            self.times.append(feeds[self._time])
        for i in self._picked[(self._picked >= self.at) & (self._picked < self.at + count)]:
            for name in feeds:
                self.worst.setdefault(name, {})[int(i)] = feeds[name][i - self.at]
        self.at += count

    def declared(self, name: str, expr: Expr | None, min_rows: int) -> Grouping:
        """The grouping of a declared slice: a condition is one group, anything else its values."""
        if name in self._true:
            return one_group(name, join_vectors(self._true[name]))
        return self.coders[name].result(min_rows=min_rows, most=MOST_DECLARED)


def _missing(kind: Type, values: NDArray[Any]) -> Bools:
    if kind == Type.TEXT:
        return np.asarray(values == np.array(NULL_TEXT, dtype=object), np.bool_)
    return np.asarray(values == NULL_TIME if kind == Type.TIME else np.isnan(values), np.bool_)


def _value(kind: Type, value: Any) -> Any:
    """A raw value for people; None for null."""
    if value is None or bool(
        _missing(kind, np.array([value], dtype=object if kind == Type.TEXT else None))[0]
    ):
        return None
    if kind == Type.TIME:
        return f"{np.datetime_as_string(np.datetime64(int(value), 'us'), unit='s')}Z"
    if kind == Type.BOOL:
        return bool(value)
    return str(value)[:200] if kind == Type.TEXT else float(value)
