"""Who is at the door: tokens in cookies, and proof that a form is one of ours.

A browser shows its token by a cookie that no script can read and no other site can have sent
(`HttpOnly`, `SameSite=Strict`). A form carries a code made of the visit's own secret, which another site
can't know, and the browser's `Origin` has to be this server. Programs show a token by `Authorization` as
everywhere: nothing sends that by itself, so that they need no code.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from headrace.core.tokens import Caller, Role
from headrace.serve.http.endpoint import ANYBODY, Call, Endpoint, Refused
from headrace.serve.http.guard import Guard

BASE = "/ui"
TOKEN, VISIT, THEME, SAID = "headrace_token", "headrace_visit", "headrace_theme", "headrace_said"
CODE = "code"
"""The field of every form that proves it is ours."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_DAYS = 30 * 86_400
_VIEWER = Caller(roles=frozenset({Role.VIEWER}))


@dataclass(frozen=True)
class Visit:
    """Whoever asks, as the door sees them. secret: of their browser (new: it is to be set). shown: whether
    they came by a cookie's token, and so can leave. trusted: whether they need no code (see `proven`).
    stranger: whether they have to show a token first."""

    who: Caller
    cookies: Mapping[str, str]
    secret: str
    new: bool
    shown: bool
    trusted: bool
    stranger: bool

    @property
    def code(self) -> str:
        """What every form of this visit has to carry."""
        return hmac.new(self.secret.encode(), b"headrace form", "sha256").hexdigest()


class Door:
    """Lets visitors in. everybody: whether whoever comes without a token may do everything (on this machine
    alone): elsewhere they may look, at most."""

    def __init__(self, guard: Guard | None, *, everybody: bool) -> None:
        self._guard = guard
        self._everybody = everybody

    def enter(self, call: Call) -> Visit:
        """Who asks.

        Raises:
            Refused: 403, the browser was led here under another name.
        """
        cookies = cookies_of(call.headers)
        secret = cookies.get(VISIT, "")
        new = len(secret) < 20
        secret = secrets.token_urlsafe(24) if new else secret
        if b"authorization" in call.headers:
            return Visit(call.caller, cookies, secret, new, False, True, False)
        who, shown = self._by_cookie(cookies.get(TOKEN, "")), True
        if who is None:
            who, shown = call.caller, False
        if not shown and who is ANYBODY:
            if self._everybody:
                _of_this_machine(call)
            else:
                who = _VIEWER
        return Visit(who, cookies, secret, new, shown, False, not who.roles)

    def knows(self, token: str) -> bool:
        """Whether a token opens anything here."""
        return self._by_cookie(token) is not None

    def _by_cookie(self, token: str) -> Caller | None:
        """Who shows this token; None where it is none, is unknown or revoked."""
        if not token or self._guard is None or not token.isascii() or not token.isprintable():
            return None
        try:
            return self._guard.admit(_ANY, [(b"authorization", b"Bearer " + token.encode())])
        except Refused as refused:
            if refused.status == 401:
                return None
            raise


def proven(call: Call, visit: Visit, form: Mapping[str, str]) -> None:
    """Let a form be answered that came from one of our own pages.

    Raises:
        Refused: 403 where it did not.
    """
    if visit.trusted:
        return
    here = call.headers.get(b"host", b"").decode("latin-1").lower()
    origin = call.headers.get(b"origin", b"").decode("latin-1").lower()
    site = call.headers.get(b"sec-fetch-site", b"")
    ours = urlsplit(origin).netloc == here if origin else site == b"same-origin"
    if not here or not ours:
        raise Refused(403, "the form was sent by another site", fix="open the page here, and try again")
    if visit.new or not hmac.compare_digest(form.get(CODE, "").encode(), visit.code.encode()):
        raise Refused(403, "the form is not of this visit", fix="load the page again, and try again")


def cookies_of(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The cookies of a request; none where they can't be read."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def cookie(name: str, value: str, *, secure: bool, seconds: int = _DAYS) -> tuple[bytes, bytes]:
    """The header that sets a cookie; no seconds take it away."""
    safe = "; Secure" if secure else ""
    told = f"{name}={value}; Path={BASE}; HttpOnly; SameSite=Strict; Max-Age={seconds}{safe}"
    return (b"set-cookie", told.encode("latin-1"))


def is_secure(call: Call) -> bool:
    """Whether the browser came over TLS, as far as can be told (a proxy in front says so)."""
    return call.headers.get(b"origin", b"").startswith(b"https:") or (
        call.headers.get(b"x-forwarded-proto", b"").lower() == b"https"
    )


def _of_this_machine(call: Call) -> None:
    """A page of another site whose name was made to lead to this machine is not let in: it could do what
    whoever sits here may."""
    host = call.headers.get(b"host", b"").decode("latin-1").lower()
    name = urlsplit(f"//{host}").hostname if host else ""
    if name not in LOOPBACK:
        raise Refused(
            403,
            f"this server is not called {name or 'so'}",
            where="Host",
            fix="open it as 127.0.0.1 or localhost, or make a token: headrace token create",
        )


def _nothing(_: Call) -> None:
    return None


_ANY = Endpoint("GET", BASE, _nothing, "", role="any")  # type: ignore[arg-type]  # asked of the guard alone
