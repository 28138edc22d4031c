"""Errors as RFC 9457 problem details, of one shape everywhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from headrace.core.codec import to_plain
from headrace.core.errors import DataError, HeadraceError, NoAnswer, Problem, StoreError, UserCodeError
from headrace.serve.http.endpoint import PROBLEM, Refused, Reply

_LOG_SAYS = "the server's log says why"


def refusal(error: Exception) -> Reply | None:
    """The reply to an error that says what is wrong; None for one of ours, which says nothing to a caller.

    422: rows that don't fit; 500: a function of the release's owner raised; 503: the store refused, or no
    release and no fallback could answer. Of these two a caller is told what, and neither where nor why:
    files, hosts, and texts of the owner's code are for the server's log.
    """
    if isinstance(error, Refused):
        problem = Problem(error.what, where=error.where, why=error.why, fix=error.fix)
        return details(error.status, [problem], error.headers)
    if isinstance(error, UserCodeError):
        return details(500, [Problem("code of the release's owner failed", fix=_LOG_SAYS)])
    if isinstance(error, DataError):
        return details(422, error.problems)
    if isinstance(error, StoreError | NoAnswer):
        # A store's advice is for whoever runs it.
        fixed = isinstance(error, NoAnswer)
        told = [Problem(p.what, fix=p.fix if fixed else f"ask again; {_LOG_SAYS}") for p in error.problems]
        return details(503, told, {"Retry-After": "1"})
    if isinstance(error, HeadraceError):
        return details(409, error.problems)
    return None


def ours() -> Reply:
    """The reply where the mistake is in headrace."""
    return details(500, [Problem("the release could not answer", fix=_LOG_SAYS)])


def details(
    status: int,
    problems: Collection[Problem],
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Reply:
    """Problem details: `type`, `title`, `status`, `detail` (the first problem), and `errors`: all of them.
    more: further members, before those."""
    first = next(iter(problems))
    body: dict[str, Any] = {
        **(more or {}),
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": f"{first.where}: {first.what}" if first.where else first.what,
        "errors": [to_plain(p) for p in problems],
    }
    told = tuple((k.lower().encode(), v.encode()) for k, v in (headers or {}).items())
    return Reply(msgspec.json.encode(body), status, PROBLEM, told)


def spoken(reply: Reply, path: str) -> Reply:
    """Problem details as the protocol of the path has them: the Open Inference Protocol asks for `error`."""
    if not path.startswith("/v2"):
        return reply
    body = msgspec.json.decode(reply.body)
    body["error"] = body["detail"]
    return Reply(msgspec.json.encode(body), reply.status, reply.media, reply.headers)
