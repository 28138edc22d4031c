"""The root command: finds commands by name, and turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from headrace._version import __version__
from headrace.cli.hints import Hinting
from headrace.core.errors import HeadraceError

COMMANDS = {
    "init": "headrace.cli.start:init",
    "check": "headrace.cli.start:check",
    "schema": "headrace.cli.start:schema",
    "run": "headrace.cli.run:run",
    "features": "headrace.cli.features:features",
    "profile": "headrace.cli.profile:profile",
    "sql": "headrace.cli.sql:sql",
    "data": "headrace.cli.data:data",
    "runs": "headrace.cli.runs:runs",
    "show": "headrace.cli.runs:show",
    "note": "headrace.cli.runs:note",
    "compare": "headrace.cli.runs:compare",
    "ablate": "headrace.cli.ablate:ablate",
    "trials": "headrace.cli.trials:trials",
    "release": "headrace.cli.release:release",
    "route": "headrace.cli.route:route",
    "predict": "headrace.cli.answer:predict",
    "schedule": "headrace.cli.schedule:schedule",
    "materialize": "headrace.cli.online:materialize",
    "skew": "headrace.cli.skew:skew",
    "serve": "headrace.cli.serve:serve",
    "ui": "headrace.cli.ui:ui",
    "export": "headrace.cli.export:export",
    "token": "headrace.cli.token:token",
    "ab": "headrace.cli.ab:ab",
    "log": "headrace.cli.log:log",
    "label": "headrace.cli.label:label",
    "review": "headrace.cli.review:review",
    "watch": "headrace.cli.watch:watch",
    "alerts": "headrace.cli.alerts:alerts",
    "drift": "headrace.cli.drift:drift",
    "policy": "headrace.cli.policy:policy",
    "jobs": "headrace.cli.worker:jobs",
    "worker": "headrace.cli.worker:worker",
    "reproduce": "headrace.cli.reproduce:reproduce",
    "report": "headrace.cli.report:report",
    "doc": "headrace.cli.doc:doc",
    "audit": "headrace.cli.audit:audit",
}
"""Every command, in the order of help, and where it lives."""
INTERRUPTED = 130
"""The exit code of what Ctrl-C stopped: 128 and the signal's number, as shells have it."""


class Root(Hinting):
    """A group that imports a command's module when the command is called, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HeadraceError as error:
            # What went wrong goes to standard error, so that --json output stays clean.
            for problem in error.problems:
                click.echo(f"error: {problem}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            kept = "; the stages that were done are kept" if ctx.invoked_subcommand == "run" else ""
            click.echo(f"\nstopped{kept}", err=True)
            sys.exit(INTERRUPTED)


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start: headrace init flights --example flights && headrace run -C flights",
)
@click.version_option(__version__, prog_name="headrace", message="%(prog)s %(version)s")
def cli() -> None:
    """From raw data through gates to a running, watched decision.

    Exit codes: 0 done or released, 1 our fault, 2 your mistake, 3 a gate blocked, 4 awaiting approval.
    """
