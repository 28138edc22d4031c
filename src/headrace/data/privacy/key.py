"""The secret of keyed hashes: from the environment or a file outside of the store; never written anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.core.errors import UserError

KEY, KEY_FILE = "HEADRACE_PII_KEY", "HEADRACE_PII_KEY_FILE"
SHORTEST = 16
_ROUNDS = 200_000


@dataclass(frozen=True)
class Key:
    """A secret, and a name for it that may be told: `fingerprint` is PBKDF2-HMAC-SHA256 (RFC 8018) of it
    with 200,000 rounds, 16 hexadecimal digits, so that guessing keys by their fingerprints is slow too."""

    secret: bytes = field(repr=False)
    fingerprint: str


def load_key(environment: Mapping[str, str], store: Path | None = None) -> Key:
    """The key in `HEADRACE_PII_KEY`, else in the file that `HEADRACE_PII_KEY_FILE` names. Space around it
    is left out.

    Raises:
        UserError: there is none, it is shorter than 16 bytes, or its file can't be read or lies in `store`.
    """
    text = environment.get(KEY, "").strip()
    where = KEY
    if not text and environment.get(KEY_FILE):
        path = Path(environment[KEY_FILE]).expanduser()
        where = f"{KEY_FILE}={path}"
        if store is not None and path.resolve().is_relative_to(store.resolve()):
            raise UserError(
                "the key lies in the store that it protects", where=where, fix="keep it elsewhere"
            )
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError("the key's file can't be read", where=where, why=str(error)) from None
    if not text:
        raise UserError(
            "hashing personal data needs a key, and there is none",
            why="without a secret, hashes of e-mail addresses or phone numbers are undone by trying them all",
            fix=f"set {KEY}, or {KEY_FILE} to a file outside of the store; make one with "
            "`openssl rand -hex 32`, and keep it: another key gives other hashes",
        )
    secret = text.encode()
    if len(secret) < SHORTEST:
        raise UserError(
            f"the key has {len(secret)} bytes; it needs at least {SHORTEST}",
            where=where,
            fix="make one with `openssl rand -hex 32`",
        )
    made = hashlib.pbkdf2_hmac("sha256", secret, b"headrace/pii/fingerprint", _ROUNDS)
    return Key(secret, made[:8].hex())
