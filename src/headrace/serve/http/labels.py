"""POST /labels: what turned out to be true of predictions."""

from __future__ import annotations

import asyncio

from headrace.logs.labels import LabelBook
from headrace.serve.http.endpoint import Call, Endpoint, Reply, json_reply
from headrace.serve.http.problems import details


def labels(book: LabelBook) -> list[Endpoint]:
    """The endpoint. Labels are on the disk when it answers."""

    async def take(call: Call) -> Reply:
        taken = await asyncio.to_thread(book.take, call.json(), source=call.caller.name)
        kept = taken.new or taken.corrected or taken.known
        if taken.problems and not kept:
            return details(422, taken.problems, more=taken.plain())
        return json_reply(taken.plain())

    about = "what turned out to be true: {id, label}, or {input_NAME, ..., label}, or a list of such"
    return [Endpoint("POST", "/labels", take, about)]
