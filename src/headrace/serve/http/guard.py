"""Who is let in: tokens by `Authorization: Bearer`, roles, and so many requests a second for each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from headrace.core.clock import Clock
from headrace.core.ports import Store
from headrace.core.tokens import GRANTS, TOKEN_KINDS, Caller, Token, find, tokens
from headrace.serve.http.endpoint import ANYBODY, KNOWN, STRANGER, Endpoint, Refused

_LOG = logging.getLogger("headrace.serve")
_EVERY = 0.25
"""Seconds between looks at the ledger: what is revoked is refused within one."""
_LONGEST = 200
"""Characters of a token that are looked at."""


@dataclass
class _Known:
    """A token that was shown here before, and what it may still ask at once."""

    caller: Caller
    expires: float
    rate: float | None
    left: float
    seen: float


class Guard:
    """Lets callers in. `admit` is for one thread, the ledger is followed by another.

    The rate of a token is divided by the worker processes, which each count for themselves.
    """

    def __init__(self, store: Store, clock: Clock, *, anybody: bool = False, workers: int = 1) -> None:
        """A token is asked for from the moment when the first was made, unless `anybody` may ask. Where none
        is asked for, one that is shown has to be good."""
        self._store = store
        self._clock = clock
        self._anybody = anybody
        self._workers = workers
        self._number = -1
        self._followed = time.monotonic()
        self._failing = False
        self._state: tuple[Mapping[str, Token], dict[bytes, _Known]] = ({}, {})
        self._stop = threading.Event()
        self.follow()
        self._thread = threading.Thread(target=self._following, name="tokens", daemon=True)
        self._thread.start()

    def admit(self, endpoint: Endpoint, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Who asks.

        Raises:
            Refused: 401 without a good token where one is needed, 403 where its role does not open the
                endpoint, 429 beyond its rate.
        """
        shown = _shown(headers)
        if shown is None:
            if self._anybody or not self._state[0]:
                return ANYBODY
            if endpoint.role:
                raise _unknown("a token is needed")
            return STRANGER
        now = self._clock().timestamp()
        known = self._state[1].get(shown) or self._look(shown, now)
        if known is None or now >= known.expires:
            raise _unknown("the token is unknown, expired or revoked")
        if endpoint.role not in ("", KNOWN) and endpoint.role not in known.caller.roles:
            raise Refused(
                403,
                f"the token {known.caller.name!r} may not ask this",
                where=f"{endpoint.method} {endpoint.path}",
                fix=f"it needs the role {endpoint.role}, or admin",
            )
        if known.rate is not None:
            _spend(known, known.rate, now)
        return known.caller

    @property
    def behind(self) -> float:
        """Seconds since the ledger's tokens were last seen: one revoked since then is still good here."""
        return time.monotonic() - self._followed

    def follow(self) -> None:
        """Fold the ledger's tokens anew, where it has grown."""
        number, _ = self._store.head()
        if number != self._number:
            found = tokens(self._store.read(kinds=TOKEN_KINDS))
            if found != self._state[0]:
                # At once: what was looked up among the tokens before is forgotten with them.
                self._state = (found, {})
            self._number = number
        self._followed = time.monotonic()

    def close(self) -> None:
        """Follow the ledger no longer."""
        self._stop.set()
        self._thread.join()

    def _following(self) -> None:
        while not self._stop.wait(_EVERY):
            try:
                self.follow()
                self._failing = False
            except Exception as error:  # noqa: BLE001  what is known stays known until it can be read again
                if not self._failing:
                    _LOG.warning("tokens can't be followed: %s: %s", type(error).__name__, error)
                self._failing = True

    def _look(self, shown: bytes, now: float) -> _Known | None:
        scheme, _, secret = shown.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        tokens_now, seen = self._state
        token = find(tokens_now, secret[:_LONGEST].decode("latin-1"))
        if token is None or token.revoked:
            return None
        expires = datetime.fromisoformat(token.expires).timestamp() if token.expires else float("inf")
        rate = None if token.rate is None else token.rate / self._workers
        caller = Caller(token.name, frozenset(GRANTS[token.role]), token.routes)
        known = _Known(caller, expires, rate, max(rate or 0.0, 1.0), now)
        # One for all ways to write the scheme: each would have its own rate.
        seen[shown] = known = seen.setdefault(b"bearer " + secret, known)
        return known


def _shown(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"authorization":
            return value
    return None


def _spend(known: _Known, rate: float, now: float) -> None:
    """Take one from a bucket that holds a second's worth."""
    room = max(rate, 1.0)
    # A clock that was set back takes nothing away.
    known.left = min(room, known.left + max(now - known.seen, 0.0) * rate)
    known.seen = now
    if known.left < 1.0:
        wait = ceil((1.0 - known.left) / rate)
        raise Refused(
            429,
            f"the token {known.caller.name!r} has asked too often",
            why=f"it may ask {rate:g} times a second here",
            fix=f"wait {wait} s",
            headers={"Retry-After": str(wait)},
        )
    known.left -= 1.0


def _unknown(what: str) -> Refused:
    return Refused(
        401,
        what,
        where="Authorization",
        fix="send `Authorization: Bearer TOKEN`, of `headrace token create`",
        headers={"WWW-Authenticate": 'Bearer realm="headrace"'},
    )
