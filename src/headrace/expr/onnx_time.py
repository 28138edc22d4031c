"""Times in ONNX: whole arithmetic on seconds in doubles, which is exact to 2^53.

The calendar is Neri and Schneider's ("Euclidean affine functions", 2022) with a table for the months: days
are counted from 0000-03-01, so that the leap day ends a year.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, helper

from headrace.core.schema import NULL_TIME, Type
from headrace.expr.emitter import Emitter, Make
from headrace.expr.nodes import MAX_TIME, MIN_TIME, Node
from headrace.expr.zones import offsets

DAY = 86_400
ZERO_DAYS = 719_468
"""Days from 0000-03-01, a Wednesday, to 1970-01-01."""

ZERO_MICROS = ZERO_DAYS * DAY * 1_000_000
SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": DAY}

_LENGTHS = {3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31, 1: 31, 2: 29}
_MONTHS = np.repeat(list(_LENGTHS), list(_LENGTHS.values())).astype(np.float64)
_DAYS = np.concatenate([np.arange(1, n + 1) for n in _LENGTHS.values()]).astype(np.float64)
_QUARTERS = np.ceil(_MONTHS / 3)
_INTO_QUARTER = np.arange(366.0) - np.repeat([0, 31, 122, 214, 306], [31, 91, 92, 92, 60])


def _literal(e: Emitter, node: Node) -> str:
    return e.whole(NULL_TIME if node.param is None else int(str(node.param)))


def _column(e: Emitter, node: Node) -> str:
    return _in_range(e, e.g.input(str(node.param), Type.TIME))


def _in_range(e: Emitter, tensor: str) -> str:
    within = e.op("And", e.op("GreaterOrEqual", tensor, e.whole(MIN_TIME)),
                  e.op("LessOrEqual", tensor, e.whole(MAX_TIME)))  # fmt: skip
    return e.op("Where", within, tensor, e.whole(NULL_TIME))


def _shift(e: Emitter, node: Node) -> str:
    return _in_range(e, e.op("Add", e.time(node.args[0]), e.whole(int(str(node.param)))))


def _greatest(e: Emitter, node: Node) -> str:
    return e.fold("Max", [e.time(a) for a in node.args])  # null is the least of all int64


def _least(e: Emitter, node: Node) -> str:
    best, *rest = (e.time(a) for a in node.args)
    for other in rest:
        real = e.op("Greater", best, e.whole(NULL_TIME))
        sooner = e.op("And", real, e.op("Less", best, other))
        better = e.op("Or", sooner, e.op("Equal", other, e.whole(NULL_TIME)))
        best = e.op("Where", better, best, other)
    return best


def _floor_div(e: Emitter, tensor: str, by: float) -> str:
    return e.op("Floor", e.op("Div", tensor, e.double(by)))


def _remainder(e: Emitter, tensor: str, by: float) -> str:
    return e.op("Sub", tensor, e.op("Mul", _floor_div(e, tensor, by), e.double(by)))


def _affine(e: Emitter, tensor: str, factor: float, plus: float) -> str:
    return e.op("Add", e.op("Mul", tensor, e.double(factor)), e.double(plus))


def _seconds(e: Emitter, time: Node) -> str:
    """Whole UTC seconds since 0000-03-01, floored. A null gives some finite number, masked at the end."""
    micros = e.op("Add", e.time(time), e.whole(ZERO_MICROS))
    return e.to_double(e.op("Div", micros, e.whole(1_000_000)))


def _wall(e: Emitter, time: Node, zone: str) -> str:
    """Whole seconds on the zone's wall clock since 0000-03-01."""
    seconds = _seconds(e, time)
    known = offsets(zone)
    return e.op("Add", seconds, _stairs(e, seconds, known.moments, known.offsets))


def _utc(e: Emitter, wall: str, zone: str) -> str:
    """Seconds on the wall clock to UTC seconds, both since 0000-03-01."""
    known = offsets(zone)
    return e.op("Sub", wall, _stairs(e, wall, known.local_moments(), known.offsets))


def _stairs(e: Emitter, seconds: str, moments: tuple[int, ...], values: tuple[int, ...]) -> str:
    """values[i] where i of the moments have passed: a balanced binary tree over them."""
    if not moments:
        return e.double(values[0])
    key = ("stairs", seconds, moments, values)
    return e.once(key, lambda: _tree(e, seconds, moments, values))


def _tree(e: Emitter, seconds: str, moments: tuple[int, ...], values: tuple[int, ...]) -> str:
    splits: list[float] = []
    sides: list[list[tuple[int, int]]] = []  # for each node (true, false) as (id, is_leaf)

    def grow(low: int, high: int) -> tuple[int, int]:
        """Between values[low] and values[high]."""
        if low == high:
            return low, 1
        middle, here = (low + high) // 2, len(splits)
        splits.append(moments[middle] + ZERO_DAYS * DAY - 0.5)  # whole seconds never equal it
        sides.append([])
        sides[here] = [grow(low, middle), grow(middle + 1, high)]
        return here, 0

    grow(0, len(moments))
    doubles, count = TensorProto.DOUBLE, len(splits)
    column = e.op("Reshape", seconds, e.g.constant([-1, 1], np.int64))
    found = e.g.node(
        "TreeEnsemble", column, domain="ai.onnx.ml", n_targets=1, aggregate_function=1, post_transform=0,
        tree_roots=[0], nodes_featureids=[0] * count,
        nodes_splits=helper.make_tensor("splits", doubles, [count], splits),
        nodes_modes=helper.make_tensor("modes", TensorProto.UINT8, [count], [0] * count),
        nodes_truenodeids=[s[0][0] for s in sides], nodes_trueleafs=[s[0][1] for s in sides],
        nodes_falsenodeids=[s[1][0] for s in sides], nodes_falseleafs=[s[1][1] for s in sides],
        leaf_targetids=[0] * len(values),
        leaf_weights=helper.make_tensor("weights", doubles, [len(values)], [float(v) for v in values]),
    )  # fmt: skip
    return e.op("Reshape", found, e.g.constant([-1], np.int64))


def _day(e: Emitter, time: Node, zone: str) -> str:
    return _floor_div(e, _wall(e, time, zone), DAY)


def _civil(e: Emitter, day: str) -> tuple[str, str]:
    """The year and the day within the year that begins in March, from days since 0000-03-01."""
    n1 = _affine(e, day, 4, 3)
    century = _floor_div(e, n1, 146_097)
    in_century = _floor_div(e, e.op("Sub", n1, e.op("Mul", century, e.double(146_097))), 4)
    n2 = _affine(e, in_century, 4, 3)
    years = _floor_div(e, n2, 1_461)
    in_year = _floor_div(e, e.op("Sub", n2, e.op("Mul", years, e.double(1_461))), 4)
    march_year = e.op("Add", e.op("Mul", century, e.double(100)), years)
    next_year = e.to_double(e.op("GreaterOrEqual", in_year, e.double(306)))
    return e.op("Add", march_year, next_year), in_year


def _looked_up(e: Emitter, table: np.ndarray, in_year: str) -> str:
    return e.op("Gather", e.g.constant(table, np.float64), e.cast(in_year, TensorProto.INT64))


def _january(e: Emitter, year: str) -> str:
    """The day of 1 January, since 0000-03-01."""
    past = e.op("Sub", year, e.double(1))
    leaps = e.op("Sub", _floor_div(e, past, 4), _floor_div(e, past, 100))
    leaps = e.op("Add", leaps, _floor_div(e, past, 400))
    return e.op("Add", _affine(e, past, 365, 306), leaps)


def _week(e: Emitter, day: str) -> str:
    thursday = e.op("Add", e.op("Sub", day, _remainder(e, e.op("Add", day, e.double(2)), 7)), e.double(3))
    into = e.op("Sub", thursday, _january(e, _civil(e, thursday)[0]))
    return e.op("Add", _floor_div(e, into, 7), e.double(1))


def _weekday(e: Emitter, day: str, shift: int) -> str:
    return _remainder(e, e.op("Add", day, e.double(shift)), 7)


def _wall_part(e: Emitter, name: str, time: Node, zone: str) -> str:
    """A part of the wall clock; some number where the time is null."""
    wall = _wall(e, time, zone)
    match name:
        case "second":
            return _remainder(e, wall, 60)
        case "minute":
            return _remainder(e, _floor_div(e, wall, 60), 60)
        case "hour":
            return _remainder(e, _floor_div(e, wall, 3_600), 24)
    day = _day(e, time, zone)
    match name:
        case "dayofweek":
            return _weekday(e, day, 3)
        case "isodow":
            return e.op("Add", _weekday(e, day, 2), e.double(1))
        case "week":
            return _week(e, day)
    year, in_year = _civil(e, day)
    match name:
        case "year":
            return year
        case "dayofyear":
            return e.op("Add", e.op("Sub", day, _january(e, year)), e.double(1))
    return _looked_up(e, {"month": _MONTHS, "day": _DAYS, "quarter": _QUARTERS}[name], in_year)


def _part(e: Emitter, node: Node) -> str:
    name, zone = _words(node)
    time = node.args[0]
    if name == "epoch":
        made = e.op("Div", e.to_double(e.time(time)), e.double(1e6))
    else:
        made = _wall_part(e, name, time, zone)
    return e.masked(made, e.double(math.nan), time)


def _index(e: Emitter, node: Node) -> str:
    unit, zone = _words(node)
    time = node.args[0]
    if unit in SECONDS:
        made = _floor_div(e, _wall(e, time, zone), SECONDS[unit])
    elif unit == "week":
        made = _floor_div(e, e.op("Add", _day(e, time, zone), e.double(2)), 7)
    else:
        made = _wall_part(e, "year", time, zone)
        if unit != "year":
            times = e.op("Mul", made, e.double({"quarter": 4, "month": 12}[unit]))
            made = e.op("Add", times, _wall_part(e, unit, time, zone))
    return e.masked(made, e.double(math.nan), time)


def _start(e: Emitter, node: Node) -> str:
    unit, zone = _words(node)
    time = node.args[0]
    if unit in ("second", "minute", "hour"):
        # within the offset that holds at the time itself: never later than it
        into = _remainder(e, _wall(e, time, zone), SECONDS[unit])
        seconds = e.op("Sub", _seconds(e, time), into)
    else:
        seconds = _utc(e, e.op("Mul", _start_day(e, unit, _day(e, time, zone)), e.double(DAY)), zone)
    whole = e.op("Mul", e.cast(seconds, TensorProto.INT64), e.whole(1_000_000))
    micros = e.op("Sub", whole, e.whole(ZERO_MICROS))
    made = micros if zone == "UTC" else _in_range(e, micros)
    return e.masked(made, e.whole(NULL_TIME), time)


def _start_day(e: Emitter, unit: str, day: str) -> str:
    if unit == "day":
        return day
    if unit == "week":
        return e.op("Sub", day, _weekday(e, day, 2))
    year, in_year = _civil(e, day)
    if unit == "month":
        return e.op("Sub", day, e.op("Sub", _looked_up(e, _DAYS, in_year), e.double(1)))
    january = _january(e, year)
    if unit == "year":
        return january
    march = e.op("Less", in_year, e.double(31))  # the only month whose quarter began before the leap day
    return e.op("Where", march, january, e.op("Sub", day, _looked_up(e, _INTO_QUARTER, in_year)))


def _elapsed(e: Emitter, node: Node) -> str:
    first, last = node.args
    micros = e.op("Sub", e.time(last), e.time(first))
    return e.masked(e.op("Div", e.to_double(micros), e.double(1e6)), e.double(math.nan), first, last)


def _words(node: Node) -> tuple[str, str]:
    assert isinstance(node.param, tuple)  # noqa: S101  (made so by every builder of these nodes)
    return str(node.param[0]), str(node.param[1])


TIMES: dict[str, Make] = {
    "lit": _literal,
    "col": _column,
    "shift": _shift,
    "start": _start,
    "greatest": _greatest,
    "least": _least,
    "case": lambda e, node: e.choose(node, e.time),
    "coalesce": lambda e, node: e.first_known(node, e.time),
}
"""What makes a time."""

NUMBERS_OF_TIMES: dict[str, Make] = {"part": _part, "index": _index, "elapsed": _elapsed}
"""What makes a number of times."""
