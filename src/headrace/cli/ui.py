"""`headrace ui`."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.common import in_project, open_project

if TYPE_CHECKING:
    from headrace.serve.worker import Application

_MOST = 2_000_000
"""Bytes of a form."""


@click.command(epilog="Example: headrace ui -C flights --open-browser")
@in_project
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen here; 0.0.0.0 is everywhere.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@click.option("--open-browser", "opened", is_flag=True, help="Show it in the browser.")
def ui(folder: str, host: str, port: int, opened: bool) -> None:
    """The dashboard: what is live, what is blocked and by whom, what needs a person, and why.

    Works offline. On this machine nobody has to log in until there is a token (`headrace token create`); from
    then on, and always beyond this machine, roles decide what shows and what may be done. `headrace serve`
    has the same pages under /ui.
    """
    from headrace.core.errors import UserError
    from headrace.serve.worker import run
    from headrace.serve.workers import listen
    from headrace.web.entrance import BASE, LOOPBACK

    project = open_project(folder)
    tokens = bool(project.tokens())
    if not tokens and host not in LOOPBACK:
        raise UserError(
            f"anybody who reaches {host} could see and promote releases",
            fix="make a token (`headrace token create`)",
        )
    with ExitStack() as held:
        sockets = [held.enter_context(s) for s in listen(host, port, 1)]
        address = f"http://{host}:{sockets[0].getsockname()[1]}{BASE}"

        def ready() -> None:
            click.echo(f"the dashboard is on {address}", err=True)
            if opened:
                click.launch(address)

        run(partial(make, project.root, host), sockets, ready=ready)


def make(root: Path, host: str, loop: asyncio.AbstractEventLoop) -> Application:
    """What a process answers with that has the pages alone."""
    del loop
    from headrace.core.clock import system_clock
    from headrace.core.places import STORE_DIR
    from headrace.serve.http.endpoint import Endpoint, Reply
    from headrace.serve.http.guard import Guard
    from headrace.serve.http.limits import Limits
    from headrace.serve.http.shell import Shell
    from headrace.serve.worker import Application
    from headrace.stores.embedded import EmbeddedStore
    from headrace.web.entrance import BASE
    from headrace.web.mount import site_of

    store = EmbeddedStore(root / STORE_DIR)
    guard = Guard(store, system_clock)
    site = site_of(root, store, guard, host=host)
    site.warm()
    away = Reply(b"", 303, headers=((b"location", BASE.encode()),))
    home = Endpoint("GET", "/", lambda _: away, "leads to the dashboard", role="")

    def close() -> None:
        site.close()
        guard.close()
        store.close()

    shell = Shell([*site.endpoints(), home], most=_MOST, guard=guard, close=close)
    return Application(shell, Limits())
