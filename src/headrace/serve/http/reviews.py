"""What reviewers ask: GET and POST /reviews…, for the role reviewer. See `serve.reviewing`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from headrace.core.tokens import Role
from headrace.serve.http.endpoint import Call, Endpoint, Handler, Reply, json_reply
from headrace.serve.reviewing import Room, comment, decide, give_back, listed, status, take

Asks = Callable[[Room, str, Any], dict[str, Any]]
NOBODY = "nobody"
"""Who reviews where no token is asked for."""


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
        Endpoint("GET", "/reviews", get(listed), "what people are to look at: ?state=open&limit=100", role),
        Endpoint("GET", "/reviews/status", get(status), "the queue in numbers, and what was found", role),
        Endpoint("POST", "/reviews/take", post(take), "the item that is due first, kept for you", role),
        Endpoint("POST", "/reviews/decide", post(decide), "a decision: {id, decision, comment}", role),
        Endpoint("POST", "/reviews/comment", post(comment), "a comment: {id, text}", role),
        Endpoint("POST", "/reviews/return", post(give_back), "leave an item to others: {id}", role),
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
