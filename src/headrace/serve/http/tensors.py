"""Tensors of the Open Inference Protocol: columns out of them, answers into them; as JSON or as bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.schema import Type
from headrace.core.spelled import spelled
from headrace.core.task import Kind, labels
from headrace.graph.rows import sort_of
from headrace.release.manifest import Serving

BINARY = "binary_data_size"
NULLS = ".null"
"""An input of a column's name and this ending says by BOOL which of its values are null."""

_FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
_WHOLES = {f"{sign}INT{8 * n}": f"<{sign[:1].lower() or 'i'}{n}" for sign in ("", "U") for n in (1, 2, 4, 8)}
DATATYPES = (*_FLOATS, *_WHOLES, "BOOL", "BYTES")
_TENSOR = {Type.NUMBER: "FP64", Type.BOOL: "BOOL", Type.TEXT: "BYTES", Type.TIME: "BYTES"}
_LENGTH = struct.Struct("<I")
_ELSEWHERE = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset", "classification")


def inputs_of(types: Mapping[str, Type]) -> list[dict[str, Any]]:
    """The metadata of the tensors to send."""
    return [{"name": n, "datatype": _TENSOR[kind], "shape": [-1]} for n, kind in types.items()]


def outputs_of(serving: Serving) -> list[dict[str, Any]]:
    """The metadata of the tensors that come back."""
    return [
        {"name": o.name, "datatype": o.datatype, "shape": [-1, *o.width]} for o in _outputs(serving).values()
    ]


def columns_of(inputs: Sequence[Any], tail: bytes) -> tuple[dict[str, list[Any]], int]:
    """Columns by name, and how many rows there are. `tail`: the bytes after the request object.

    Raises:
        DataError: every tensor that is none, and bytes that belong to no tensor.
    """
    problems: list[Problem] = []
    found: dict[str, list[Any]] = {}
    at = 0
    for i, tensor in enumerate(inputs):
        name = tensor.get("name") if isinstance(tensor, dict) else None
        where = f"inputs[{i}]" if not isinstance(name, str) else f"inputs.{name}"
        try:
            size = _size(tensor, len(tail) - at)
            values = _values(tensor, None if size is None else tail[at : at + size])
            at += size or 0
        except _Wrong as wrong:
            problems.append(Problem(wrong.what, where + wrong.below, fix=wrong.fix))
            if wrong.last:
                break
            continue
        if name in found:
            problems.append(Problem("there are two tensors of this name", where))
        found[str(name)] = values
    counts = sorted({len(v) for v in found.values()})
    if not problems and at < len(tail):
        problems.append(
            Problem(f"{len(tail) - at:,} bytes belong to no tensor", "inputs", fix=f"say {BINARY}")
        )
    if not problems and len(counts) > 1:
        problems.append(Problem(f"tensors have {counts[0]:,} and {counts[-1]:,} rows", "inputs"))
    problems += _masked(found) if not problems else []
    if problems:
        raise DataError.of(problems)
    return found, counts[0] if counts else 0


@dataclass(frozen=True)
class Output:
    """A tensor that comes back: width beyond the rows, and its value of an answer. rare: few answers have
    it."""

    name: str
    datatype: str
    of: Callable[[Mapping[str, Any]], Any]
    width: tuple[int, ...] = ()
    rare: bool = False


@dataclass(frozen=True)
class Chosen:
    """A tensor that is to come back, as bytes or as JSON. asked: it was asked for by its name; else one that
    few answers have comes only where one has it."""

    output: Output
    as_bytes: bool
    asked: bool


def chosen_of(serving: Serving, wanted: Sequence[Any] | None, *, binary: bool) -> list[Chosen]:
    """The tensors that a request wants back. binary: as bytes come all that say nothing else.

    Raises:
        DataError: an output that there is none of.
    """
    there = _outputs(serving)
    return (
        [Chosen(o, binary, False) for o in there.values()]
        if wanted is None
        else _chosen(there, wanted, binary)
    )


def tensors_of(
    chosen: Sequence[Chosen], answers: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Output tensors, and the bytes of those that come as bytes.

    A tensor that has a null comes as JSON where its datatype has no null among its bytes.
    """
    tensors, blobs = [], []
    for choice in chosen:
        output = choice.output
        if output.rare and not choice.asked and not any(output.name in a for a in answers):
            continue
        values = [output.of(a) for a in answers]
        tensor: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": [len(values), *output.width],
        }
        flat = [v for row in values for v in row] if output.width else values
        blob = _packed(output.datatype, flat) if choice.as_bytes else None
        if blob is None:
            tensor["data"] = flat
        else:
            tensor["parameters"] = {BINARY: len(blob)}
            blobs.append(blob)
        tensors.append(tensor)
    return tensors, blobs


def _outputs(serving: Serving) -> dict[str, Output]:
    classes = labels(serving.task)
    names = [spelled(c) for c in classes]
    many = (len(classes),)
    found = [Output("prediction", _datatype(classes), lambda a: a.get("prediction"))]
    if serving.task.kind is Kind.MULTICLASS:
        found.append(Output("probability", "FP64", lambda a: _by(a.get("probability"), names), many))
    elif classes:
        found.append(Output("probability", "FP64", lambda a: a.get("probability")))
    if serving.sureness is not None and not classes:
        found += [Output("lower", "FP64", lambda a: a.get("lower"))]
        found += [Output("upper", "FP64", lambda a: a.get("upper"))]
    elif serving.sureness is not None:
        found.append(Output("set", "BOOL", lambda a: [c in (a.get("set") or classes) for c in classes], many))
        if serving.sureness.abstain:
            found.append(Output("abstain", "BOOL", lambda a: bool(a.get("abstain"))))
    found += [Output(n, "BYTES", _text_of(n)) for n in ("id", "release", "route", "arm", "by")]
    found += [Output(n, "BOOL", _truth_of(n)) for n in ("fallback", "review")]
    found.append(Output("flags", "BYTES", lambda a: "; ".join(a.get("flags") or ())))
    found.append(Output("overruled", _datatype(classes), lambda a: a.get("overruled"), rare=True))
    found += [Output(n, "BYTES", _json_of(n), rare=True) for n in ("features", "why")]
    return {o.name: o for o in found}


def _datatype(classes: Sequence[Any]) -> str:
    if classes and all(isinstance(c, bool) for c in classes):
        return "BOOL"
    if any(isinstance(c, str) for c in classes):
        return "BYTES"
    return "INT64" if classes and all(isinstance(c, int) for c in classes) else "FP64"


def _by(probability: Any, names: Sequence[str]) -> list[float | None]:
    given = probability if isinstance(probability, dict) else {}
    return [given.get(n) for n in names]


def _text_of(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda a: str(a.get(name) or "")


def _truth_of(name: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda a: bool(a.get(name))


def _json_of(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda a: msgspec.json.encode(a[name]).decode() if name in a else ""


def _chosen(there: Mapping[str, Output], wanted: Sequence[Any], binary: bool) -> list[Chosen]:
    chosen, problems = [], []
    for i, want in enumerate(wanted):
        name = want.get("name") if isinstance(want, dict) else None
        parameters = want.get("parameters", {}) if isinstance(want, dict) else {}
        if not isinstance(name, str) or name not in there:
            told = "there is no such output" if isinstance(name, str) else "an output is {name}"
            problems.append(Problem(told, f"outputs[{i}]", fix=did_you_mean(str(name), there)))
        elif not isinstance(parameters, dict) or (odd := _elsewhere(parameters)):
            what = f"{odd} is not supported" if isinstance(parameters, dict) else "parameters are an object"
            problems.append(Problem(what, f"outputs.{name}.parameters"))
        else:
            chosen.append(Chosen(there[name], parameters.get("binary_data", binary) is True, True))
    if problems:
        raise DataError.of(problems)
    return chosen


class _Wrong(Exception):
    """A tensor that is none. below: which part of it; last: what comes after it can't be read."""

    def __init__(self, what: str, below: str = "", fix: str = "", *, last: bool = False) -> None:
        super().__init__(what)
        self.what, self.below, self.fix, self.last = what, below, fix, last


def _size(tensor: Any, left: int) -> int | None:
    """How many bytes of the tail are the tensor's; None: its data stand in it."""
    if not isinstance(tensor, dict):
        raise _Wrong("a tensor is an object", fix="send {name, shape, datatype, data}", last=True)
    parameters = tensor.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _Wrong("`parameters` has to be an object", ".parameters", last=True)
    if odd := _elsewhere(parameters):
        raise _Wrong(f"{odd} is not supported", ".parameters", fix="send the data in the request", last=True)
    size = parameters.get(BINARY)
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= left:
        what = f"it is no number of bytes up to the {left:,} that are left"
        raise _Wrong(what, f".parameters.{BINARY}", last=True)
    return size


def _elsewhere(parameters: Mapping[str, Any]) -> str:
    return next((p for p in _ELSEWHERE if p in parameters), "")


def _values(tensor: Mapping[str, Any], blob: bytes | None) -> list[Any]:
    if not isinstance(tensor.get("name"), str):
        raise _Wrong("a tensor has a name", ".name")
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    if datatype not in DATATYPES:
        raise _Wrong("there is no such datatype", ".datatype", fix=f"choose from: {', '.join(DATATYPES)}")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise _Wrong("a shape is a list of whole numbers", ".shape")
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise _Wrong("a column is of shape [rows] or [rows, 1]", ".shape")
    if blob is not None and tensor.get("data") is not None:
        raise _Wrong(f"data are there and {BINARY} too", ".data")
    values = _listed(datatype, tensor.get("data")) if blob is None else _unpacked(datatype, blob)
    if len(values) != shape[0]:
        raise _Wrong(f"the shape says {shape[0]:,} values, there are {len(values):,}", ".shape")
    return values


def _listed(datatype: str, data: Any) -> list[Any]:
    """Values of JSON, flat or nested; null is null."""
    if not isinstance(data, list):
        raise _Wrong("data are a list", ".data", fix=f"send it, or {BINARY}")
    values = [v for row in data for v in (row if isinstance(row, list) else [row])]
    fits = _FITS[datatype if datatype in ("BOOL", "BYTES") else datatype[:1]]
    for i, value in enumerate(values):
        if value is not None and not fits(value):
            raise _Wrong(f"expected {datatype}, found {sort_of(value)}", f".data[{i}]")
    return values


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_float(value: Any) -> bool:
    return type(value) is float or type(value) is int


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "BOOL": lambda v: type(v) is bool,
    "BYTES": lambda v: type(v) is str,
    "F": _is_float,
    "I": _is_whole,
    "U": _is_whole,
}


def _unpacked(datatype: str, blob: bytes) -> list[Any]:
    """Values of bytes: little-endian, one after the other; a NaN is null."""
    if datatype == "BYTES":
        return list(_texts(blob))
    if datatype == "BOOL":
        if blob.strip(b"\x00\x01"):
            raise _Wrong("a BOOL is a byte of 0 or 1", ".data")
        return [b == 1 for b in blob]
    kind = np.dtype(_FLOATS.get(datatype) or _WHOLES[datatype])
    if len(blob) % kind.itemsize:
        raise _Wrong(f"{len(blob):,} bytes are no values of {kind.itemsize} bytes", ".data")
    array = np.frombuffer(blob, kind)
    values: list[Any] = array.tolist()
    if kind.kind == "f" and not np.isfinite(array).all():
        at = int(np.argmax(np.isinf(array)))
        if math.isinf(values[at]):
            raise _Wrong("infinity is no value of a column", f".data[{at}]", fix="send NaN for null")
        values = [None if v != v else v for v in values]
    return values


def _texts(blob: bytes) -> Iterator[str]:
    at, count = 0, 0
    while at < len(blob):
        end = at + 4 + (_LENGTH.unpack_from(blob, at)[0] if at + 4 <= len(blob) else len(blob))
        if end > len(blob):
            raise _Wrong("its bytes end within a value", f".data[{count}]")
        try:
            yield blob[at + 4 : end].decode()
        except UnicodeDecodeError:
            raise _Wrong("the bytes are no UTF-8", f".data[{count}]") from None
        at, count = end, count + 1


def _masked(found: dict[str, list[Any]]) -> list[Problem]:
    """Put nulls where masks say so, and take the masks away. A mask of no column stays, as a column."""
    problems = []
    for name in [n for n in found if n.endswith(NULLS) and n.removesuffix(NULLS) in found]:
        column = name.removesuffix(NULLS)
        if column not in found:  # it was a mask itself, and is gone
            continue
        mask = found.pop(name)
        if not all(type(m) is bool for m in mask):
            problems.append(Problem("a mask of nulls is of BOOL", f"inputs.{name}"))
        elif len(mask) == len(found[column]):
            found[column] = [None if m else v for m, v in zip(mask, found[column], strict=True)]
    return problems


def _packed(datatype: str, values: Sequence[Any]) -> bytes | None:
    """Values as bytes; None where a null can't be told so, or a value (a fallback's) is of another kind."""
    if datatype in _FLOATS:
        if not all(v is None or _is_float(v) for v in values):
            return None
        return np.array([math.nan if v is None else v for v in values], _FLOATS[datatype]).tobytes()
    kinds: Collection[type] = {"BOOL": (bool,), "BYTES": (str,)}.get(datatype, (int,))
    if not all(type(v) in kinds for v in values):
        return None
    if datatype == "BOOL":
        return bytes(values)
    if datatype == "BYTES":
        parts = [v.encode("utf-8", "surrogatepass") for v in values]
        return b"".join(piece for p in parts for piece in (_LENGTH.pack(len(p)), p))
    return np.array(values, _WHOLES[datatype]).tobytes()
