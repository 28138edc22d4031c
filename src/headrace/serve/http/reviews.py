"""What reviewers ask: GET and POST /reviews…, for the role reviewer. See `serve.reviewing`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from headrace.core.review import State
from headrace.core.tokens import Role
from headrace.serve.http.endpoint import Call, Endpoint, Handler, Reply, json_reply
from headrace.serve.reviewing import MOST, Room, comment, decide, give_back, listed, status, take

Asks = Callable[[Room, str, Any], dict[str, Any]]
NOBODY = "nobody"
"""Who reviews where no token is asked for."""

_TEXT = {"type": "string", "maxLength": 10_000}
_NAME = {"type": "string", "description": "Of the prediction, or of a row that was asked about."}
_SOURCE = {"type": "string", "description": "traffic, or 'rows: RUN'."}
_ITEM = {"type": "object", "properties": {"item": {"type": ["object", "null"]}}, "required": ["item"]}


def _body(needed: tuple[str, ...], **fields: object) -> Mapping[str, Any]:
    """What the document says of a request with such a body."""
    return {
        "body": {
            "application/json": {
                "type": "object",
                "properties": fields,
                "required": list(needed),
                "additionalProperties": False,
            }
        },
        "answers": {"200": _ITEM},
    }


_TAKE = {
    **_body((), id=_NAME, source=_SOURCE, lease={"type": "string", "examples": ["15 min"]}),
    "optional": True,
}
_DECIDE = _body(
    ("id", "decision"),
    id=_NAME,
    decision={
        "type": ["string", "number", "boolean"],
        "description": "One of the item's choices; a number where it has none.",
    },
    comment=_TEXT,
)
_COMMENT = _body(("id", "text"), id=_NAME, text=_TEXT)
_RETURN = _body(("id",), id=_NAME)
_LIST: Mapping[str, Any] = {
    "query": {
        "state": {"schema": {"enum": [s.value for s in State]}},
        "source": {"schema": _SOURCE},
        "after": {
            "description": "What the reply before called `next`.",
            "schema": {"type": "integer", "minimum": 0},
        },
        "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": MOST}},
    },
    "answers": {
        "200": {
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": {"type": "object"}},
                "next": {"type": ["integer", "null"]},
            },
            "required": ["items", "next"],
        }
    },
}
_STATUS: Mapping[str, Any] = {
    "query": {"source": {"schema": _SOURCE}},
    "answers": {"200": {"type": "object", "required": ["open", "decided", "expired"]}},
}


def reviews(room: Room) -> list[Endpoint]:
    """The endpoints. Who reviews is the token that is shown."""

    def post(ask: Asks) -> Handler:
        async def handle(call: Call) -> Reply:
            body = call.json() if call.body else {}
            return json_reply(await asyncio.to_thread(ask, room, _who(call), body))

        return handle

    def get(ask: Asks) -> Handler:
        async def handle(call: Call) -> Reply:
            return json_reply(await asyncio.to_thread(ask, room, _who(call), _numbers(call.query)))

        return handle

    role = Role.REVIEWER.value
    return [
        Endpoint("GET", "/reviews", get(listed), "what people are to look at", role, doc=_LIST),
        Endpoint("GET", "/reviews/status", get(status), "the queue in numbers", role, doc=_STATUS),
        Endpoint(
            "POST", "/reviews/take", post(take), "the item that is due first, kept for you", role, doc=_TAKE
        ),
        Endpoint("POST", "/reviews/decide", post(decide), "decide an item", role, doc=_DECIDE),
        Endpoint(
            "POST", "/reviews/comment", post(comment), "say something about an item", role, doc=_COMMENT
        ),
        Endpoint("POST", "/reviews/return", post(give_back), "leave an item to others", role, doc=_RETURN),
    ]


def _who(call: Call) -> str:
    return call.caller.name or NOBODY


def _numbers(query: Mapping[str, str]) -> dict[str, Any]:
    """A query's values, whole numbers as such."""
    known = ("after", "limit")
    return {
        n: int(v) if n in known and v.isascii() and v.isdigit() and len(v) < 19 else v
        for n, v in query.items()
    }
