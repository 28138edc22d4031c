"""`headrace token`: shown once, listed without secrets, revoked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from spine import command

from headrace.core.tokens import find
from headrace.project import Project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".headrace").mkdir()
    return tmp_path


def call(folder: Path, *args: str) -> tuple[int, str, str]:
    done = command(folder, "token", *args)
    return done.exit_code, done.stdout, done.stderr


def test_a_token_is_shown_once(folder: Path) -> None:
    assert "no tokens" in call(folder, "list")[1]
    code, shown, told = call(folder, "create", "--role", "caller", "--name", "shop", "--rate", "5 / s")
    assert code == 0
    assert "not shown again" in told
    (token,) = Project(folder).tokens()
    assert find({token.id: token}, shown.strip()) == token
    assert (token.role, token.rate, token.routes) == ("caller", 5.0, ())
    _, listed, _ = call(folder, "list")
    assert "shop" in listed and "good until" in listed
    assert shown.strip().split("_", 2)[2] not in listed and token.hash not in listed


def test_json_tells_the_same(folder: Path) -> None:
    arguments = ("--role", "viewer", "--name", "me", "--expires", "never", "--route", "default", "--json")
    made = json.loads(call(folder, "create", *arguments)[1])
    assert made["token"].startswith(f"hr_{made['id']}_")
    assert (made["routes"], made["expires"]) == (["default"], "")
    assert "hash" not in made
    (listed,) = json.loads(call(folder, "list", "--json")[1])
    assert listed == {k: v for k, v in made.items() if k != "token"}
    assert json.loads(call(folder, "revoke", "me", "--reason", "test", "--json")[1])["revoked"]
    assert "revoked" in call(folder, "list")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--role", "root", "--name", "x"),
        ("create", "--role", "caller", "--name", "x", "--expires", "soon"),
        ("create", "--role", "caller", "--name", "x", "--rate", "often"),
        ("revoke", "nobody"),
    ],
)
def test_mistakes_are_told(folder: Path, arguments: tuple[str, ...]) -> None:
    code, shown, told = call(folder, *arguments)
    assert (code, shown) == (2, "")
    assert told
    assert Project(folder).tokens() == ()
