"""The native protocol: POST /predict, GET /schema and /health, and the index."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from headrace.serve.describe import describe
from headrace.serve.desk.desk import Asked, Desk
from headrace.serve.http.endpoint import Call, Endpoint, Refused, Reply, json_reply
from headrace.serve.live import Served
from headrace.serve.why import TOP

MOST_EXPLAINED = 100
"""Rows of a request whose answers are explained: each takes thousands of answers."""


def native(desk: Desk) -> list[Endpoint]:
    """The endpoints."""
    schemas: dict[str, bytes] = {}

    def champion() -> Served:
        scene = desk.live.scene
        return scene.served[scene.champion]

    async def predict(call: Call) -> Reply:
        served = champion()
        columns = {*served.answerer.types, *served.manifest.serving.unused}
        value, explain = _explain_of(call.json(), call.query, columns)
        rows, many = _rows_of(value, served.answerer.types, served.manifest.plan.rows)
        if explain and len(rows) > MOST_EXPLAINED:
            what = f"{len(rows):,} rows to explain in one request"
            raise Refused(413, what, fix=f"send at most {MOST_EXPLAINED:,}")
        asked = Asked(call.started, release=call.query.get("release", ""), explain=explain)
        answers = await desk.answer(rows, asked)
        return json_reply({"predictions": answers} if many else answers[0])

    def schema(_: Call) -> Reply:
        served = champion()
        if served.release not in schemas:
            schemas.clear()
            schemas[served.release] = msgspec.json.encode(describe(served.manifest, served.release))
        return Reply(schemas[served.release])

    def health(_: Call) -> Reply:
        return json_reply({"status": "ok", "release": desk.live.scene.champion})

    return [
        Endpoint(
            "POST",
            "/predict",
            predict,
            "predictions for one row (an object) or many (a list of objects); with ?explain=5 why",
        ),
        Endpoint("GET", "/schema", schema, "the columns to send, with types and ranges, and what comes back"),
        Endpoint("GET", "/health", health, "whether this process answers, and with which release", role=""),
    ]


def index(desk: Desk, there: Callable[[], Collection[Endpoint]]) -> Endpoint:
    """GET /: what there is."""

    def show(_: Call) -> Reply:
        scene = desk.live.scene
        return json_reply(
            {
                "release": scene.champion,
                "project": scene.served[scene.champion].manifest.project,
                "paths": {f"{e.method} {e.path}": e.about for e in there() if not e.hidden},
            }
        )

    return Endpoint("GET", "/", show, "what there is", role="", hidden=True)


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
        raise Refused(422, "`explain` is true, false, or how many contributions to name", where="explain")
    return value, asked


def _rows_of(value: Any, columns: Collection[str], most: int) -> tuple[list[Any], bool]:
    """One row (an object), or many (a list of objects, or an object with `rows` alone)."""
    if isinstance(value, dict) and set(value) == {"rows"} and "rows" not in columns:
        value = value["rows"]
        if not isinstance(value, list):
            raise Refused(422, "`rows` has to be a list of objects", where="rows")
    if isinstance(value, dict):
        return [value], False
    if not isinstance(value, list):
        raise Refused(422, "send one row as an object, or many as a list of objects")
    if len(value) > most:
        raise Refused(413, f"{len(value):,} rows in one request", fix=f"send at most {most:,}")
    return value, True
