"""The spec's expressions typed against the tables' columns, every mistake collected.

Every stage imports this: what it imports is part of every stage's key. Settings that no expression needs are
checked in `engine.checking.settings`, so that a changed learner or check reads no table anew."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from headrace.core.errors import SpecError
from headrace.core.evidence import Rule
from headrace.core.function import PYTHON, Function
from headrace.core.history import HISTORY, History
from headrace.core.schema import Type
from headrace.core.spec import ParsedSpec
from headrace.data.expect import Expectation, plan_expectations
from headrace.engine.checking.checker import Checker, Tables
from headrace.engine.checking.clean import add_flags, check_cleaning
from headrace.engine.checking.data import check_data
from headrace.engine.checking.encoders import add_cycles, check_grouping, type_encoders
from headrace.engine.checking.functions import expression_of_function, type_functions
from headrace.engine.checking.history import check_hidden, expression_of, shown_of, type_histories
from headrace.engine.checking.tables import check_split, check_tables
from headrace.engine.live_target import target_text
from headrace.expr import Expr, parse
from headrace.features.clean import cleaned_types

RESERVED = {"features", "prediction", "probability", "decision"}
"""Names inside the packaged graph."""


@dataclass(frozen=True)
class Compiled:
    """The spec's expressions, typed against the tables' columns."""

    target: Expr
    features: Mapping[str, Expr]
    today: Expr | None
    strata: Expr | None
    expectations: tuple[Expectation, ...]
    lookups: Mapping[str, tuple[str, ...]]
    """The side tables that features read, with the columns that they need (without the table's name)."""
    types: Mapping[str, Type]
    """Every raw column by the name that expressions use: `distance`, `weather.temp`."""
    encoded: Mapping[str, Mapping[str, Expr]]
    """What each encoder reads of a row, by the text of the expression."""
    histories: tuple[History, ...]
    """The histories, by name: each fills a raw column."""
    functions: tuple[Function, ...]
    """The Python functions, by name: each fills a raw column."""

    @property
    def names(self) -> tuple[str, ...]:
        """Expressions' columns of the matrix, and encoders (each may make several), by name."""
        return (*self.features, *self.encoded)

    @property
    def inputs(self) -> tuple[Expr, ...]:
        """All that the feature matrix is computed from: features, and what encoders read."""
        return (*self.features.values(), *(e for read in self.encoded.values() for e in read.values()))


@dataclass(frozen=True)
class Typed:
    """What could be typed of a spec that may hold mistakes: the fields of `Compiled`, where they are known.
    `events` are the types of the events' columns."""

    target: Expr | None
    features: Mapping[str, Expr]
    today: Expr | None
    strata: Expr | None
    expectations: tuple[Expectation, ...]
    lookups: Mapping[str, tuple[str, ...]]
    types: Mapping[str, Type]
    encoded: Mapping[str, Mapping[str, Expr]]
    histories: tuple[History, ...]
    functions: tuple[Function, ...]
    events: Mapping[str, Type]

    def compiled(self, check: Checker) -> Compiled:
        """The same without doubts.

        Raises:
            SpecError: with every problem that `check` has collected.
        """
        if check.problems or self.target is None:
            raise SpecError.of(check.problems)
        return Compiled(
            self.target,
            self.features,
            self.today,
            self.strata,
            self.expectations,
            self.lookups,
            self.types,
            self.encoded,
            self.histories,
            self.functions,
        )


def compile_spec(parsed: ParsedSpec, tables: Tables) -> Compiled:
    """Type every expression of the spec against the columns of its tables.

    Raises:
        SpecError: with one problem for every mistake found.
    """
    check = Checker(parsed, tables)
    return type_spec(check).compiled(check)


class Compiling:
    """What was compiled, by spec and tables: the stages of a run ask for the same dozens of times.

    Live: keeps the newest few. A spec is told by what it is, not by what it says.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[ParsedSpec, Tables, Compiled], ...] = ()

    def of(self, parsed: ParsedSpec, tables: Tables) -> Compiled:
        """See `compile_spec`."""
        for known, columns, compiled in self._kept:
            if known is parsed and columns == tables:
                return compiled
        compiled = compile_spec(parsed, tables)
        self._kept = ((parsed, dict(tables), compiled), *self._kept[:3])
        return compiled


def type_spec(check: Checker) -> Typed:
    """Type every expression of the spec that is walked; `check` collects the mistakes.

    Raises:
        SpecError: there is no events table: every column would seem unknown.
    """
    spec = check.parsed.spec
    events = {c.name: c.type for c in check.tables.get(spec.data.events, ())}
    types = _all_types(check, events)
    check_tables(check, events)
    check_split(check, events)
    check_data(check)
    if spec.data.events not in spec.data.tables:
        raise SpecError.of(check.problems)
    zone = spec.data.zone or "UTC"

    def expression(text: str, columns: Mapping[str, Type], *path: str | int) -> Expr | None:
        return check.attempt(lambda: parse(text, columns, zone=zone), *path)

    target = expression(target_text(spec.problem.target, events), events, "problem", "target")
    strata = expression(spec.split.on, events, "split", "on") if spec.split.on else None
    histories, filled = type_histories(check, target)
    types |= filled
    functions, given = type_functions(check, types, target)
    types |= given
    today = None
    if spec.problem.today and spec.problem.today.rule is not None:
        today = expression(spec.problem.today.rule, types, "problem", "today", "rule")
    features: dict[str, Expr] = {h.name: expression_of(h, zone) for h in shown_of(spec, histories)}
    features |= {f.name: expression_of_function(f, zone) for f in functions}
    seen = cleaned_types(spec.clean, types)
    # By name: the spec is kept and named without the order of its mappings, and so must be the model.
    for name, feature in sorted(spec.expressions().items()):
        compiled = expression(feature.expr, seen, "features", name)
        if compiled is not None:
            features[name] = compiled
    features = dict(sorted(features.items()))
    add_cycles(check, features, seen)
    check_grouping(check, features)
    encoded = type_encoders(check, seen, target)
    read = [(n, e) for n, inputs in encoded.items() for e in inputs.values()]
    add_flags(check, features, seen)
    check_cleaning(check, types, features | {f"{n}: {e.text}": e for n, e in read})
    _check_features(check, features, target)
    _check_names(check, [*features.items(), *read])
    _check_target(check, target, today)
    expectations = _expectations(check)
    columns = {c for e in (*features.values(), *(e for _, e in read)) for c in e.columns}
    columns |= {c for f in functions for c in f.reads}
    lookups = _lookups(columns | set(today.columns if today else ()), events)
    check_hidden(check, histories, columns)
    return Typed(
        target,
        features,
        today,
        strata,
        expectations,
        lookups,
        types,
        encoded,
        histories,
        functions,
        events,
    )


def _all_types(check: Checker, events: Mapping[str, Type]) -> dict[str, Type]:
    """Event columns by name; columns of side tables behind their table's name."""
    data = check.parsed.spec.data
    types = dict(events)
    for name, columns in check.tables.items():
        if name != data.events and data.tables[name].key is not None:
            types.update({f"{name}.{c.name}": c.type for c in columns})
    return types


def _check_features(check: Checker, features: Mapping[str, Expr], target: Expr | None) -> None:
    if features and not any(f.columns for f in features.values()):
        check.add(
            "no feature reads a column",
            "features",
            why="constants are the same in every row: there is nothing to learn from",
            fix="name a column of the events table, or a lookup as table.column",
        )
    for name, feature in features.items():
        if feature.type == Type.TIME:
            check.add(
                f"feature {name!r} is a time; time never travels as raw seconds",
                *("features", name),
                why="a model that learns from absolute time knows nothing about tomorrow",
                fix="use parts of it (hour(t), dayofweek(t)) or a difference of two times",
            )
        check.refuse_target(name, feature.columns, target.columns if target else ())


def _check_names(check: Checker, features: Sequence[tuple[str, Expr]]) -> None:
    """A raw column may not bear the name of the packaged graph's own tensors."""
    for name, feature in features:
        for column in sorted(set(feature.columns) & RESERVED):
            check.add(
                f"feature {name!r} reads a column called {column!r}",
                *("features", name),
                why="the packaged graph has an output of that name",
                fix="rename the column in its source",
            )


def _check_target(check: Checker, target: Expr | None, today: Expr | None) -> None:
    task = check.parsed.spec.problem.task
    if target is None:
        return
    if target.type == Type.TIME:
        check.add("the target is a time", "problem", "target", fix="predict a difference of times in seconds")
    if task == "regression" and target.type != Type.NUMBER:
        check.add(
            f"a regression needs a number to predict; the target is {target.type.value}",
            *("problem", "target"),
            fix="choose task: binary or multiclass, or another target",
        )
    if today is not None:
        leaked = sorted(set(today.columns) & set(target.columns))
        if leaked:
            check.add(
                f"today's rule uses the target's column {leaked[0]!r}",
                *("problem", "today", "rule"),
                why="it is not known when the prediction is made: no rule could act on it",
                fix="write the rule over columns that are known then",
            )
        wanted = {"binary": Type.BOOL, "regression": Type.NUMBER}.get(task, target.type)
        if today.type != wanted:
            check.add(
                f"today's rule gives {today.type.value}; a {task} task needs {wanted.value}",
                *("problem", "today", "rule"),
                fix="write a condition, such as hour(time) >= 17"
                if task == "binary"
                else "write what it predicts",
            )


def _expectations(check: Checker) -> tuple[Expectation, ...]:
    """The expectations of the data, then the assumptions' checks, under their judged names."""
    spec = check.parsed.spec
    tables = {n: {c.name: c.type for c in columns} for n, columns in check.tables.items()}
    if spec.data.events not in tables:
        return ()
    zone = spec.data.zone or "UTC"
    found: list[Expectation] = []
    named = [("expectation", t, ("data", "expect", i)) for i, t in enumerate(spec.data.expect)]
    named += [
        ("assumption", a.check, ("problem", "assumptions", i))
        for i, a in enumerate(spec.problem.assumptions)
        if a.check
    ]
    for gate, text, path in named:
        planned = check.attempt(
            partial(plan_expectations, [text], tables, spec.data.events, gate=gate, zone=zone), *path
        )
        found += planned or ()
    return tuple(found)


def rules_of(expectations: tuple[Expectation, ...]) -> dict[str, Rule]:
    """The rule of each expectation by its judged name."""
    return {e.gate: e.rule for e in expectations}


def _lookups(columns: Collection[str], events: Mapping[str, Type]) -> dict[str, tuple[str, ...]]:
    used: dict[str, set[str]] = {}
    for column in columns:
        table, _, name = column.partition(".")
        if column not in events and table not in (HISTORY, PYTHON):
            used.setdefault(table, set()).add(name)
    return {t: tuple(sorted(c)) for t, c in sorted(used.items())}
