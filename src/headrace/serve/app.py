"""HTTP over one release: POST /predict, GET /schema, GET /health. Thin: routes and policies come later."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.codec import to_json, to_plain
from headrace.core.errors import DataError, Problem
from headrace.core.ports import Store
from headrace.release.manifest import Manifest, Serving
from headrace.serve.answer import Answerer

MOST_ROWS = 10_000
MOST_BYTES = 32 << 20


def make_app(store: Store, manifest: Manifest, release: str) -> Starlette:
    """The application that answers for one release. Loads its graph and lookup tables once, here.

    Bad input gets a 400 or 422 whose `errors` name each field; too much of it a 413; nothing else is sent.
    """
    answerer = Answerer(store, manifest.serving, release)
    schema = to_json(describe(manifest, release))

    async def predict(request: Request) -> Response:
        rows, many = _rows_of(await _body(request))
        answers = await run_in_threadpool(answerer.answer, rows)
        return _json({"predictions": answers} if many else answers[0])

    async def show_schema(request: Request) -> Response:
        del request
        return Response(schema, media_type="application/json")

    async def health(request: Request) -> Response:
        del request
        return _json({"status": "ok", "release": release})

    return Starlette(
        routes=[
            Route("/predict", predict, methods=["POST"]),
            Route("/schema", show_schema),
            Route("/health", health),
        ],
        exception_handlers={DataError: _bad_input, HTTPException: _http_error},
    )


def describe(manifest: Manifest, release: str) -> dict[str, Any]:
    """The release's input and output, for callers: what to send, and in which ranges it was seen."""
    serving = manifest.serving
    return {
        "release": release,
        "project": manifest.project,
        "target": manifest.target,
        "task": serving.task.kind.value,
        "classes": list(serving.task.classes),
        "threshold": serving.threshold,
        "zone": serving.zone,
        "fields": [_field(serving, name) for name in serving.event_types()],
        "lookups": [
            {"table": t.table, "key": list(t.key), "columns": list(t.columns)} for t in serving.lookups
        ],
        "ignored": list(serving.unused),
    }


def _field(serving: Serving, name: str) -> dict[str, Any]:
    known = {f.name: to_plain(f) for f in serving.fields}
    kind = serving.event_types()[name]
    return {
        "name": name,
        "type": kind.value,
        **{k: v for k, v in known.get(name, {}).items() if k != "source"},
    }


async def _body(request: Request) -> bytes:
    """The body, read no further than is taken."""
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BYTES:
            raise HTTPException(
                413, f"the request has more than {MOST_BYTES >> 20} MB; send fewer rows at once"
            )
        parts.append(chunk)
    return b"".join(parts)


def _rows_of(body: bytes) -> tuple[list[Any], bool]:
    """One row (an object), or many (a list of objects, or an object with `rows`)."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, f"the body is no JSON: {error}") from None
    if isinstance(value, dict) and set(value) == {"rows"}:
        value = value["rows"]
        if not isinstance(value, list):
            raise HTTPException(422, "`rows` has to be a list of objects")
    if isinstance(value, dict):
        return [value], False
    if not isinstance(value, list):
        raise HTTPException(422, "send one row as an object, or many as a list of objects")
    if len(value) > MOST_ROWS:
        raise HTTPException(413, f"{len(value):,} rows in one request; send at most {MOST_ROWS:,}")
    return value, True


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


async def _bad_input(request: Request, error: Exception) -> Response:
    del request
    problems = error.problems if isinstance(error, DataError) else (Problem(str(error)),)
    return _json({"errors": [to_plain(p) for p in problems]}, 422)


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, HTTPException):
        raise error
    fix = {404: "POST /predict, GET /schema and GET /health are what there is"}.get(error.status_code, "")
    response = _json({"errors": [to_plain(Problem(str(error.detail), fix=fix))]}, error.status_code)
    response.headers.update(error.headers or {})
    return response
