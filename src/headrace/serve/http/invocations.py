"""MLflow's scoring protocol: POST /invocations, GET /ping and /version.

Follows mlflow 3's `pyfunc/scoring_server`: JSON with one of dataframe_split, dataframe_records, instances and
inputs (and `params` beside it), or CSV as `DataFrame.to_csv` writes it, whose fields mean
what they mean at ingest. A NaN is null, as pandas means it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from headrace._version import __version__
from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.schema import CSV_NULLS, Type
from headrace.serve.cells import NUMBER
from headrace.serve.desk.desk import Desk
from headrace.serve.http.asking import Reading, asked_of, champion, python_json, rows_of
from headrace.serve.http.endpoint import Call, Endpoint, Refused, Reply, json_reply
from headrace.serve.http.health import Health

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
PARAMS = ("route", "release", "explain")
_Asked = tuple[list[Any], Mapping[str, Any]]
"""Rows and params."""
_NUMBER = re.compile(NUMBER, re.ASCII)
_TRUTHS = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}

_RECORDS = {"$ref": "#/components/schemas/RowList"}
_CELLS = {"type": "array", "items": {"type": "array"}}
_COLUMNS = {"type": "object", "description": "Lists of values by column, or one value each."}
_SPLIT = {
    "type": "object",
    "properties": {
        "columns": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "data": _CELLS,
        "index": {"type": "array"},
    },
    "required": ["columns", "data"],
    "additionalProperties": False,
}
_PARAMS = {
    "type": ["object", "null"],
    "properties": {
        "route": {"type": "string"},
        "release": {"type": "string"},
        "explain": {"type": ["boolean", "integer", "null"], "minimum": 0},
    },
    "additionalProperties": False,
}
_INVOKE = {
    "description": "Exactly one of the four members beside `params`. A bare NaN is taken for null.",
    "body": {
        "application/json": {
            "type": "object",
            "properties": {
                "dataframe_split": _SPLIT,
                "dataframe_records": _RECORDS,
                "instances": {"anyOf": [_RECORDS, _CELLS, _COLUMNS]},
                "inputs": {"anyOf": [_RECORDS, _CELLS, _COLUMNS]},
                "params": _PARAMS,
            },
            "oneOf": [{"required": [form]} for form in FORMATS],
            "additionalProperties": False,
        },
        "text/csv": {"type": "string", "description": "A header of columns, and a line for each row."},
    },
    "answers": {"200": "Answers"},
}
_PING = {"answers": {"200": {"type": "object"}}}
_VERSION = {"answers": {"200": {"text/plain": {"type": "string"}}}}


def invocations(desk: Desk, health: Health) -> list[Endpoint]:
    """The endpoints."""
    reading = Reading()

    async def invoke(call: Call) -> Reply:
        served = champion(desk)
        types = served.answerer.types
        work: Callable[[], _Asked]
        if _media(call) == "text/csv":
            nulls = {*CSV_NULLS, *served.manifest.serving.nulls}
            work = partial(_csv_rows, call.body, types, nulls, served.manifest.plan.rows)
        else:
            work = partial(_json_rows, call, tuple(types))
        rows, params = await reading.read(call.body, work)
        asked = asked_of(
            desk,
            call,
            len(rows),
            route=params.get("route", ""),
            release=params.get("release", ""),
            explain=params.get("explain"),
        )
        return json_reply({"predictions": await desk.answer(rows, asked)})

    def ping(_: Call) -> Reply:
        missing = health.missing()
        if missing:
            raise Refused(503, missing[0], headers={"Retry-After": "1"})
        return json_reply({"status": "ok"})

    def version(_: Call) -> Reply:
        return Reply(f"headrace {__version__}".encode(), media=b"text/plain; charset=utf-8")

    return [
        Endpoint(
            "POST", "/invocations", invoke, "predictions, as MLflow's scoring server gives them", doc=_INVOKE
        ),
        Endpoint("GET", "/ping", ping, "whether it can take traffic, as MLflow asks", role="", doc=_PING),
        Endpoint("GET", "/version", version, "the server's version, as MLflow asks", role="", doc=_VERSION),
    ]


def _media(call: Call) -> str:
    """The body's media type.

    Raises:
        Refused: 415, neither JSON nor CSV, or not in UTF-8.
    """
    told = call.headers.get(b"content-type", b"application/json").decode("latin-1")
    media, *parameters = [p.strip().lower() for p in told.split(";")]
    fix = "send application/json or text/csv, in UTF-8"
    if media not in ("application/json", "text/csv"):
        raise Refused(415, f"the body is of {media or 'no type'}", where="Content-Type", fix=fix)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name and (name.strip() != "charset" or value.strip(' "') not in ("utf-8", "utf8")):
            raise Refused(415, f"{parameter} is not supported", where="Content-Type", fix=fix)
    return media


def _json_rows(call: Call, names: Sequence[str]) -> _Asked:
    """Rows and params of a JSON body."""
    body = python_json(call)
    told = [f for f in FORMATS if isinstance(body, dict) and f in body]
    if len(told) != 1:
        raise Refused(422, f"the body is an object with exactly one of {', '.join(FORMATS)}")
    form = told[0]
    params = {} if body.get("params") is None else body["params"]
    problems = [
        Problem("unknown field", name, fix=did_you_mean(name, (*FORMATS, "params")))
        for name in body
        if name not in (form, "params")
    ]
    if isinstance(params, dict):
        problems += [
            Problem("unknown parameter", f"params.{name}", fix=did_you_mean(name, PARAMS))
            for name in params
            if name not in PARAMS
        ]
    else:
        problems.append(Problem("`params` has to be an object", "params"))
    if problems:
        raise DataError.of(problems)
    given = body[form]
    if form == "dataframe_split":
        return _split_rows(given), params
    if form == "dataframe_records":
        return _listed(given, form), params
    if isinstance(given, dict):
        return _column_rows(given, form), params
    rows = _listed(given, form)
    if rows and all(isinstance(row, list) for row in rows):
        return _placed(rows, names, form), params
    return rows, params


def _listed(given: Any, form: str) -> list[Any]:
    if not isinstance(given, list):
        raise Refused(422, f"`{form}` has to be a list of objects", where=form)
    return given


def _split_rows(given: Any) -> list[dict[str, Any]]:
    where = "dataframe_split"
    if not isinstance(given, dict) or set(given) - {"index"} != {"columns", "data"}:
        raise Refused(422, "it is an object of columns and data (and index)", where=where)
    columns, data = given["columns"], given["data"]
    if not isinstance(columns, list) or not all(isinstance(c, str) for c in columns):
        raise Refused(422, "columns are a list of names", where=f"{where}.columns")
    if len(set(columns)) < len(columns):
        raise Refused(422, "a column is there twice", where=f"{where}.columns")
    return _placed(_listed(data, f"{where}.data"), columns, f"{where}.data")


def _placed(rows: Sequence[Any], names: Sequence[str], where: str) -> list[dict[str, Any]]:
    """Rows of values in the order of `names`."""
    problems = [
        Problem(
            f"a row is a list of {len(names)} values",
            f"{where}[{i}]",
            fix=f"in the order {', '.join(names[:12])}{', …' if len(names) > 12 else ''}",
        )
        for i, row in enumerate(rows)
        if not isinstance(row, list) or len(row) != len(names)
    ]
    if problems:
        raise DataError.of(problems[:100])
    return [dict(zip(names, row, strict=True)) for row in rows]


def _column_rows(given: Mapping[str, Any], form: str) -> list[dict[str, Any]]:
    """Values by column: a list each, or one value each."""
    if not any(isinstance(v, list) for v in given.values()):
        return [dict(given)]
    counts = {n: len(v) if isinstance(v, list) else -1 for n, v in given.items()}
    most = max(counts.values())
    problems = [
        Problem(f"a list of {most:,} values is wanted, as of the others", f"{form}.{n}")
        for n, count in counts.items()
        if count != most
    ]
    if problems:
        raise DataError.of(problems)
    return rows_of(given, most)


def _csv_rows(body: bytes, types: Mapping[str, Type], nulls: Collection[str], most: int) -> _Asked:
    """Rows of a CSV file with a header, which is read no further than to the row beyond `most`. Fields among
    `nulls` are null, as at ingest; a first column without a name is pandas' index and left out."""
    try:
        text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8", newline="")
        lines = csv.reader(text, strict=True)
        header, *cells = [*islice((line for line in lines if line), most + 2)] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(400, f"the body is no CSV: {error}") from None
    if not header:
        raise Refused(422, "the file is empty", fix="send a header, and a line a row")
    if types.keys().isdisjoint(header):
        raise Refused(422, "no column of the release is in the header", where="line 1")
    if len(set(header)) < len(header):
        raise Refused(422, "a column is there twice", where="line 1")
    if len(cells) > most:
        raise Refused(413, f"more than {most:,} rows in one request", fix=f"send at most {most:,}")
    rows = [
        {n: _cell(v, types.get(n), nulls) for n, v in row.items() if n}
        for row in _placed(cells, header, "rows")
    ]
    return rows, {}


def _cell(text: str, kind: Type | None, nulls: Collection[str]) -> Any:
    """A field as the column's type; as text where it can't be, so that the row's mistake is named."""
    if text in nulls:
        return None
    if kind is Type.BOOL:
        return _TRUTHS.get(text, text)
    if kind is not Type.NUMBER or not _NUMBER.fullmatch(text):
        return text
    value = int(text) if text.lstrip("+-").isdecimal() and len(text) < 300 else float(text)
    if value != value:
        return None
    return text if value in (float("inf"), float("-inf")) else value
