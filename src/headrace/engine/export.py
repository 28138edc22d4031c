"""A release as files that run elsewhere: recipes from its manifest, and beside them what serving needs."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from headrace.core.clock import Clock, iso
from headrace.core.codec import to_json
from headrace.core.errors import UserError
from headrace.core.places import ONLINE
from headrace.core.ports import OnlineStore, Store
from headrace.core.tokens import TOKEN_KINDS, tokens
from headrace.core.views import RELEASE_KINDS, ReleaseView
from headrace.engine.environment import normal
from headrace.engine.materialize import materialize
from headrace.release.feeds import feeds_of, ready, unfed
from headrace.release.manifest import Manifest
from headrace.release.targets.client import client_file
from headrace.release.targets.compose import compose_file
from headrace.release.targets.deploy import Deploy, deploy, needs
from headrace.release.targets.docker import docker_files
from headrace.release.targets.kubernetes import kubernetes_files, tokens_secret
from headrace.release.targets.wheel import wheel

TARGETS = ("docker", "compose", "kubernetes", "client")
RELEASE, TOKENS = "release", "secrets/tokens.json"
"""The folder with the release and its artifacts; the file with the hashes of tokens."""


@dataclass(frozen=True)
class Exported:
    """What was written: the paths of all files in the folder, and their bytes."""

    target: str
    release: str
    folder: str
    files: tuple[str, ...]
    bytes: int


def export_server(
    store: Store,
    found: ReleaseView,
    manifest: Manifest,
    folder: Path,
    *,
    target: str,
    online: OnlineStore,
    clock: Clock,
    claim: str = "",
) -> Exported:
    """Write a folder that serves a release: `docker`, `compose` (the same, and compose.yaml) or `kubernetes`
    (the same, and `kubernetes/`). online: the project's, copied where it holds all that the release looks
    up; else one is filled from the release's snapshots.

    Raises:
        UserError: the folder is not empty, and no earlier export.
    """
    fresh = _empty(folder)
    try:
        _server(store, found, manifest, fresh, target=target, online=online, clock=clock, claim=claim)
        return _placed(fresh, folder, target, found.release)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _server(
    store: Store,
    found: ReleaseView,
    manifest: Manifest,
    folder: Path,
    *,
    target: str,
    online: OnlineStore,
    clock: Clock,
    claim: str,
) -> None:
    _release(store, found, manifest, folder / RELEASE)
    _online(store, online, manifest, folder / RELEASE / ONLINE)
    name, made = _our_wheel()
    (folder / "wheels").mkdir()
    (folder / "wheels" / name).write_bytes(made)
    let_in = _tokens(store, iso(clock()))
    size = sum(p.stat().st_size for p in (folder / RELEASE).rglob("*") if p.is_file())
    about = deploy(
        manifest,
        found.release,
        python=platform.python_version(),
        pins=pinned(needs(manifest)),
        wheel=name,
        size=size,
        tokens=let_in != [],
    )
    text = json.dumps(let_in, indent=1) + "\n"
    files = {**docker_files(about), TOKENS: text, **_beside(about, target, claim, text)}
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")


def _beside(about: Deploy, target: str, claim: str, let_in: str) -> Mapping[str, str]:
    if target == "compose":
        return {"compose.yaml": compose_file(about)}
    if target == "kubernetes":
        made = {**kubernetes_files(about, claim=claim), "tokens.yaml": tokens_secret(about, let_in)}
        return {f"kubernetes/{name}": text for name, text in made.items()}
    return {}


def export_client(found: ReleaseView, manifest: Manifest, path: Path) -> Exported:
    """Write the client of a release: one Python file.

    Raises:
        UserError: the name is none of a module, or its folder is missing.
    """
    if path.suffix != ".py" or path.is_dir():
        raise UserError("a client is one Python file", where=str(path), fix="name it so: -o client.py")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}", where=str(path), fix="make it first")
    data = client_file(manifest, found.release).encode()
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
    return Exported("client", found.release, str(path), (path.name,), len(data))


def artifacts(manifest: Manifest, *, online: bool) -> tuple[str, ...]:
    """The digests of all that serving reads. online: whether the tables that can be kept online are."""
    serving = manifest.serving
    there = set(feeds_of(serving)) if online else set()
    named = [serving.graph, serving.reference, serving.code, *manifest.plan.artifacts]
    named += [t.artifact for t in serving.lookups if t.table not in there]
    for table, past in serving.pasts.items():
        named += [past.graph, *([] if table in there else [past.artifact])]
    if manifest.review is not None:
        named.append(manifest.review.graph)
    if manifest.watch is not None:
        named += manifest.watch.artifacts
    return tuple(dict.fromkeys(d for d in named if d))


def _release(store: Store, found: ReleaseView, manifest: Manifest, folder: Path) -> None:
    """The release's events and artifacts: what a server's own store is made of."""
    kept = [
        {"kind": e.kind, "subject": e.subject, "time": e.time, "actor": e.actor, "payload": e.payload}
        for e in store.read(kinds=RELEASE_KINDS, subject=found.release)
    ]
    (folder / "artifacts").mkdir(parents=True)
    for digest in (found.manifest, *artifacts(manifest, online=not unfed(manifest.serving))):
        shutil.copyfile(store.get(digest), folder / "artifacts" / digest)
    (folder / "release.json").write_bytes(to_json({"release": found.release, "events": kept}))


def _online(store: Store, online: OnlineStore, manifest: Manifest, path: Path) -> None:
    """The tables that are looked up online, as one file that holds all of itself."""
    from headrace.stores.online import SqliteOnlineStore

    wanted = feeds_of(manifest.serving)
    if not wanted:
        return
    source = getattr(online, "path", None)
    if source is not None and ready(online, manifest.serving).keys() == wanted.keys():
        with closing(sqlite3.connect(source)) as ours, closing(sqlite3.connect(path)) as theirs:
            ours.backup(theirs)
            theirs.execute("PRAGMA journal_mode = WAL")
    else:
        filled = SqliteOnlineStore(path)
        materialize(store, filled, manifest)
        filled.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _tokens(store: Store, now: str) -> list[dict[str, object]]:
    """The tokens that are good, as the events that made them: their hashes, never themselves."""
    good = {i for i, t in tokens(store.read(kinds=TOKEN_KINDS)).items() if t.valid_at(now)}
    made = [e for e in store.read(kinds=("token.made",)) if e.subject in good]
    return [
        {"subject": e.subject, "time": e.time, "actor": e.actor, "payload": dict(e.payload)} for e in made
    ]


def pinned(roots: Iterable[str]) -> dict[str, str]:
    """The versions, as installed here, of distributions and all that they need, without extras.

    Raises:
        UserError: one of them is not installed here.
    """
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        name = normal(waiting.pop())
        if name in found:
            continue
        try:
            there = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise UserError(f"{name} is not installed here, and serving needs it") from None
        found[name] = there.version
        for line in there.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return found


def _our_wheel() -> tuple[str, bytes]:
    there = importlib.metadata.distribution("headrace")
    package = Path(__file__).resolve().parents[1]
    return wheel(package, there.version, there.read_text("METADATA") or "")


def _empty(folder: Path) -> Path:
    """A new folder beside the one that is wanted.

    Raises:
        UserError: that holds something which is no earlier export, or is the folder one is in.
    """
    if folder.resolve() == Path.cwd():  # the folder is replaced as a whole
        raise UserError("that is the folder you are in", where=str(folder), fix="name a new one")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RELEASE / "release.json").is_file():
        raise UserError("that folder is not empty", where=str(folder), fix="name a new one")
    if folder.exists() and not folder.is_dir():
        raise UserError("that is a file", where=str(folder), fix="name a folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    return fresh


def _placed(fresh: Path, folder: Path, target: str, release: str) -> Exported:
    files = sorted(p for p in fresh.rglob("*") if p.is_file())
    names, size = tuple(p.relative_to(fresh).as_posix() for p in files), sum(p.stat().st_size for p in files)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.replace(folder)
    return Exported(target, release, str(folder), names, size)
