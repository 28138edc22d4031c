"""Expressions in the SQL of PostgreSQL and Spark: what these can say with the same meaning, the rest refused.

Times are in UTC: `timestamp` columns of PostgreSQL, and `TIMESTAMP` in Spark with the session's zone set to
UTC. PostgreSQL stops with an error where a sum or product leaves the range of doubles, and changes case by
the database's collation; there the graph gives null, and changes case by Unicode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace.core.errors import UserError, did_you_mean
from headrace.core.schema import Type
from headrace.core.sql import sql_text
from headrace.expr.nodes import Node
from headrace.expr.to_sql import DUCKDB, WRITE, Dialect, Write, Writer, double, in_range
from headrace.expr.zones import Offsets

_EPOCH_FROM_ZERO = 719_468 * 86_400
"""Seconds from 0000-03-01 to 1970: no moment lies before it, so that divisions round down."""
_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_SAME = (
    *("lit", "add", "sub", "mul", "neg", "abs", "sign", "sqrt", "ln", "sin", "cos", "greatest", "least"),
    *("eq", "lt", "le", "and", "or", "not", "is_null", "case", "coalesce", "in", "concat", "lower"),
)
"""Operations that are written as for DuckDB."""
_LARGEST_EXP, _LEAST_EXP = 709.782712893384, -745.1332191019411


def micros_postgres(time: str) -> str:
    """Microseconds since 1970 of a `timestamp`, exactly."""
    return f"CAST(extract(epoch FROM {time}) * 1000000 AS BIGINT)"


def micros_spark(time: str) -> str:
    """Microseconds since 1970 of a `TIMESTAMP`."""
    return f"unix_micros({time})"


def _subject(use: Callable[[str], str], at: int = 0) -> Write:
    """A writer that uses its argument's value several times."""
    return lambda w, node: w.let(w.value(node.args[at]), use)


def _divide(w: Writer, node: Node) -> str:
    return f"({w.number(node.args[0])} / NULLIF({w.value(node.args[1])}, {w.dialect.double(0.0)}))"


def _column(w: Writer, node: Node) -> str:
    name = w.dialect.named(str(node.param))
    if node.type is Type.TIME:
        return in_range(w, name)
    cast = f"CAST({name} AS {w.dialect.types[node.type]})"
    return w.let(cast, w.dialect.finite) if node.type is Type.NUMBER else cast


def _parts(names: Mapping[str, str], micros: Callable[[str], str], later: Callable[[str, str], str]) -> Write:
    """Parts of the wall clock; `names` gives each part of a time {t}."""

    def write(w: Writer, node: Node) -> str:
        name, zone = _words(node)
        kind = w.dialect.types[Type.NUMBER]
        if name == "epoch":
            return f"(CAST({micros(w.value(node.args[0]))} AS {kind}) / {w.dialect.double(1e6)})"
        return f"CAST({names[name].format(t=_wall(w, node.args[0], zone, micros, later))} AS {kind})"

    return write


def _index(micros: Callable[[str], str], later: Callable[[str, str], str], whole: str) -> Write:
    """How many starts of a unit have passed; `whole` divides whole numbers."""

    def write(w: Writer, node: Node) -> str:
        unit, zone = _words(node)
        wall, kind = _wall(w, node.args[0], zone, micros, later), w.dialect.types[Type.NUMBER]
        if unit in _UNIT_SECONDS or unit == "week":
            days = 7 if unit == "week" else 1
            offset = _EPOCH_FROM_ZERO + (2 * 86_400 if unit == "week" else 0)
            length = days * _UNIT_SECONDS.get(unit, 86_400) * 1_000_000
            return f"CAST(({micros(wall)} + {offset * 1_000_000}) {whole} {length} AS {kind})"
        year = f"CAST(extract(YEAR FROM {{v}}) AS {kind})"
        if unit == "year":
            return year.format(v=wall)
        many = {"quarter": 4, "month": 12}[unit]
        part = f"CAST(extract({unit.upper()} FROM {{v}}) AS {kind})"
        return w.let(wall, lambda v: f"({year.format(v=v)} * {many} + {part.format(v=v)})")

    return write


def _words(node: Node) -> tuple[str, str]:
    name, zone = node.param if isinstance(node.param, tuple) else ("", "UTC")
    return str(name), str(zone)


def _wall(
    w: Writer, time: Node, zone: str, micros: Callable[[str], str], later: Callable[[str, str], str]
) -> str:
    """The wall clock's reading: moved by the zone's offset at the moment, by the graph's own table."""
    known: Offsets = w.zone(zone)
    if known.offsets == (0,):
        return w.value(time)

    def moved(v: str) -> str:
        name = w.name()

        def tree(low: int, high: int) -> str:
            if low == high:
                return str(known.offsets[low])
            middle = (low + high) // 2
            first, rest = tree(low, middle), tree(middle + 1, high)
            return f"CASE WHEN {name} < {known.moments[middle]} THEN {first} ELSE {rest} END"

        whole = "/" if w.dialect is POSTGRES else "div"
        seconds = f"({micros(v)} + {_EPOCH_FROM_ZERO * 1_000_000}) {whole} 1000000 - {_EPOCH_FROM_ZERO}"
        return later(v, w.dialect.bind(seconds, name, tree(0, len(known.moments))))

    return w.let(w.value(time), moved)


def _elapsed(micros: Callable[[str], str]) -> Write:
    def write(w: Writer, node: Node) -> str:
        first, last = (micros(w.value(a)) for a in node.args)
        return f"(CAST({last} - {first} AS {w.dialect.types[Type.NUMBER]}) / {w.dialect.double(1e6)})"

    return write


def _later_postgres(time: str, seconds: str) -> str:
    return f"({time} + ({seconds}) * INTERVAL '1 second')"


def _later_spark(time: str, seconds: str) -> str:
    return f"({time} + make_dt_interval(0, 0, 0, {seconds}))"


def _start_postgres(w: Writer, node: Node) -> str:
    unit, zone = _words(node)
    _only_utc(w, zone)
    return f"date_trunc('{unit}', {w.value(node.args[0])})"


def _only_utc(w: Writer, zone: str) -> None:
    if w.zone(zone).offsets != (0,):
        raise UserError(
            f"the start of a unit on the clock of {zone} is written for DuckDB alone",
            fix="compute it in a column of the table, or emit the SQL for DuckDB",
        )


def _match_postgres(w: Writer, node: Node) -> str:
    kind, word = _words(node)
    value, text = w.value(node.args[0]), w.dialect.text(word)
    if kind == "suffix":
        return f"(right({value}, {len(word)}) = {text})"
    return f"starts_with({value}, {text})" if kind == "prefix" else f"(position({text} IN {value}) > 0)"


def _match_spark(w: Writer, node: Node) -> str:
    kind, word = _words(node)
    name = {"prefix": "startswith", "suffix": "endswith", "contains": "contains"}[kind]
    return f"{name}({w.value(node.args[0])}, {w.dialect.text(word)})"


def _code_postgres(w: Writer, node: Node) -> str:
    return w.let(w.value(node.args[0]), lambda v: f"CASE WHEN {v} THEN 1e0 WHEN NOT {v} THEN 0e0 END")


def _round(v: str) -> str:
    return f"(sign({v}) * (floor(abs({v})) + CASE WHEN abs({v}) - floor(abs({v})) >= 0.5 THEN 1 ELSE 0 END))"


def _exp(v: str) -> str:
    return f"CASE WHEN {v} < {_LEAST_EXP} THEN 0e0 WHEN {v} <= {_LARGEST_EXP} THEN exp({v}) END"


def _finite(lowest: str, highest: str) -> Callable[[str], str]:
    # NaN is above all other numbers in both databases.
    return lambda v: f"CASE WHEN {v} > {lowest} AND {v} < {highest} THEN {v} END"


def _double_postgres(value: float) -> str:
    return f"CAST({double(value)} AS DOUBLE PRECISION)"  # a bare 1e0 is a decimal there


def _text_spark(text: str) -> str:
    return sql_text(text.replace("\\", "\\\\")).replace("''", "\\'") if text else "''"


POSTGRES = Dialect(
    name="PostgreSQL",
    types={
        Type.NUMBER: "DOUBLE PRECISION",
        Type.BOOL: "BOOLEAN",
        Type.TEXT: "TEXT",
        Type.TIME: "TIMESTAMP",
    },
    write={
        **{op: WRITE[op] for op in (*_SAME, "same", "is_true")},
        "col": _column,
        "div": _divide,
        "sign": lambda w, n: f"sign({w.value(n.args[0])})",
        "floor": _subject(lambda v: f"floor({v})"),
        "ceil": _subject(lambda v: f"ceil({v})"),
        "trunc": _subject(lambda v: f"trunc({v})"),
        "round": _subject(_round),
        "round_even": _subject(lambda v: f"round({v})"),
        "exp": _subject(_exp),
        "code": _code_postgres,
        "match": _match_postgres,
        "upper": _subject(lambda v: f"upper({v})"),
        "part": _parts(
            {
                **{p: f"extract({p} FROM {{t}})" for p in ("year", "quarter", "month", "day", "hour")},
                "minute": "extract(minute FROM {t})",
                "second": "floor(extract(second FROM {t}))",
                "dayofweek": "extract(dow FROM {t})",
                "isodow": "extract(isodow FROM {t})",
                "dayofyear": "extract(doy FROM {t})",
                "week": "extract(week FROM {t})",
            },
            micros_postgres,
            _later_postgres,
        ),
        "index": _index(micros_postgres, _later_postgres, "/"),
        "start": _start_postgres,
        "shift": lambda w, n: in_range(
            w, f"({w.value(n.args[0])} + INTERVAL '{int(str(n.param))} microseconds')"
        ),
        "elapsed": _elapsed(micros_postgres),
    },
    bind=lambda sql, name, use: f"(SELECT {use} FROM (SELECT {sql} AS {name}) AS of_{name})",
    finite=_finite("'-Infinity'", "'Infinity'"),
    double=_double_postgres,
    text=sql_text,
)

SPARK = Dialect(
    name="Spark",
    types={Type.NUMBER: "DOUBLE", Type.BOOL: "BOOLEAN", Type.TEXT: "STRING", Type.TIME: "TIMESTAMP"},
    write={
        **{op: WRITE[op] for op in _SAME},
        "same": lambda w, n: f"({w.value(n.args[0])} <=> {w.value(n.args[1])})",
        "is_true": lambda w, n: f"({w.value(n.args[0])} <=> true)",
        "col": _column,
        "div": _divide,
        "mod": lambda w, n: f"({w.number(n.args[0])} % NULLIF({w.value(n.args[1])}, 0e0))",
        "floor": _subject(lambda v: f"CAST(floor({v}) AS DOUBLE)"),
        "ceil": _subject(lambda v: f"CAST(ceil({v}) AS DOUBLE)"),
        "trunc": _subject(lambda v: f"(sign({v}) * CAST(floor(abs({v})) AS DOUBLE))"),
        "round": _subject(_round),
        "round_even": _subject(lambda v: f"rint({v})"),
        "exp": _subject(lambda v: f"exp({v})"),
        "pow": lambda w, n: f"power({w.value(n.args[0])}, {w.value(n.args[1])})",
        "code": WRITE["code"],
        "match": _match_spark,
        "upper": _subject(lambda v: f"array_join(transform(split({v}, 'ß'), p -> upper(p)), 'ß')"),
        "part": _parts(
            {
                **{p: f"{p}({{t}})" for p in ("year", "quarter", "month", "day", "hour", "minute", "second")},
                "dayofweek": "(dayofweek({t}) - 1)",
                "isodow": "(weekday({t}) + 1)",
                "dayofyear": "dayofyear({t})",
                "week": "weekofyear({t})",
            },
            micros_spark,
            _later_spark,
        ),
        "index": _index(micros_spark, _later_spark, "div"),
        "start": _start_postgres,
        "shift": lambda w, n: in_range(
            w, f"timestamp_micros({micros_spark(w.value(n.args[0]))} + {int(str(n.param))})"
        ),
        "elapsed": _elapsed(micros_spark),
    },
    bind=lambda sql, name, use: f"transform(array({sql}), {name} -> {use})[0]",
    finite=_finite("CAST('-Infinity' AS DOUBLE)", "CAST('Infinity' AS DOUBLE)"),
    double=double,
    text=_text_spark,
    mark="`",
)

DIALECTS: Mapping[str, Dialect] = {"duckdb": DUCKDB, "postgres": POSTGRES, "spark": SPARK}
"""By the name that a user writes."""


def dialect_of(name: str) -> Dialect:
    """The dialect of this name.

    Raises:
        UserError: there is none.
    """
    if name not in DIALECTS:
        raise UserError(
            f"there is no dialect {name!r}: {', '.join(DIALECTS)}", fix=did_you_mean(name, DIALECTS)
        )
    return DIALECTS[name]
