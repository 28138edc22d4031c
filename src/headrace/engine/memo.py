"""Run a stage, or find that it has run: the key decides, the ledger remembers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.codec import from_plain, to_plain
from headrace.core.digest import digest
from headrace.core.errors import HeadraceError, StoreError, UserError
from headrace.core.lazy import lazily
from headrace.core.ports import Store
from headrace.engine.code import code_digest, library_versions
from headrace.engine.context import Context, Made, Output, Stage
from headrace.stores.trouble import os_trouble

if TYPE_CHECKING:
    import duckdb
else:
    duckdb = lazily("duckdb")  # asked for where something was raised: most commands do without

KEY_FORMAT = 1


@dataclass(frozen=True)
class Ran:
    """How a stage went: `status` is ran, cached or failed; `key` is empty where none could be made."""

    name: str
    status: str
    seconds: float
    key: str
    output: Output


def stage_key(stage: Stage, ctx: Context, made: Made) -> str:
    """Code version, spec slice, seed, environment and input digests: new key, new work."""
    return digest(
        {
            "format": KEY_FORMAT,
            "stage": stage.name,
            "code": code_digest(stage.code(ctx)),
            "slice": stage.slice(ctx),
            "seed": ctx.spec.seed,
            "libraries": library_versions(stage.libraries),
            "inputs": {n: made[n].digest for n in stage.needs},
        }
    )


def recall(store: Store, key: str) -> Output | None:
    """The output that a finished stage of this key left, if all of its artifacts are still kept."""
    for event in store.read(kinds=("stage.finished",), subject=key, newest_first=True):
        output = from_plain(event.payload["output"], Output)
        if all(store.has(d) for d in output.outputs.values()):
            return output
    return None


def run_stage(stage: Stage, ctx: Context, made: Made) -> Ran:
    """Do the stage's work unless its key is known. The result is durable when this returns.

    Raises:
        HeadraceError: what the stage raised; a `stage.failed` event says so first.
        StoreError: the disk refused what the stage was writing.
    """
    started = time.perf_counter()
    key = stage_key(stage, ctx, made)
    known = recall(ctx.store, key)
    if known is not None:
        return Ran(stage.name, "cached", time.perf_counter() - started, key, known)
    try:
        with _machine(stage.name, ctx):
            output = stage.work(ctx, made)
    except HeadraceError as error:
        problems = [to_plain(p) for p in error.problems]
        ctx.store.append([ctx.draft("stage.failed", key, run=ctx.run, stage=stage.name, problems=problems)])
        raise
    finally:
        ctx.loaded.drop()
    seconds = time.perf_counter() - started
    ctx.store.append([ctx.draft("stage.finished", key, **_payload(stage, ctx, output, seconds))])
    return Ran(stage.name, "ran", seconds, key, output)


@contextmanager
def _machine(stage: str, ctx: Context) -> Iterator[None]:
    """What the machine refuses in the middle of a stage, said so that a person can mend it."""
    try:
        yield
    except OSError as error:
        place = Path(str(error.filename)) if error.filename else ctx.root
        raise os_trouble(error, f"finish stage {stage}", place) from error
    except duckdb.OutOfMemoryException as error:
        raise UserError(
            f"stage {stage} needs more memory than limits.memory allows ({ctx.spec.limits.memory})",
            where=ctx.parsed.where("limits", "memory"),
            why=str(error).splitlines()[0],
            fix="raise limits.memory, or lower limits.threads",
        ) from error
    except duckdb.IOException as error:
        raise StoreError(
            f"can't finish stage {stage}",
            where=str(ctx.root),
            why=str(error).splitlines()[0],
            fix="check the disk and its free space",
        ) from error


def _payload(stage: Stage, ctx: Context, output: Output, seconds: float) -> Mapping[str, Any]:
    return {
        "run": ctx.run,
        "stage": stage.name,
        "seconds": round(seconds, 6),
        "output": to_plain(output),
        "artifacts": dict(output.outputs),
    }
