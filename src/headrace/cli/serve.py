"""`headrace serve`."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from headrace.cli.common import in_project, open_project
from headrace.core.places import SERVING, STORE_DIR


@click.command(epilog="Example: headrace serve -C flights --workers 4 --port 8000")
@in_project
@click.option("--release", metavar="NAME", help="Serve this release, whatever is champion later.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen here; 0.0.0.0 is everywhere.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    metavar="N",
    type=click.IntRange(1, 256),
    help="Processes that answer; as many as cores.",
)
@click.option(
    "--log",
    type=click.Choice(["durable", "buffered", "off"]),
    help="How safe an answer is in the log before it is given (default: as the release says).",
)
@click.option("--open", "anybody", is_flag=True, help="Everybody may ask, without a token, from anywhere.")
@click.option(
    "--online/--no-online",
    default=None,
    help="Look up in the online store, or in the release's snapshots alone (default: where it is filled).",
)
@click.option(
    "--watch/--no-watch", default=True, help="Watch the traffic beside answering it, or leave that to others."
)
@click.option("--place", type=int, default=-1, hidden=True)
@click.option("--socket", "listening", type=int, default=-1, hidden=True)
@click.option("--link", type=int, default=-1, hidden=True)
@click.option("--shared", default="", hidden=True)
def serve(
    folder: str,
    release: str | None,
    host: str,
    port: int,
    workers: int,
    log: str | None,
    anybody: bool,
    online: bool | None,
    watch: bool,
    place: int,
    listening: int,
    link: int,
    shared: str,
) -> None:
    """Answer over HTTP by the routes of the ledger: POST /predict for one row or many, GET / for the rest.

    Callers send the event's own columns; lookups and histories are resolved here: from the online store, once
    `headrace materialize` has filled it (it then takes facts too: POST /events, GET /online), else from the
    release's snapshots. Every answer is logged, and watched by a process beside (see `headrace watch`).
    Promotions, routes and rollbacks hold within a second.

    SIGTERM and Ctrl-C end it: what was begun is answered first. With several workers SIGHUP replaces them one
    by one, and no request is lost.
    """
    from headrace.cli.application import Wanted, make
    from headrace.serve.worker import run

    root = Path(folder).resolve()
    if not (root / STORE_DIR).is_dir():
        _ = open_project(folder).store  # says what is missing
    wanted = Wanted(
        root, release or "", online, log or "", host, anybody, workers, max(0, place), shared, watch
    )
    if place >= 0:
        with socket.socket(fileno=listening) as sock, socket.socket(fileno=link) as boss:
            run(partial(make, wanted), [sock], ready=lambda: boss.sendall(b"1"), boss=boss)
        return
    from headrace.serve.workers import Supervisor, listen

    with ExitStack() as held:  # closed also where the application can't be made
        sockets = [held.enter_context(s) for s in listen(host, port, workers)]
        taken = sockets[0].getsockname()[1]
        told = partial(click.echo, f"serving on http://{host}:{taken} — GET / says what there is", err=True)
        if workers == 1:
            with suppress(OSError):  # where nothing can be written nobody else can know what it counts
                wanted = replace(wanted, shared=str(held.enter_context(_shared(root / STORE_DIR / SERVING))))
            run(partial(make, wanted), sockets, ready=told)
            return
        common = held.enter_context(_shared(root / STORE_DIR / SERVING))

        def command(place: int, listening: int, link: int) -> Sequence[str]:
            mine = ["--place", str(place), "--socket", str(listening), "--link", str(link)]
            start = [sys.executable, "-c", "from headrace.cli import main; main()"]
            return [*start, *sys.argv[1:], *mine, "--shared", str(common)]

        status = Supervisor(sockets, command, partial(click.echo, err=True)).run(told)
    sys.exit(status)


@contextmanager
def _shared(folder: Path) -> Iterator[Path]:
    """A folder for what the workers share; those of servers that are gone go."""
    from headrace.stores.files import alive

    for old in folder.iterdir() if folder.is_dir() else ():
        if old.name.isdigit() and not alive(int(old.name)):
            shutil.rmtree(old, ignore_errors=True)
    mine = folder / str(os.getpid())
    mine.mkdir(parents=True, exist_ok=True)
    try:
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)
