"""Making and revoking tokens: each is one event, and the token is shown once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from headrace.core.clock import Clock, iso
from headrace.core.errors import NotFound, UserError, did_you_mean
from headrace.core.event import Draft
from headrace.core.ports import Store
from headrace.core.tokens import TOKEN_KINDS, Role, Token, new_token, tokens


@dataclass(frozen=True)
class Made:
    """A new token. shown: the token itself, which is kept nowhere."""

    token: Token
    shown: str


def every(store: Store) -> dict[str, Token]:
    """All tokens by id, oldest first, those that are revoked or expired too."""
    return tokens(store.read(kinds=TOKEN_KINDS))


def make(
    store: Store,
    name: str,
    role: str,
    *,
    lasts: timedelta | None,
    routes: Sequence[str] = (),
    rate: float | None = None,
    actor: str,
    clock: Clock,
) -> Made:
    """Make a token.

    name: what people call it; not that of one that is still good. lasts: from now on (None: for ever).

    Raises:
        UserError: the name is empty or taken, the role unknown, the time or rate not above zero.
    """
    now = clock()
    if role not in set(Role):
        raise UserError(f"there is no role {role!r}", fix=did_you_mean(role, list(Role)))
    if not name.strip():
        raise UserError("a token needs a name", fix="name the person or program that holds it")
    if any(t.name == name and t.valid_at(iso(now)) for t in every(store).values()):
        raise UserError(
            f"there is a token {name!r} already", fix=f"revoke it first: headrace token revoke {name}"
        )
    if lasts is not None and lasts <= timedelta(0):
        raise UserError("the token would have expired already", fix="name a time above zero, such as 90 days")
    if rate is not None and rate <= 0:
        raise UserError("a rate has to be above zero", fix="write one such as 100 / s")
    ident, shown, hashed = new_token()
    payload = {"name": name, "role": role, "hash": hashed}
    if lasts is not None:
        payload["expires"] = iso(now + lasts)
    extra = {"routes": list(routes)} if routes else {}
    limit = {"rate": rate} if rate is not None else {}
    store.append([Draft("token.made", ident, iso(now), actor, {**payload, **extra, **limit})])
    return Made(every(store)[ident], shown)


def revoke(store: Store, which: str, *, actor: str, clock: Clock, reason: str = "") -> Token:
    """Revoke a token by its id or name; done again it does nothing.

    Raises:
        NotFound: no token goes by that name.
    """
    known = every(store)
    named = [t for t in known.values() if which in (t.id, t.name)]
    if not named:
        options = [n for t in known.values() for n in (t.name, t.id)]
        raise NotFound(f"there is no token {which!r}", fix=did_you_mean(which, options))
    token = next((t for t in reversed(named) if not t.revoked), named[-1])
    if not token.revoked:
        told = {"reason": reason} if reason else {}
        store.append([Draft("token.revoked", token.id, iso(clock()), actor, {"name": token.name, **told})])
    return every(store)[token.id]
