"""Random typed expressions over random rows, and the comparison of graph and DuckDB on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import duckdb
import numpy as np
import onnxruntime as ort
import pyarrow as pa

from headrace.core.errors import ExprError
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.expr import Expr, compile_exprs, parse, to_sql
from headrace.expr.nodes import PARTS, UNITS

COLUMNS = {
    "n1": Type.NUMBER,
    "n2": Type.NUMBER,
    "i1": Type.NUMBER,
    "i2": Type.NUMBER,
    "side.n": Type.NUMBER,
    "b1": Type.BOOL,
    "b2": Type.BOOL,
    "s1": Type.TEXT,
    "s2": Type.TEXT,
    "t1": Type.TIME,
    "t2": Type.TIME,
    "t3": Type.TIME,
}
EPOCH = datetime(1970, 1, 1)
MICROS = timedelta(microseconds=1)
NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 0.49999999999999994, 1e-300, 5e-324, 1e15]
NUMBERS += [
    2.0**52 + 0.5,
    2.0**53,
    1e308,
    -1e308,
    1.7976931348623157e308,
    np.nan,
    np.inf,
    -np.inf,
    3.7,
    -1234.567,
]
TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "Ab%",
    "a_b",
    "abc",
    "JFK",
    "ß",
    "Straße",
    "ẞ",
    "Ünïcödé",
    "É",
    "'",
    "\\",
    "a.b",
    "x\ny",
]
TEXTS += [
    "12",
    "-3.5",
    "1e5",
    "+7.",
    "0x1F",
    "1e400",
    " 12",
    "inf",
    "nan",
    ".5",
    "1_0",
    "123456789012345678",
    "🚚",
    "(a)",
]
LITERALS = ["''", "'a'", "'b'", "'ab'", "'JFK'", "'ß'", "'%'", "'.'", "'\\'", "''''", "'🚚'", "'(a)'", "'É'"]

SMOOTH = ["sin", "cos", "tan", "exp", "ln", "log10", "log2"]


def rows(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Raw columns with every odd value, null among them, in the form a graph takes."""
    number = lambda: np.where(  # noqa: E731  (four of a kind, used here only)
        rng.random(count) < 0.5, rng.choice(NUMBERS, count), rng.normal(0, 10.0 ** rng.integers(-3, 6, count))
    )
    whole = lambda: np.where(  # noqa: E731  (see above)
        rng.random(count) < 0.15, np.nan, rng.integers(-9, 40, count).astype(float)
    )
    truth = lambda: rng.choice([0.0, 1.0, np.nan], count)  # noqa: E731  (see above)
    text = lambda: rng.choice(np.array([*TEXTS, NULL_TEXT], dtype=object), count)  # noqa: E731  (see above)
    return {
        "n1": number(),
        "n2": number(),
        "i1": whole(),
        "i2": whole(),
        "side.n": number(),
        "b1": truth(),
        "b2": truth(),
        "s1": text(),
        "s2": text(),
        "t1": times(rng, count),
        "t2": times(rng, count),
        "t3": times(rng, count),
    }


def times(rng: np.random.Generator, count: int) -> np.ndarray:
    """Microseconds: all of time, our time, calendar edges, clock changes, null."""
    edges = [
        datetime(1, 1, 1),
        datetime(9999, 12, 31, 23, 59, 59, 999999),
        datetime(1969, 12, 31, 23, 59, 59, 999999),
    ]
    years = (1, 4, 100, 400, 1600, 1900, 1999, 2000, 2001, 2020, 2099, 2100, 9999)
    dates = ((1, 1), (2, 28), (3, 1), (12, 31), (12, 29), (1, 3), (4, 1), (9, 30))
    edges += [datetime(y, m, d) for y in years for m, d in dates]
    edges += [datetime(y, 2, 29) for y in (4, 400, 1904, 2000, 2024, 9996)]
    changes = [
        datetime(2013, 3, 10, 7),
        datetime(2013, 11, 3, 6),
        datetime(2024, 3, 31, 1),
        datetime(1883, 11, 18, 17),
    ]
    changes += [
        datetime(2050, 3, 13, 7),
        datetime(2099, 11, 1, 6),
        datetime(1950, 4, 30, 7),
        datetime(2024, 10, 27, 1),
    ]
    edge = np.array([(e - EPOCH) // MICROS for e in edges], dtype=np.int64)
    near = np.array([(e - EPOCH) // MICROS for e in changes], dtype=np.int64)
    jitter = rng.choice(
        np.array([0, 0, -1, 1, 999_999, 86_399_999_999, -3_600_000_000], dtype=np.int64), count
    )
    picks = np.stack(
        [
            rng.integers(edge[0], edge[1], count),
            rng.integers(
                (datetime(1900, 1, 1) - EPOCH) // MICROS, (datetime(2110, 1, 1) - EPOCH) // MICROS, count
            ),
            rng.choice(edge, count) + jitter,
            rng.choice(near, count) + rng.integers(-7_200_000_001, 7_200_000_001, count),
            np.full(count, NULL_TIME),
        ]
    )
    return picks[rng.choice(5, count, p=[0.2, 0.3, 0.2, 0.2, 0.1]), np.arange(count)]


class Generator:
    """Random expressions as text, so that the parser is tried too."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def any(self, depth: int) -> str:
        return getattr(self, self.pick(["number", "number", "bool", "bool", "text", "time"]))(depth)

    def number(self, depth: int) -> str:
        r = self.rng
        if depth <= 0 or r.random() < 0.1:
            literal = self.pick(["0", "1", "2", "-1", "0.5", "3", "10", "1e308", "1e-5", "0.1", "7", "null"])
            return self.pick(["n1", "n2", "i1", "i2", "side.n", literal, literal, "n1"])
        n, b, t, s = self.number, self.bool, self.time, self.text
        d = depth - 1
        which = int(r.integers(24))
        match which:
            case 0 | 1 | 2:
                return f"({n(d)} {self.pick(['+', '-', '*', '/'])} {n(d)})"
            case 3:
                return f"({n(d)} {self.pick(['//', '%'])} {n(d)})"
            case 4:
                return f"(- {n(d)})"
            case 5 | 6:
                return f"{self.pick(['abs', 'floor', 'ceil', 'trunc', 'sign', 'sqrt', 'round'])}({n(d)})"
            case 7:
                return f"round({n(d)}, {int(r.integers(-3, 4))})"
            case 8:
                return f"{self.pick(['greatest', 'least'])}({n(d)}, {n(d)}, {n(d)})"
            case 9 | 10:
                otherwise = self.pick(["", f"else {n(d)}"])
                return f"case when {b(d)} then {n(d)} when {b(d)} then {n(d)} {otherwise} end"
            case 11:
                return f"coalesce({n(d)}, {n(d)})"
            case 12:
                return f"nullif({n(d)}, {n(d)})"
            case 13:
                return f"if({b(d)}, {n(d)}, {n(d)})"
            case 14:
                return f"cast({n(d)} as int)"
            case 15:
                return f"cast({b(d)} as double)"
            case 16:
                return f"cast({s(d)} as {self.pick(['int', 'double'])})"
            case 17 | 18 | 19:
                return f"{self.pick(PARTS)}({t(d)})"
            case 20:
                return f"extract({self.pick(PARTS)} from {t(d)})"
            case 21:
                return f"date_diff('{self.pick(UNITS)}', {t(d)}, {t(d)})"
            case 22:
                return f"({t(d)} - {t(d)})"
            case _:
                return f"case {n(d)} when {n(d)} then {n(d)} else {n(d)} end"

    def bool(self, depth: int) -> str:
        if depth <= 0 or self.rng.random() < 0.1:
            return self.pick(["b1", "b2", "b1", "b2", "true", "false"])
        n, b, t, s = self.number, self.bool, self.time, self.text
        d = depth - 1
        sign = self.pick(["=", "<>", "<", "<=", ">", ">=", "is distinct from", "is not distinct from"])
        equal = self.pick(["=", "<>", "is distinct from", "is not distinct from"])
        match int(self.rng.integers(18)):
            case 0 | 1:
                return f"({n(d)} {sign} {n(d)})"
            case 2:
                return f"({t(d)} {sign} {t(d)})"
            case 3:
                return f"({s(d)} {equal} {s(d)})"
            case 4:
                return f"({b(d)} {equal} {b(d)})"
            case 5 | 6:
                return f"({b(d)} {self.pick(['and', 'or'])} {b(d)})"
            case 7 | 8:
                return f"(not {b(d)})"
            case 9:
                return f"({self.any(d)} is {self.pick(['', 'not '])}null)"
            case 10:
                return f"({b(d)} is {self.pick(['', 'not '])}{self.pick(['true', 'false'])})"
            case 11:
                return f"case when {b(d)} then {b(d)} {self.pick(['', f'else {b(d)}'])} end"
            case 12:
                return f"coalesce({b(d)}, {b(d)})"
            case 13:
                members = ["0", "1", "2.5", "3", "-1", "10", "1e308", "7", "null"]
                some = ", ".join(self.pick(members) for _ in range(int(self.rng.integers(1, 7))))
                return f"({n(d)} {self.pick(['', 'not '])}in ({some}))"
            case 14:
                some = ", ".join(self.pick([*LITERALS, "null"]) for _ in range(int(self.rng.integers(1, 8))))
                return f"({s(d)} {self.pick(['', 'not '])}in ({some}))"
            case 15:
                return f"({n(d)} {self.pick(['', 'not '])}between {n(d)} and {n(d)})"
            case 16:
                name = self.pick(["contains", "starts_with", "ends_with"])
                return f"{name}({s(d)}, {self.pick(LITERALS)})"
            case _:
                pattern = self.pick(["'a%'", "'%b'", "'%a%'", "'ab'", "'%'", "'%ß%'", "''", "'%.%'"])
                return f"({s(d)} {self.pick(['', 'not '])}like {pattern})"

    def text(self, depth: int) -> str:
        if depth <= 0 or self.rng.random() < 0.2:
            return self.pick(["s1", "s2", "s1", self.pick(LITERALS)])
        b, s, d = self.bool, self.text, depth - 1
        match int(self.rng.integers(8)):
            case 0:
                return f"{self.pick(['lower', 'upper'])}({s(d)})"
            case 1:
                return f"({s(d)} || {s(d)})"
            case 2:
                return f"concat({s(d)}, {s(d)}, {s(d)})"
            case 3:
                return f"case when {b(d)} then {s(d)} {self.pick(['', f'else {s(d)}'])} end"
            case 4:
                return f"coalesce({s(d)}, {s(d)})"
            case 5:
                return f"nullif({s(d)}, {s(d)})"
            case 6:
                return f"cast({b(d)} as varchar)"
            case _:
                return f"case {s(d)} when {s(d)} then {s(d)} else {s(d)} end"

    def time(self, depth: int) -> str:
        if depth <= 0 or self.rng.random() < 0.3:
            literals = ["timestamp '2013-03-10 03:30'", "date '2020-02-29'", "timestamp '1900-01-01'"]
            literal = self.pick([*literals, "timestamp '9999-12-30 23:59:59.5'"])
            return self.pick(["t1", "t2", "t3", "t1", literal])
        b, t, d = self.bool, self.time, depth - 1
        match int(self.rng.integers(7)):
            case 0 | 1:
                size, unit = (
                    int(self.rng.integers(0, 5000)),
                    self.pick(["hours", "days", "us", "minutes", "weeks"]),
                )
                return f"({t(d)} {self.pick(['+', '-'])} interval '{size} {unit}')"
            case 2 | 3:
                return f"date_trunc('{self.pick(UNITS)}', {t(d)})"
            case 4:
                return f"case when {b(d)} then {t(d)} {self.pick(['', f'else {t(d)}'])} end"
            case 5:
                return f"{self.pick(['greatest', 'least'])}({t(d)}, {t(d)})"
            case _:
                return f"coalesce({t(d)}, {t(d)})"

    def smooth(self, depth: int) -> str:
        """A transcendental function at the top: below other operations its last bits would be amplified."""
        if self.rng.random() < 0.3:
            return f"power({self.number(depth)}, {self.number(depth)})"
        return f"{self.pick(SMOOTH)}({self.number(depth)})"


def table(data: dict[str, np.ndarray]) -> pa.Table:
    """Raw columns as DuckDB sees them: nulls, and naive timestamps in UTC. NaN and infinity stay in."""
    made = {}
    for name, values in data.items():
        match COLUMNS[name]:
            case Type.NUMBER:
                made[name] = pa.array(values, pa.float64(), from_pandas=False)
            case Type.BOOL:
                made[name] = pa.array([None if np.isnan(v) else bool(v) for v in values], pa.bool_())
            case Type.TEXT:
                made[name] = pa.array([None if v == NULL_TEXT else v for v in values], pa.string())
            case Type.TIME:
                made[name] = pa.array(
                    [None if v == NULL_TIME else int(v) for v in values], pa.timestamp("us")
                )
    return pa.table(made)


def by_graph(exprs: Sequence[Expr], data: dict[str, np.ndarray]) -> list[np.ndarray]:
    """One array an expression, from one model."""
    model = compile_exprs({f"out{i}": x for i, x in enumerate(exprs)})
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    needed = {i.name for i in session.get_inputs()}
    made = session.run(None, {k: v for k, v in data.items() if k in needed})
    count = len(next(iter(data.values())))
    return [np.broadcast_to(m, (count,)) for m in made]


def by_duckdb(exprs: Sequence[Expr], rows: pa.Table) -> list[np.ndarray]:
    """One array an expression, in the graph's form."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("rows", rows)
        parts = []
        for i, x in enumerate(exprs):
            sql = f"epoch_us({to_sql(x)})" if x.type is Type.TIME else to_sql(x)
            parts.append(f"{sql} AS out{i}")
        found = connection.sql(f"SELECT {', '.join(parts)} FROM rows").to_arrow_table()
    made = []
    for x, column in zip(exprs, found.columns, strict=True):
        values = column.to_pylist()
        match x.type:
            case Type.TEXT:
                made.append(np.array([NULL_TEXT if v is None else v for v in values], dtype=object))
            case Type.TIME:
                made.append(np.array([NULL_TIME if v is None else v for v in values], dtype=np.int64))
            case _:
                # a NaN of DuckDB's would be a breach of the law, not a null: let it differ from everything
                numbers = [np.nan if v is None else float(v) for v in values]
                made.append(
                    np.array(
                        [
                            np.inf if raw is not None and np.isnan(v) else v
                            for raw, v in zip(values, numbers, strict=True)
                        ]
                    )
                )
    return made


def differences(exprs: Sequence[Expr], data: dict[str, np.ndarray], tolerance: float = 0.0) -> list[str]:
    """What graph and DuckDB disagree on, in words. Zero has no sign; a null equals a null alone.
    With a tolerance, numbers may differ by that share of max(1, |value|)."""
    if len(exprs) == 0:
        return []
    rows = table(data)
    notes = []
    for x, ours, theirs in zip(exprs, by_graph(exprs, data), by_duckdb(exprs, rows), strict=True):
        if x.type in (Type.NUMBER, Type.BOOL):
            same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
            if tolerance:
                with np.errstate(all="ignore"):
                    same |= np.abs(ours - theirs) <= tolerance * np.maximum(np.abs(theirs), 1.0)
        else:
            same = ours == theirs
        for row in np.flatnonzero(~np.asarray(same, dtype=bool))[:2]:
            inputs = {c: data[c][row] for c in x.columns}
            notes.append(f"{x.zone}: {x.text}: graph {ours[row]!r}, DuckDB {theirs[row]!r} at {inputs}")
    return notes


def fuzz(seed: int, count: int, size: int, *, zone: str, smooth: bool = False) -> tuple[int, list[str]]:
    """Generate `count` expressions over `size` rows and compare. Returns how many were compared."""
    rng = np.random.default_rng(seed)
    generator, data = Generator(rng), rows(rng, size)
    notes: list[str] = []
    done = 0
    while done < count:
        texts = [
            generator.smooth(int(rng.integers(0, 2))) if smooth else generator.any(int(rng.integers(1, 5)))
            for _ in range(20)
        ]
        exprs = []
        for text in texts:
            try:
                exprs.append(parse(text, COLUMNS, zone=zone))
            except ExprError as error:  # a generated text may be null whatever the row
                if "always null" not in str(error):
                    raise
        notes += differences(exprs, data, 1e-12 if smooth else 0.0)
        done += len(exprs)
    return done, notes
