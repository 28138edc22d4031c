"""Tokens: who may ask what of a server. A fold of events; the tokens themselves are never kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from headrace.core.event import Event

TOKEN_KINDS = ("token.made", "token.revoked")
PREFIX = "hr"
_SECRET_BYTES = 32


class Role(StrEnum):
    """What somebody is to a server."""

    CALLER = "caller"
    VIEWER = "viewer"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


GRANTS: Mapping[Role, frozenset[Role]] = {
    Role.CALLER: frozenset({Role.CALLER}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.REVIEWER: frozenset({Role.REVIEWER, Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.OPERATOR, Role.CALLER, Role.VIEWER}),
    Role.APPROVER: frozenset({Role.APPROVER, Role.VIEWER}),
    Role.ADMIN: frozenset(Role),
}
"""Whose doors a role opens. A program is a caller and sees nothing else; who approves does not operate."""


@dataclass(frozen=True)
class Caller:
    """Who asks, and what is open to them. name: the token's (empty: none was needed). routes: empty: all."""

    name: str = ""
    roles: frozenset[Role] = frozenset(Role)
    routes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Token:
    """A token as the ledger tells it.

    id: the part of it that is no secret. hash: SHA-256 of its secret, which is 256 bits of chance, so that
    trying them all is out of reach and no slow hash is needed. routes: those that it may ask (empty: all).
    rate: requests a second (None: no limit). expires: ISO moment (empty: never).
    """

    id: str
    name: str
    role: Role
    hash: str
    made: str
    by: str
    expires: str = ""
    routes: tuple[str, ...] = ()
    rate: float | None = None
    revoked: str = ""

    def allows(self, role: str) -> bool:
        """Whether it opens what asks for a role."""
        return Role(role) in GRANTS[self.role]

    def valid_at(self, now: str) -> bool:
        """Whether it is neither revoked nor expired at an ISO moment of UTC."""
        return not self.revoked and (not self.expires or now < self.expires)


def tokens(events: Iterable[Event]) -> dict[str, Token]:
    """Fold events of `TOKEN_KINDS` into tokens by id, those that are revoked too."""
    found: dict[str, Token] = {}
    for e in events:
        p = e.payload
        if e.kind == "token.made":
            found[e.subject] = Token(
                e.subject,
                p["name"],
                Role(p["role"]),
                p["hash"],
                e.time,
                e.actor,
                p.get("expires", ""),
                tuple(p.get("routes", ())),
                p.get("rate"),
            )
        elif e.kind == "token.revoked" and e.subject in found:
            found[e.subject] = replace(found[e.subject], revoked=found[e.subject].revoked or e.time)
    return found


def new_token() -> tuple[str, str, str]:
    """A token of chance: its id, itself (shown once), and the hash that is kept."""
    name, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES)
    return name, f"{PREFIX}_{name}_{secret}", hash_of(secret)


def hash_of(secret: str) -> str:
    """The hash of a token's secret part."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find(known: Mapping[str, Token], shown: str) -> Token | None:
    """The token that somebody shows; None where it is none of these. Takes as long for a wrong secret as for
    a right one, and for an id that nobody has."""
    prefix, _, rest = shown.partition("_")
    name, _, secret = rest.partition("_")
    token = known.get(name)
    same = hmac.compare_digest(hash_of(secret), token.hash if token else _NOBODY)
    return token if token is not None and same and prefix == PREFIX else None


_NOBODY = "0" * 64
