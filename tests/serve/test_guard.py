"""Who is let in: over a real socket where it is about servers, else at the guard itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from served import LONG, wait_until

from headrace.core.tokens import Role
from headrace.engine.tokens import make, revoke
from headrace.serve.http.endpoint import ANYBODY, KNOWN, STRANGER, Call, Endpoint, Refused, json_reply
from headrace.serve.http.guard import Guard
from headrace.serve.http.shell import SECURITY, Shell
from headrace.stores import EmbeddedStore


class Now:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def guard(store: EmbeddedStore, now: Now) -> Iterator[Guard]:
    made = Guard(store, now)
    yield made
    made.close()


PREDICT = Endpoint("POST", "/predict", lambda call: json_reply(call.caller.name), "")
SHOW = Endpoint("GET", "/show", lambda call: json_reply(call.caller.name), "", role="viewer")
SCHEMA = Endpoint("GET", "/schema", lambda call: json_reply(call.caller.name), "", role=KNOWN)
HEALTH = Endpoint("GET", "/health", lambda call: json_reply("ok"), "", role="")


def token(store: EmbeddedStore, now: Now, role: str = "caller", rate: float | None = None) -> str:
    lasts = timedelta(days=1)
    return make(store, f"{role} {rate}", role, lasts=lasts, rate=rate, actor="ann", clock=now).shown


def shown(value: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"authorization", value.encode("latin-1"))]


def status(guard: Guard, endpoint: Endpoint, headers: list[tuple[bytes, bytes]]) -> int:
    try:
        guard.admit(endpoint, headers)
    except Refused as refused:
        return refused.status
    return 200


def test_nobody_is_let_in_without_a_token(guard: Guard, store: EmbeddedStore, now: Now) -> None:
    assert status(guard, PREDICT, []) == 200  # there is none yet
    token(store, now)
    guard.follow()
    assert status(guard, PREDICT, []) == 401
    assert status(guard, SHOW, []) == 401
    assert status(guard, SCHEMA, []) == 401
    assert guard.admit(HEALTH, []) is STRANGER


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Bearer x", "Basic {}", "{}", "Bearer {}x", "Bearer \xff"]
)
def test_what_is_no_good_token_is_a_401(guard: Guard, store: EmbeddedStore, now: Now, value: str) -> None:
    good = token(store, now)
    guard.follow()
    assert status(guard, PREDICT, shown(value.replace("{}", good))) == 401
    assert status(guard, HEALTH, shown(value.replace("{}", good))) == 401


@pytest.mark.parametrize("role", list(Role))
def test_roles_open_their_own_doors(guard: Guard, store: EmbeddedStore, now: Now, role: Role) -> None:
    headers = shown(f"Bearer {token(store, now, role)}")
    guard.follow()
    may_ask = role in (Role.CALLER, Role.OPERATOR, Role.ADMIN)
    assert status(guard, PREDICT, headers) == (200 if may_ask else 403)
    assert status(guard, SCHEMA, headers) == 200
    assert status(guard, SHOW, headers) == (403 if role is Role.CALLER else 200)


def test_a_token_is_refused_once_it_is_revoked_or_expired(
    guard: Guard, store: EmbeddedStore, now: Now
) -> None:
    headers = shown(f"Bearer {token(store, now)}")
    guard.follow()
    assert status(guard, PREDICT, headers) == 200
    now.time += timedelta(days=1)
    assert status(guard, PREDICT, headers) == 401
    now.time -= timedelta(hours=1)
    assert status(guard, PREDICT, headers) == 200
    revoke(store, "caller None", actor="ann", clock=now)
    guard.follow()
    assert status(guard, PREDICT, headers) == 401


def test_a_token_asks_as_often_as_its_rate(guard: Guard, store: EmbeddedStore, now: Now) -> None:
    headers = shown(f"Bearer {token(store, now, rate=10.0)}")
    guard.follow()
    assert [status(guard, PREDICT, headers) for _ in range(12)] == [200] * 10 + [429] * 2
    now.time += timedelta(seconds=0.5)
    assert [status(guard, PREDICT, headers) for _ in range(6)] == [200] * 5 + [429]
    now.time += timedelta(days=0.5)  # no more is saved up than a second's worth
    assert [status(guard, PREDICT, headers) for _ in range(11)] == [200] * 10 + [429]


def test_a_clock_that_is_set_back_locks_nobody_out(guard: Guard, store: EmbeddedStore, now: Now) -> None:
    headers = shown(f"Bearer {token(store, now, rate=10.0)}")
    guard.follow()
    now.time += timedelta(minutes=5)
    assert [status(guard, PREDICT, headers) for _ in range(8)] == [200] * 8
    now.time -= timedelta(minutes=5)
    assert [status(guard, PREDICT, headers) for _ in range(3)] == [200] * 2 + [429]
    now.time += timedelta(seconds=0.5)
    assert [status(guard, PREDICT, headers) for _ in range(6)] == [200] * 5 + [429]


def test_without_need_a_shown_token_still_has_to_be_good(store: EmbeddedStore, now: Now) -> None:
    token(store, now)
    guard = Guard(store, now, anybody=True)
    try:
        assert guard.admit(PREDICT, []) is ANYBODY
        assert status(guard, PREDICT, shown("Bearer wrong")) == 401
    finally:
        guard.close()


async def ask(shell: Shell, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=shell), base_url="http://test") as client:
        return await client.get(path, headers=headers)


async def _answers(shell: Shell, good: str) -> list[httpx.Response]:
    return [await ask(shell, "/show"), await ask(shell, "/show", authorization=f"Bearer {good}")]


def test_the_shell_asks_the_guard(guard: Guard, store: EmbeddedStore, now: Now) -> None:
    import asyncio

    good = token(store, now, "viewer")
    guard.follow()
    without, with_token = asyncio.run(_answers(Shell([SHOW], most=10, guard=guard), good))
    assert (without.status_code, without.headers["www-authenticate"]) == (401, 'Bearer realm="headrace"')
    assert without.json()["errors"][0]["where"] == "Authorization"
    assert (with_token.status_code, with_token.json()) == (200, "viewer None")
    for response in (without, with_token):
        for name, value in SECURITY:
            assert response.headers[name.decode()] == value.decode()


def test_a_call_knows_what_its_caller_may() -> None:
    from headrace.core.tokens import Caller

    some = Caller("x", frozenset({Role.CALLER}), ("north",))
    call = Call("GET", "/", {}, {}, {}, b"", 0.0, some)
    call.require_route("north")
    call.require("caller")
    with pytest.raises(Refused, match="route 'south'"):
        call.require_route("south")
    with pytest.raises(Refused, match="operator"):
        call.require("operator")


def test_a_token_has_one_rate_however_it_is_shown(guard: Guard, store: EmbeddedStore, now: Now) -> None:
    good = token(store, now, rate=4.0)
    guard.follow()
    ways = ["Bearer", "bearer", "BEARER", "bEARER", "beARER", "beaRER"]
    assert [status(guard, PREDICT, shown(f"{way} {good}")) for way in ways] == [200] * 4 + [429] * 2


class Broken(EmbeddedStore):
    """Can't be read for a while, and says nothing of why."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.breaks, self.tried = False, threading.Event()

    def head(self) -> tuple[int, str]:
        if self.breaks:
            self.tried.set()
            raise OSError
        return super().head()


def test_tokens_are_followed_again_after_any_error(tmp_path: Path, now: Now) -> None:
    store = Broken(tmp_path / "store")
    headers = shown(f"Bearer {token(store, now)}")
    guard = Guard(store, now)
    try:
        assert status(guard, PREDICT, headers) == 200
        store.breaks = True
        assert store.tried.wait(LONG)
        behind = guard.behind
        store.tried.clear()
        assert store.tried.wait(LONG) and guard.behind > behind
        store.breaks = False
        revoke(store, "caller None", actor="ann", clock=now)
        wait_until(lambda: status(guard, PREDICT, headers) == 401)
    finally:
        guard.close()
