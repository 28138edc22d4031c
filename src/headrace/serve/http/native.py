"""The native protocol: POST /predict and GET /schema, and the index."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from headrace.serve.describe import describe
from headrace.serve.desk.desk import Desk
from headrace.serve.http.asking import LARGE, asked_of, champion, sliced_json, told_in_slices
from headrace.serve.http.endpoint import KNOWN, Call, Endpoint, Refused, Reply, json_reply

_ANY_ROWS = [{"$ref": f"#/components/schemas/{n}"} for n in ("Row", "RowList", "Rows")]
_ANY_ANSWERS = [{"$ref": f"#/components/schemas/{n}"} for n in ("Answer", "Answers")]
_PREDICT = {
    "description": "One row gives one answer; a list, or an object with `rows` alone, gives `predictions`.",
    "query": {
        "explain": {
            "description": "How many contributions each answer names (true: five).",
            "schema": {"type": "string", "pattern": "^(true|false|[0-9]{1,9})$"},
        },
        "route": {"description": "The route that answers.", "schema": {"type": "string"}},
        "release": {
            "description": "The release that answers, whatever the route says. For operators.",
            "schema": {"type": "string"},
        },
    },
    "body": {"application/json": {"anyOf": _ANY_ROWS}},
    "answers": {"200": {"anyOf": _ANY_ANSWERS}},
}


def native(desk: Desk) -> list[Endpoint]:
    """The endpoints."""
    schemas: dict[str, bytes] = {}

    async def predict(call: Call) -> Reply:
        served = champion(desk)
        types = served.answerer.types
        sent = call.json() if len(call.body) < LARGE else await sliced_json(desk, call)
        value, explain = _explain_of(sent, types, served.manifest.serving.unused)
        rows, many = _rows_of(value, types)
        query = call.query
        asked = asked_of(
            desk,
            call,
            len(rows),
            route=query.get("route", ""),
            release=query.get("release", ""),
            explain=explain,
        )
        answers = await desk.answer(rows, asked)
        return await told_in_slices("predictions", answers) if many else json_reply(answers[0])

    def schema(_: Call) -> Reply:
        served = champion(desk)
        if served.release not in schemas:
            schemas.clear()
            schemas[served.release] = msgspec.json.encode(describe(served.manifest, served.release))
        return Reply(schemas[served.release])

    return [
        Endpoint(
            "POST",
            "/predict",
            predict,
            "predictions for one row (an object) or many (a list of objects); with ?explain=5 why",
            doc=_PREDICT,
        ),
        Endpoint(
            "GET",
            "/schema",
            schema,
            "the columns to send, with types and ranges, and what comes back",
            role=KNOWN,
            doc={"answers": {"200": {"type": "object"}}},
        ),
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


def _explain_of(value: Any, *columns: Collection[str]) -> tuple[Any, Any]:
    """The body without `explain`, and what it says (None: nothing). A column of that name is a column: then
    the query alone can ask. The body's word counts where both say something."""
    if isinstance(value, dict) and "explain" in value and not any("explain" in c for c in columns):
        value = dict(value)
        return value, value.pop("explain")
    return value, None


def _rows_of(value: Any, columns: Collection[str]) -> tuple[list[Any], bool]:
    """One row (an object), or many (a list of objects, or an object with `rows` alone)."""
    if isinstance(value, dict):
        if len(value) != 1 or "rows" not in value or "rows" in columns:
            return [value], False
        value = value["rows"]
        if not isinstance(value, list):
            raise Refused(422, "`rows` has to be a list of objects", where="rows")
    if not isinstance(value, list):
        raise Refused(422, "send one row as an object, or many as a list of objects")
    return value, True
