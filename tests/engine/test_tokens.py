"""Tokens: made once, shown once, kept as a hash, revoked for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace.core.errors import NotFound, UserError
from headrace.core.tokens import GRANTS, Role, find, hash_of
from headrace.engine.tokens import every, make, revoke
from headrace.stores import EmbeddedStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


def clock() -> datetime:
    return NOW


def test_a_token_is_kept_as_its_hash_alone(store: EmbeddedStore, tmp_path: Path) -> None:
    made = make(store, "shop", "caller", lasts=timedelta(days=1), actor="ann", clock=clock)
    prefix, ident, secret = made.shown.split("_", 2)
    assert (prefix, ident) == ("hr", made.token.id)
    assert len(secret) >= 43  # 256 bits
    assert made.token.hash == hash_of(secret)
    everything = b"".join(f.read_bytes() for f in (tmp_path / "store").rglob("*") if f.is_file())
    assert made.token.hash.encode() in everything
    assert secret.encode() not in everything
    assert find(every(store), made.shown) == made.token


@pytest.mark.parametrize(
    "wrong",
    ["", "_", "__", "hr", "hr__", "hr_{id}_", "hr_{id}", "xx_{id}_{secret}", "hr_{id}_{secret}x", "é"],
)
def test_what_is_no_token_finds_none(store: EmbeddedStore, wrong: str) -> None:
    made = make(store, "shop", "caller", lasts=None, actor="ann", clock=clock)
    secret = made.shown.split("_", 2)[2]
    assert find(every(store), wrong.replace("{id}", made.token.id).replace("{secret}", secret)) is None


def test_a_token_expires_and_is_revoked(store: EmbeddedStore) -> None:
    made = make(store, "shop", "viewer", lasts=timedelta(hours=1), actor="ann", clock=clock)
    assert made.token.valid_at("2026-03-01T12:59:59.999999Z")
    assert not made.token.valid_at("2026-03-01T13:00:00.000000Z")
    gone = revoke(store, "shop", actor="bob", clock=clock, reason="lost")
    assert gone.revoked and not gone.valid_at("2026-03-01T12:00:00.000000Z")
    assert revoke(store, made.token.id, actor="bob", clock=clock) == gone
    assert len(list(store.read(kinds=("token.revoked",)))) == 1
    again = make(store, "shop", "viewer", lasts=None, actor="ann", clock=clock)
    assert again.token.id != made.token.id
    assert revoke(store, "shop", actor="bob", clock=clock).id == again.token.id


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"role": "root"}, "there is no role 'root'"),
        ({"name": " "}, "a token needs a name"),
        ({"lasts": timedelta(0)}, "the token would have expired already"),
        ({"rate": 0.0}, "a rate has to be above zero"),
        ({"name": "taken"}, "there is a token 'taken' already"),
    ],
)
def test_mistakes_make_no_token(store: EmbeddedStore, given: dict[str, object], what: str) -> None:
    make(store, "taken", "caller", lasts=None, actor="ann", clock=clock)
    asked: dict[str, object] = {"name": "new", "role": "caller", "lasts": None, **given}
    with pytest.raises(UserError) as caught:
        make(store, asked.pop("name"), asked.pop("role"), actor="ann", clock=clock, **asked)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.problems[0].what == what
    assert len(every(store)) == 1


def test_an_unknown_token_is_not_found(store: EmbeddedStore) -> None:
    with pytest.raises(NotFound):
        revoke(store, "nobody", actor="ann", clock=clock)


def test_who_approves_does_not_operate() -> None:
    assert Role.OPERATOR not in GRANTS[Role.APPROVER]
    assert Role.APPROVER not in GRANTS[Role.OPERATOR]
    assert GRANTS[Role.CALLER] == {Role.CALLER}
    assert GRANTS[Role.ADMIN] == set(Role)
