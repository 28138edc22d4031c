"""What an endpoint is: a method, a path, and a function from a call to a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace.core.tokens import Caller

JSON = b"application/json"
PROBLEM = b"application/problem+json"
ANYBODY = Caller()
"""Where no token is asked for."""
STRANGER = Caller(roles=frozenset())
"""Who shows none where one is asked for, and asks what is open to all."""
KNOWN = "any"
"""The role of an endpoint that every good token opens."""


class Call(msgspec.Struct, frozen=True):
    """A request, with its whole body. path: the values of the template's `{names}`. started: `perf_counter`
    when its first bytes were seen. caller: who asks."""

    method: str
    target: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    body: bytes
    started: float
    caller: Caller = ANYBODY

    def json(self) -> Any:
        """The body, decoded.

        Raises:
            Refused: 400, it is no JSON.
        """
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(400, f"the body is no JSON: {error}") from None

    def require(self, role: str) -> None:
        """Refuse who has another role. Raises Refused: 403."""
        if role not in self.caller.roles:
            raise Refused(403, f"this is for the role {role}", fix="ask an administrator for such a token")

    def require_route(self, route: str) -> None:
        """Refuse a route that the caller's token does not name. Raises Refused: 403."""
        if self.caller.routes and route not in self.caller.routes:
            there = ", ".join(self.caller.routes)
            raise Refused(403, f"this token may not ask the route {route!r}", fix=f"it may ask {there}")


class Reply(msgspec.Struct, frozen=True):
    """What goes back. security: headers in place of the shell's `SECURITY` (empty: those)."""

    body: bytes = b""
    status: int = 200
    media: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    security: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[[Call], Reply | Awaitable[Reply]]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint. role: the least that a caller has to be where tokens are asked for (empty: anybody).
    about: a line for the index and the OpenAPI document."""

    method: str
    path: str
    handler: Handler
    about: str
    role: str = "caller"
    hidden: bool = field(default=False)
    """Not shown in the index."""
    doc: Mapping[str, Any] = field(default_factory=dict)
    """What the OpenAPI document says beside that: `description`, `query` and `headers` (parameters by name),
    `body` (schemas by media type), `optional` (whether there may be no body), `answers` (schemas by status,
    or by status and media type). A schema that is a text is one of the release's: Row, RowList, Rows, Answer,
    Answers, Problem."""


class Refused(Exception):
    """A request that gets a status of 400 to 599, and why."""

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: str = "",
        why: str = "",
        fix: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what)
        self.status, self.what, self.where, self.why, self.fix = status, what, where, why, fix
        self.headers = headers or {}


def json_reply(value: Any, status: int = 200) -> Reply:
    """Plain values as a reply."""
    return Reply(msgspec.json.encode(value), status)
