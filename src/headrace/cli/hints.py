"""A group of commands that says which one was meant."""

from __future__ import annotations

import click

from headrace.core.errors import did_you_mean


class Hinting(click.Group):
    """Names the nearest commands where there is none of a name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}; {did_you_mean(args[0], known)}", ctx)
        return super().resolve_command(ctx, args)
