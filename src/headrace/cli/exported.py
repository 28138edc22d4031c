"""`python -m headrace.cli.exported FOLDER`: serve the release of an exported folder.

The folder may be read-only. What is written (the log, facts that arrive, the server's own ledger) goes below
`HEADRACE_STATE`, in a folder named by the release; there the next start finds it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.core.clock import Clock, iso, system_clock
from headrace.core.errors import Corrupt, HeadraceError, UserError
from headrace.core.event import Draft
from headrace.core.places import ONLINE, STORE_DIR
from headrace.core.ports import Store
from headrace.core.tokens import TOKEN_KINDS, tokens
from headrace.core.views import RELEASE_KINDS
from headrace.stores.embedded import EmbeddedStore


def prepare(
    folder: Path, state: Path, let_in: Path | None = None, clock: Clock = system_clock
) -> tuple[Path, str]:
    """Make the server's own project of an exported release, or see that it is there; its folder, and the
    release's name. let_in: the file of tokens; tokens that are not in it any more are revoked.

    Raises:
        UserError: the folder is no exported release, or the file no list of tokens.
        Corrupt: an artifact is not what its name says.
        StoreError: the state can't be written.
    """
    told = _json(folder / "release.json", "the folder holds no exported release")
    release = told["release"]
    root = state / release
    store = EmbeddedStore(root / STORE_DIR)
    for path in sorted((folder / "artifacts").iterdir()):
        if not store.has(path.name) and store.put(path).digest != path.name:
            raise Corrupt(
                "an artifact is not what its name says", where=str(path), fix="export the release again"
            )
    known = {(e.kind, e.time) for e in store.read(kinds=RELEASE_KINDS, subject=release)}
    missing = [_draft(e["kind"], e) for e in told["events"] if (e["kind"], e["time"]) not in known]
    if missing:
        store.append(missing)
    if let_in is not None:
        _let_in(store, let_in, clock)
    if (folder / ONLINE).is_file() and not (root / STORE_DIR / ONLINE).exists():
        part = root / STORE_DIR / f".{ONLINE}.part"
        shutil.copyfile(folder / ONLINE, part)
        part.replace(root / STORE_DIR / ONLINE)
    store.close()
    return root, release


def _let_in(store: Store, file: Path, clock: Clock) -> None:
    """Make the ledger's tokens those of the file."""
    listed = _json(file, "the file of tokens can't be read")
    if not isinstance(listed, list) or not all(
        isinstance(t, dict) and {"subject", "payload"} <= set(t) for t in listed
    ):
        raise UserError("that is no list of tokens", where=str(file), fix="export the release again")
    known = tokens(store.read(kinds=TOKEN_KINDS))
    drafts = [_draft("token.made", t) for t in listed if t["subject"] not in known]
    gone = known.keys() - {t["subject"] for t in listed}
    now = iso(clock())
    drafts += [
        Draft("token.revoked", i, now, "exported", {"name": known[i].name})
        for i in sorted(gone)
        if not known[i].revoked
    ]
    if drafts:
        store.append(drafts)


def _draft(kind: str, told: Mapping[str, Any]) -> Draft:
    return Draft(kind, told["subject"], told["time"], told["actor"], told["payload"])


def _json(path: Path, what: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(what, where=str(path), why=str(error)) from None


def command(root: Path, release: str, environment: Mapping[str, str]) -> list[str]:
    """What `headrace` is asked for, by the environment's variables."""
    asked = ["serve", "-C", str(root), "--release", release]
    for variable, option in (
        ("HEADRACE_HOST", "--host"),
        ("HEADRACE_PORT", "--port"),
        ("HEADRACE_WORKERS", "--workers"),
        ("HEADRACE_LOG", "--log"),
    ):
        if environment.get(variable):
            asked += [option, environment[variable]]
    return [*asked, "--open"] if environment.get("HEADRACE_OPEN") == "1" else asked


def main(arguments: Sequence[str]) -> None:
    """Prepare, and serve until told to stop."""
    from headrace.cli import main as headrace

    folder = Path(arguments[0] if arguments else RELEASE_FOLDER)
    file = os.environ.get("HEADRACE_TOKENS")
    try:
        let_in = Path(file) if file and Path(file).exists() else None
        root, release = prepare(folder, Path(os.environ.get("HEADRACE_STATE") or "state").resolve(), let_in)
    except HeadraceError as error:
        sys.stderr.write("".join(f"error: {p}\n" for p in error.problems))
        sys.exit(error.exit_code)
    sys.argv = ["headrace", *command(root, release, os.environ)]
    headrace()


RELEASE_FOLDER = "release"

if __name__ == "__main__":
    main(sys.argv[1:])
