"""What a run was made from, and its name: what changed since its parent."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace._version import __version__
from headrace.core.codec import from_json, from_plain, to_json, to_plain
from headrace.core.digest import digest_bytes
from headrace.core.ports import Store
from headrace.core.schema import Snapshot
from headrace.core.spec import Spec
from headrace.core.spec.features import PythonFeature
from headrace.core.views import RUN_KINDS, RunView, runs
from headrace.engine.code import module_digests
from headrace.engine.context import Context, Made
from headrace.engine.memo import recall
from headrace.engine.plan import steps
from headrace.policy.changes import System, Table, name_of

UNTIL = "package"
"""Stages behind this one judge a system; they are no part of it."""
ABLATION = "ablation"
"""The tag of a run that measured one change alone: no run has it as its parent."""


def origin(ctx: Context) -> dict[str, Any]:
    """What `run.started` keeps beside the spec: the user's own files, headrace's modules, the given model."""
    names: list[str] = []
    for step in steps(ctx):
        names += step.stage.code(ctx)
        if step.stage.name == UNTIL:
            break
    modules = ctx.store.put(to_json(module_digests(tuple(names)))).digest
    given = [ctx.given.name, ctx.given.graph] if ctx.given is not None else None
    return {
        "code": user_code(ctx.root, ctx.spec),
        "modules": modules,
        "version": __version__,
        "given": given,
        **({"caused": to_plain(ctx.caused)} if ctx.caused is not None else {}),
    }


def user_code(root: Path, spec: Spec) -> dict[str, str]:
    """Digests of the project's own Python files that the spec names, and of those that they import."""
    waiting = [t.read.rpartition(":")[0] for t in spec.data.tables.values() if ".py:" in t.read]
    waiting += [
        f.python.rpartition(":")[0] for f in spec.feature_specs().values() if isinstance(f, PythonFeature)
    ]
    models = [m.use for m in spec.model_specs().values() if ":" in m.use]
    waiting += [m.partition(":")[0].replace(".", "/") + ".py" for m in models]
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        file = root / name
        if name in found or not file.is_file():
            continue
        source = file.read_bytes()
        found[name] = digest_bytes(source)
        waiting += [f for m in _imports(source) for f in (f"{m}.py", f"{m}/__init__.py")]
    return dict(sorted(found.items()))


def _imports(source: bytes) -> Iterable[str]:
    """The modules that a file imports, as paths below the project; none where it is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name.replace(".", "/") for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.replace(".", "/")
            yield from (f"{node.module}.{a.name}".replace(".", "/") for a in node.names)


def tables_of(snapshots: Mapping[str, Snapshot]) -> dict[str, Table]:
    """Tables as they are compared."""
    return {n: Table(s.rows, s.content, tuple(c.name for c in s.columns)) for n, s in snapshots.items()}


def declared(plain: Mapping[str, Any], came: Mapping[str, Any], store: Store, commit: str) -> System:
    """What a run is made from as it begins, before it reads a table."""
    return System(
        spec=plain,
        code=came.get("code"),
        modules=_modules(store, came.get("modules", "")),
        version=came.get("version", ""),
        commit=commit,
        given=tuple(came["given"]) if came.get("given") else None,
    )


def _modules(store: Store, digest: str) -> dict[str, str] | None:
    if not digest or not store.has(digest):
        return None
    found: dict[str, str] = from_json(store.get(digest).read_bytes(), dict)
    return found


def system_of(store: Store, run: RunView, snapshots: Mapping[str, Snapshot] | None = None) -> System | None:
    """What a run was made from, as far as it is recorded; None where its spec is no longer kept.

    snapshots: the tables, where they are known; else those of the run, if it read any.
    """
    if not store.has(run.spec):
        return None
    if snapshots is None:
        snapshots = _snapshots(store, run)
    made = declared(from_json(store.get(run.spec).read_bytes(), dict), run.origin, store, run.commit)
    return replace(made, tables=tables_of(snapshots) if snapshots is not None else None)


def _snapshots(store: Store, run: RunView) -> dict[str, Snapshot] | None:
    keys = {s["name"]: s["key"] for s in run.summary.get("stages", ()) if s["status"] != "failed"}
    output = recall(store, keys["ingest"]) if keys.get("ingest") else None
    if output is None or not output.facts.get("snapshots"):
        return None
    return {n: from_plain(s, Snapshot) for n, s in output.facts["snapshots"].items()}


def snapshots_made(made: Made) -> dict[str, Snapshot] | None:
    """The tables of a run under way; None before they were read."""
    facts = made["ingest"].facts if "ingest" in made else {}
    return {n: from_plain(s, Snapshot) for n, s in facts["snapshots"].items()} if facts else None


def parent_of(earlier: Mapping[str, RunView]) -> RunView | None:
    """The newest run of the spine that was not an arm of an ablation."""
    found = [r for r in earlier.values() if not r.script and ABLATION not in r.tags]
    return found[-1] if found else None


def name_run(new: System, store: Store, parent: RunView | None) -> str:
    """What changed since the parent. Before the tables were read, they are taken to be the same."""
    old = system_of(store, parent) if parent is not None else None
    if old is None:
        return "first run" if parent is None else f"after {parent.run}, whose spec is no longer kept"
    return name_of(new, old)


def titled(ctx: Context, name: str) -> str:
    """A run's name with what started it, where no person did."""
    return name if ctx.caused is None else f"{ctx.caused.title} ({name})"


def renamed(ctx: Context, name: str, made: Made) -> str:
    """The name of a run that ends, now that its tables are known; `name` where they were never read."""
    snapshots = snapshots_made(made)
    if not snapshots:
        return name
    seen = runs(ctx.store.read(kinds=RUN_KINDS))
    run = seen[ctx.run]
    system = system_of(ctx.store, run, snapshots)
    return titled(ctx, name_run(system, ctx.store, seen.get(run.parent))) if system is not None else name
