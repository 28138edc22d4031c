"""POST /events and GET /online: facts as they become known."""

from __future__ import annotations

import asyncio

from headrace.serve.http.endpoint import KNOWN, Call, Endpoint, Refused, Reply, json_reply
from headrace.serve.http.problems import details
from headrace.serve.intakes import Intakes

_FACTS = {
    "type": "object",
    "properties": {
        "table": {"type": "string"},
        "rows": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["table", "rows"],
    "additionalProperties": False,
}


def facts(intakes: Intakes) -> list[Endpoint]:
    """The endpoints; without an online store they say so."""

    async def events(call: Call) -> Reply:
        intake, online = await asyncio.to_thread(intakes.now), intakes.online
        if intake is None or online is None or not online.feeds:
            raise Refused(
                409,
                "this server has no online store to keep facts in",
                fix="run `headrace materialize`, and start the server again",
            )
        taken = await asyncio.to_thread(intake.take, call.json())
        if taken.problems and not (taken.new or taken.known):
            return details(422, taken.problems, more=taken.plain())
        return json_reply(taken.plain())

    async def show(_: Call) -> Reply:
        online = intakes.online
        return json_reply(None if online is None else await asyncio.to_thread(online.describe))

    return [
        Endpoint(
            "POST",
            "/events",
            events,
            "facts as they become known: {table, rows}, or a list of such",
            doc={"body": {"application/json": {"anyOf": [_FACTS, {"type": "array", "items": _FACTS}]}}},
        ),
        Endpoint(
            "GET",
            "/online",
            show,
            "which tables are looked up in the online store, and how new they are",
            role=KNOWN,
        ),
    ]
