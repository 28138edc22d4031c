"""Floor 7: the command line. One file a command group; each is imported when its command is called."""

from __future__ import annotations


def main() -> None:
    """The `headrace` command."""
    from headrace.cli.root import cli

    cli(prog_name="headrace")
