"""`headrace token create|list|revoke`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from headrace.cli.common import in_project, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.clock import iso, parse_duration
from headrace.core.codec import to_plain
from headrace.core.errors import UserError
from headrace.core.spec.scalars import parse_rate
from headrace.core.tokens import Role, Token


@click.group(cls=Hinting, epilog="Example: headrace token create --role caller --name shop")
def token() -> None:
    """Tokens: who may ask what of a server. There is no account to begin with.

    A server that has no token answers its own machine alone; elsewhere it does not start without one.
    """


@token.command(epilog="Example: headrace token create --role caller --name shop --expires '90 days'")
@in_project
@click.option("--role", required=True, type=click.Choice([r.value for r in Role]), help="What it opens.")
@click.option("--name", required=True, metavar="NAME", help="Who holds it: a person or a program.")
@click.option(
    "--expires",
    default="90 days",
    show_default=True,
    metavar="SPAN",
    help="How long it is good, or `never`.",
)
@click.option("--route", "routes", multiple=True, metavar="ROUTE", help="Only this route (may be repeated).")
@click.option("--rate", metavar="RATE", help="Requests at most, such as '100 / s'.")
@with_json
def create(
    folder: str,
    role: str,
    name: str,
    expires: str,
    routes: tuple[str, ...],
    rate: str | None,
    as_json: bool,
) -> None:
    """Make a token and print it, once: only its hash is kept.

    caller: predictions, facts and labels. viewer: what there is, and metrics. reviewer: the review queue.
    operator: everything that moves traffic, and certain releases. approver: approvals. admin: all of it.
    Send it as `Authorization: Bearer TOKEN`.
    """
    try:
        lasts = None if expires == "never" else parse_duration(expires)
        limit = None if rate is None else parse_rate(rate)
    except ValueError as error:
        raise UserError(str(error)) from None
    made = open_project(folder).make_token(name, role, lasts=lasts, routes=routes, rate=limit)
    if as_json:
        print_json({"token": made.shown, **_plain(made.token)})
        return
    until = f", good until {made.token.expires[:19]}Z" if made.token.expires else ""
    click.echo(f"{made.token.name} ({made.token.role}){until}; it is not shown again:", err=True)
    click.echo(made.shown)


@token.command("list", epilog="Example: headrace token list")
@in_project
@with_json
def list_(folder: str, as_json: bool) -> None:
    """List tokens: their names, never themselves."""
    found = open_project(folder).tokens()
    if as_json:
        print_json([_plain(t) for t in found])
        return
    if not found:
        click.echo("no tokens; servers answer their own machine alone")
        return
    rows = [
        [t.id, t.name, t.role.value, _state(t), ", ".join(t.routes) or "all", t.rate, t.made[:19], t.by]
        for t in found
    ]
    click.echo(table(["id", "name", "role", "state", "routes", "a second", "made", "by"], rows))


@token.command(epilog="Example: headrace token revoke shop --reason 'found in a log'")
@in_project
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept in the ledger.")
@with_json
def revoke(folder: str, name: str, reason: str, as_json: bool) -> None:
    """Revoke a token by its name or id. Every server refuses it within a second."""
    done = open_project(folder).revoke_token(name, reason=reason)
    if as_json:
        print_json(_plain(done))
    else:
        click.echo(f"revoked {done.name} ({done.id})")


def _state(found: Token) -> str:
    if found.revoked:
        return f"revoked {found.revoked[:19]}"
    if not found.expires:
        return "good for ever"
    good = found.valid_at(iso(datetime.now(UTC)))
    return f"{'good until' if good else 'expired'} {found.expires[:19]}"


def _plain(found: Token) -> dict[str, object]:
    """Without its hash."""
    return {k: v for k, v in to_plain(found).items() if k != "hash"}
