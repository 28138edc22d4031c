"""Times in ONNX: whole arithmetic on seconds in doubles, which is exact to 2^53.

The calendar follows Neri and Schneider ("Euclidean affine functions", 2022) with a table for the months:
days are counted from 0000-03-01, so that the leap day ends a year and nothing is negative.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, helper

from headrace.core.schema import NULL_TIME, Type
from headrace.expr.emitter import Emitter, Make
from headrace.expr.nodes import MAX_TIME, MIN_TIME, Node
from headrace.expr.zones import Offsets, offsets

DAY = 86_400
ZERO_DAYS = 719_468
"""Days from 0000-03-01, a Wednesday, to 1970-01-01."""

ZERO_MICROS = ZERO_DAYS * DAY * 1_000_000
SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": DAY}

_LENGTHS = {3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31, 1: 31, 2: 29}
_IN_YEAR = tuple(float(day) for day in range(366))
_MONTHS = tuple(float(month) for month, days in _LENGTHS.items() for _ in range(days))
_DAYS = tuple(float(day + 1) for days in _LENGTHS.values() for day in range(days))
_QUARTERS = tuple(float((month + 2) // 3) for month in _MONTHS)
_INTO_QUARTER = tuple(float(day) for days in (31, 91, 92, 92, 60) for day in range(days))


def _literal(e: Emitter, node: Node) -> str:
    return e.whole(NULL_TIME if node.param is None else int(str(node.param)))


def _column(e: Emitter, node: Node) -> str:
    return e.g.input(str(node.param), Type.TIME)


def _shift(e: Emitter, node: Node) -> str:
    return e.op("Add", e.time(node.args[0]), e.whole(int(str(node.param))))


def _greatest(e: Emitter, node: Node) -> str:
    # onnxruntime's Max and Min on int64 compare as float32: wrong for near moments
    best, *rest = (e.time(a) for a in node.args)
    for other in rest:
        best = e.op("Where", e.op("Greater", best, other), best, other)  # null is the least of all int64
    return best


def _least(e: Emitter, node: Node) -> str:
    best, *rest = (e.time(a) for a in node.args)
    null = e.whole(NULL_TIME)
    for other in rest:
        sooner = e.op("And", e.op("Greater", best, null), e.op("Less", best, other))
        best = e.op("Where", e.op("Or", sooner, e.op("Equal", other, null)), best, other)
    return best


def _floor_div(e: Emitter, tensor: str, by: float) -> str:
    return e.op("Floor", e.op("Div", tensor, e.double(by)))


def _affine(e: Emitter, tensor: str, factor: float, plus: float) -> str:
    return e.op("Add", e.op("Mul", tensor, e.double(factor)), e.double(plus))


def _seconds(e: Emitter, time: Node) -> str:
    """Whole UTC seconds since 0000-03-01, floored; where the time is null, some that lie outside the years
    1 to 9999."""
    micros = e.op("Add", e.moment(time), e.whole(ZERO_MICROS))
    return e.to_double(e.op("Div", micros, e.whole(1_000_000)))


def _wall(e: Emitter, time: Node, zone: str) -> str:
    """Whole seconds on the zone's wall clock since 0000-03-01; NaN for null."""
    seconds, nan = _seconds(e, time), math.nan
    known = _offsets(e, zone)
    if not known.moments:
        return e.op("Add", e.masked(seconds, e.double(nan), time), e.double(known.offsets[0]))
    # the tree that finds the offset finds nulls too: outside the years 1 to 9999 no offset holds
    first, last = MIN_TIME // 1_000_000, MAX_TIME // 1_000_000
    moments = (first, *known.moments, last + 1)
    return e.op("Add", seconds, _stairs(e, seconds, moments, (nan, *known.offsets, nan)))


def _utc(e: Emitter, wall: str, zone: str) -> str:
    """Seconds on the wall clock to UTC seconds, both since 0000-03-01."""
    known = _offsets(e, zone)
    return e.op("Sub", wall, _stairs(e, wall, known.local_moments(), known.offsets))


def _offsets(e: Emitter, zone: str) -> Offsets:
    key = ("zone", zone)
    if key not in e.g.memo:
        e.g.memo[key] = offsets(zone)
    found: Offsets = e.g.memo[key]
    return found


def _stairs(e: Emitter, seconds: str, moments: tuple[int, ...], values: tuple[float, ...]) -> str:
    """values[i] where i of the moments have passed: a balanced binary tree over them."""
    if not moments:
        return e.double(values[0])
    key = ("stairs", seconds, moments, values)
    return e.once(key, lambda: _tree(e, seconds, moments, values))


def _tree(e: Emitter, seconds: str, moments: tuple[int, ...], values: tuple[float, ...]) -> str:
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


def _in_year(e: Emitter, day: str) -> str:
    """The day within the year that begins in March, 0 to 365, from days since 0000-03-01."""
    # in days where the paper counts quarters of days: exact in doubles, and fewer steps
    in_century = e.op("Floor", e.fmod(e.op("Add", day, e.double(0.75)), e.double(36_524.25)))
    return e.op("Floor", e.fmod(e.op("Add", in_century, e.double(0.75)), e.double(365.25)))


def _looked_up(e: Emitter, table: tuple[float, ...], day: str) -> str:
    """table[day within the year]; NaN where the day is."""
    return e.once(("of day", day, table), lambda: e.g.lookup(_in_year(e, day), _IN_YEAR, table, math.nan))


def _year(e: Emitter, day: str) -> str:
    # a year begins about 365.2425 days after the one before: at most 2 days off over all years, so the
    # beginning of the March year, divided, rounds to the year (January and February count for the next)
    in_year = _in_year(e, day)
    next_year = e.to_double(e.op("GreaterOrEqual", in_year, e.double(306)))
    march_year = e.op("Round", e.op("Div", e.op("Sub", day, in_year), e.double(365.2425)))
    return e.op("Add", march_year, next_year)


def _january(e: Emitter, year: str) -> str:
    """The day of 1 January, since 0000-03-01."""
    past = e.op("Sub", year, e.double(1))
    leaps = e.op("Sub", _floor_div(e, past, 4), _floor_div(e, past, 100))
    leaps = e.op("Add", leaps, _floor_div(e, past, 400))
    return e.op("Add", _affine(e, past, 365, 306), leaps)


def _week(e: Emitter, day: str) -> str:
    thursday = e.op("Add", e.op("Sub", day, _weekday(e, day, 2)), e.double(3))
    into = e.op("Sub", thursday, _january(e, _year(e, thursday)))
    return e.op("Add", _floor_div(e, into, 7), e.double(1))


def _weekday(e: Emitter, day: str, shift: int) -> str:
    return e.fmod(e.op("Add", day, e.double(shift)), e.double(7))


def _wall_part(e: Emitter, name: str, time: Node, zone: str) -> str:
    """A part of the wall clock; NaN where the time is null."""
    wall = _wall(e, time, zone)
    match name:
        case "second":
            return e.fmod(wall, e.double(60))
        case "minute":
            return _floor_div(e, e.fmod(wall, e.double(3_600)), 60)
        case "hour":
            return _floor_div(e, e.fmod(wall, e.double(DAY)), 3_600)
    day = _day(e, time, zone)
    match name:
        case "dayofweek":
            return _weekday(e, day, 3)
        case "isodow":
            return e.op("Add", _weekday(e, day, 2), e.double(1))
        case "week":
            return _week(e, day)
        case "year":
            return _year(e, day)
        case "dayofyear":
            return e.op("Add", e.op("Sub", day, _january(e, _year(e, day))), e.double(1))
    return _looked_up(e, {"month": _MONTHS, "day": _DAYS, "quarter": _QUARTERS}[name], day)


def _part(e: Emitter, node: Node) -> str:
    name, zone = _words(node)
    time = node.args[0]
    if name != "epoch":
        return _wall_part(e, name, time, zone)
    seconds = e.op("Div", e.to_double(e.moment(time)), e.double(1e6))
    return e.masked(seconds, e.double(math.nan), time)


def _index(e: Emitter, node: Node) -> str:
    unit, zone = _words(node)
    time = node.args[0]
    if unit in SECONDS:
        return _floor_div(e, _wall(e, time, zone), SECONDS[unit])
    if unit == "week":
        return _floor_div(e, e.op("Add", _day(e, time, zone), e.double(2)), 7)
    year = _wall_part(e, "year", time, zone)
    if unit == "year":
        return year
    times = e.op("Mul", year, e.double({"quarter": 4, "month": 12}[unit]))
    return e.op("Add", times, _wall_part(e, unit, time, zone))


def _start(e: Emitter, node: Node) -> str:
    unit, zone = _words(node)
    time = node.args[0]
    if unit in ("second", "minute", "hour"):
        # within the offset that holds at the time itself: never later than it
        into = e.fmod(_wall(e, time, zone), e.double(SECONDS[unit]))
        seconds = e.op("Sub", _seconds(e, time), into)
    else:
        seconds = _utc(e, e.op("Mul", _start_day(e, unit, _day(e, time, zone)), e.double(DAY)), zone)
    whole = e.op("Mul", e.cast(seconds, TensorProto.INT64), e.whole(1_000_000))
    micros = e.op("Sub", whole, e.whole(ZERO_MICROS))
    return e.masked(micros, e.whole(NULL_TIME), time)  # what a NaN is cast to differs by machine


def _start_day(e: Emitter, unit: str, day: str) -> str:
    if unit == "day":
        return day
    if unit == "week":
        return e.op("Sub", day, _weekday(e, day, 2))
    if unit == "month":
        return e.op("Sub", day, e.op("Sub", _looked_up(e, _DAYS, day), e.double(1)))
    january = _january(e, _year(e, day))
    if unit == "year":
        return january
    # March is the only month whose quarter began before the leap day
    march = e.op("Less", _in_year(e, day), e.double(31))
    return e.op("Where", march, january, e.op("Sub", day, _looked_up(e, _INTO_QUARTER, day)))


def _elapsed(e: Emitter, node: Node) -> str:
    first, last = node.args
    micros = e.op("Sub", e.moment(last), e.moment(first))
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
