"""HTTP over one release: POST /predict and /events, GET /schema, /online and /health."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.clock import Clock, system_clock
from headrace.core.codec import to_plain
from headrace.core.errors import DataError, Problem, UserCodeError
from headrace.core.ports import OnlineStore, Store
from headrace.release.manifest import Manifest
from headrace.serve.answer import Answerer, secret_of
from headrace.serve.describe import describe
from headrace.serve.intake import Intake, treated_of
from headrace.serve.online import Online
from headrace.serve.why import TOP

MOST_ROWS = 10_000
MOST_EXPLAINED = 100
"""Rows of a request whose answers are explained: each takes thousands of answers."""
MOST_BYTES = 32 << 20
FEW_ROWS = 8
"""Up to so many rows are answered at once: handing them to a thread would take longer than answering."""

PATHS = {
    "POST /predict": "predictions for one row (an object) or many (a list of objects); with ?explain=5 why",
    "POST /events": "facts as they become known: {table, rows}, or a list of such",
    "GET /online": "which tables are looked up in the online store, and how new their facts are",
    "GET /schema": "the columns to send, with types and ranges, and what comes back",
    "GET /health": "whether this process answers, and with which release",
}


def make_app(
    store: Store,
    manifest: Manifest,
    release: str,
    online: OnlineStore | None = None,
    clock: Clock = system_clock,
) -> Starlette:
    """The application that answers for one release. Loads its graph and lookup tables once, here.

    With `online` it takes facts, and looks up there what of the release was materialised; facts that another
    process took before are seen to first.

    Every error is a JSON object `{"errors": [{what, where, why, fix}, ...]}`: 400 for what is no JSON, 422
    for rows that don't fit (each field is named), 413 for too much, 404 and 405 for other paths and methods,
    500 for a function of the release's owner that raised (it and the row are named) and for our own mistakes
    (what was raised goes to the server's log, not to the caller).
    """
    live = None if online is None else Online(online, manifest.serving, clock)
    intake = None
    if live is not None:
        secret = secret_of(treated_of(manifest.serving, live.feeds), manifest.serving.pii_key)
        intake = Intake(store, live.store, manifest.serving, live.feeds, secret)
        intake.catch_up()
    answerer = Answerer(store, manifest.serving, release, online=live)
    answerer.warm()
    known = {*answerer.types, *manifest.serving.unused}
    schema = msgspec.json.encode(describe(manifest, release))
    about = msgspec.json.encode({"release": release, "project": manifest.project, "paths": PATHS})

    async def predict(request: Request) -> Response:
        value, explain = _explain_of(_decoded(await _body(request)), request.query_params, known)
        rows, many = _rows_of(value, answerer.types)
        if explain and len(rows) > MOST_EXPLAINED:
            raise HTTPException(
                413, f"{len(rows):,} rows to explain in one request; send at most {MOST_EXPLAINED:,}"
            )
        if len(rows) <= FEW_ROWS and not explain:
            answers = answerer.answer(rows)
        else:
            answers = await run_in_threadpool(partial(answerer.answer, rows, explain=explain))
        return _json({"predictions": answers} if many else answers[0])

    async def events(request: Request) -> Response:
        body = _decoded(await _body(request))
        if intake is None or live is None or not live.feeds:
            raise HTTPException(409, "this server has no online store to keep facts in")
        taken = await run_in_threadpool(intake.take, body)
        return _json(taken.plain(), 422 if taken.problems and not (taken.new or taken.known) else 200)

    async def show_online(request: Request) -> Response:
        del request
        return _json(None if live is None else await run_in_threadpool(live.describe))

    async def index(request: Request) -> Response:
        del request
        return Response(about, media_type="application/json")

    async def show_schema(request: Request) -> Response:
        del request
        return Response(schema, media_type="application/json")

    async def health(request: Request) -> Response:
        del request
        return _json({"status": "ok", "release": release})

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/predict", predict, methods=["POST"]),
            Route("/events", events, methods=["POST"]),
            Route("/online", show_online),
            Route("/schema", show_schema),
            Route("/health", health),
        ],
        exception_handlers={
            DataError: _bad_input,
            UserCodeError: _their_fault,
            HTTPException: _http_error,
            Exception: _our_fault,
        },
    )
    app.state.lookups = "" if live is None else live.told()
    return app


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


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"the body is no JSON: {error}") from None


def _explain_of(value: Any, query: Mapping[str, str], columns: Collection[str]) -> tuple[Any, int]:
    """The body without `explain`, and how many contributions are wanted. A column of that name is a column:
    then the query alone can ask. The body's word counts where both say something."""
    asked: Any = None
    if "explain" in query:
        asked = {"": True, "true": True, "false": False}.get(query["explain"].lower(), query["explain"])
        if isinstance(asked, str) and asked.isascii() and asked.isdigit():
            asked = int(asked[:9])
    if isinstance(value, dict) and "explain" in value and "explain" not in columns:
        value = dict(value)
        asked = value.pop("explain")
    if asked is None or asked is False:
        return value, 0
    if asked is True:
        return value, TOP
    if not isinstance(asked, int) or asked < 0:
        raise HTTPException(422, "`explain` is true, false, or how many contributions to name")
    return value, asked


def _rows_of(value: Any, columns: Collection[str]) -> tuple[list[Any], bool]:
    """One row (an object), or many (a list of objects, or an object with `rows` alone)."""
    if isinstance(value, dict) and set(value) == {"rows"} and "rows" not in columns:
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


def _errors(problems: Collection[Problem], status: int) -> Response:
    return _json({"errors": [to_plain(p) for p in problems]}, status)


async def _bad_input(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, DataError):
        raise error
    return _errors(error.problems, 422)


async def _their_fault(request: Request, error: Exception) -> Response:
    """A function of the release's owner raised: which, and for which row."""
    del request
    if not isinstance(error, UserCodeError):
        raise error
    return _errors(error.problems, 500)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    where, fix = "", ""
    if error.status_code == 409:
        fix = "run `headrace materialize`, and start the server again"
    if error.status_code in (404, 405):
        where, fix = request.url.path, f"there are {', '.join(PATHS)}"
    response = _errors([Problem(str(error.detail), where=where, fix=fix)], error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _our_fault(request: Request, error: Exception) -> Response:
    # Starlette raises the error again once this is sent, so that the server logs it.
    del request, error
    return _errors([Problem("the release could not answer", fix="the server's log says why")], 500)
