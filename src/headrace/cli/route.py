"""`headrace route show|set|pause|resume|rollback|history`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headrace.cli.common import in_project, open_project, print_json, table, with_json
from headrace.cli.hints import Hinting
from headrace.core.codec import to_plain
from headrace.core.errors import UserError
from headrace.core.event import Event
from headrace.core.routes import DEFAULT, Route

in_route = click.option("--route", default=DEFAULT, show_default=True, metavar="NAME", help="The route.")


@click.group(cls=Hinting, epilog="Example: headrace route set --canary 3f2a")
def route() -> None:
    """Routes: which releases answer which share of the traffic. Servers follow within a second."""


@route.command(epilog="Example: headrace route show")
@in_project
@with_json
def show(folder: str, as_json: bool) -> None:
    """Show who answers, how far a canary is, how its guardrails stand, and what shadows would have said."""
    project = open_project(folder)
    routes, champion = project.routes(), project.releases().champion
    standing, shadowed = project.standing(), project.shadowed()
    if as_json:
        print_json(
            {
                "champion": champion.release if champion else None,
                "routes": {n: to_plain(r) for n, r in routes.items()},
                "standing": standing,
                "shadows": to_plain(shadowed),
            }
        )
        return
    for name, found in routes.items():
        click.echo(f"{name}: {_told(found)}")
        rest = f"{1 - found.drawn:.4g}" if found.drawn < 1 else "0"
        rows = [[champion.release if champion else "–", "champion", _percent(float(rest))]]
        rows += [[a.release, a.role.value, _percent(a.share)] for a in found.arms]
        click.echo(table(["release", "arm", "share"], rows, right=(2,)))
        if found.canary is not None:
            _show_standing(standing.get(name))
    if shadowed:
        headers = ["route", "shadow", "answers", "agrees", "score differs by", "apart", "p99 ms", "returned"]
        told = [
            [s.route, s.release, s.answers, s.agreement, s.difference, s.apart, s.p99_ms, s.returned_p99_ms]
            for s in shadowed
        ]
        click.echo("\n" + table(headers, told, right=range(2, 8)))


def _show_standing(told: Mapping[str, Any] | None) -> None:
    if told is None:
        click.echo("\nno server watches the guardrails now: headrace serve")
        return
    from headrace.policy.routing import shown

    rows = []
    for j in told["judged"]:
        values = [shown(j["guardrail"], j[k]) for k in ("value", "champion")]
        rows.append([j["guardrail"], j["outcome"], *values, j["rows"], _share_of(j["evidence"]), j["reason"]])
    headers = ["guardrail", "", "canary", "champion", "answers", "evidence", "why"]
    click.echo("\n" + table(headers, rows, right=(2, 3, 4, 5)))
    click.echo(f"next: {told['next']}")


def _share_of(evidence: float) -> str:
    """How much of what it takes to send the canary back."""
    return f"{min(100 * evidence, 100):.2g}%" if evidence >= 1e-4 else "none"


@route.command("set", epilog="Example: headrace route set --canary 3f2a:5% --ramp 5,25,50,100 --bake '1 h'")
@in_project
@in_route
@click.option(
    "--canary", metavar="RELEASE[:SHARE]", help="Put a release on trial, on its spec's ramp or with a share."
)
@click.option(
    "--shadow",
    "shadows",
    multiple=True,
    metavar="RELEASE[:SHARE]",
    help="Answer beside the others, unseen; `none` ends it.",
)
@click.option(
    "--ramp", metavar="SHARES", help="Percent, one after the other, such as 5,25,50,100; `none`: stay."
)
@click.option("--bake", metavar="SPAN", help="How long each share is held, such as '1 h'.")
@click.option(
    "--guardrail",
    "guardrails",
    multiple=True,
    metavar="RULE",
    help="What sends the canary back, in place of its spec's.",
)
@click.option("--again", is_flag=True, help="Take a release again that was taken down.")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@with_json
def set_(
    folder: str,
    route: str,
    canary: str | None,
    shadows: tuple[str, ...],
    ramp: str | None,
    bake: str | None,
    guardrails: tuple[str, ...],
    again: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Change who answers. What is not named stays as it is.

    A canary answers its share of the units, the same ones for as long as it is there, and goes up its ramp by
    itself while its guardrails hold; when one breaks it is taken off within seconds. At 100% and after the
    last bake it is promoted, by the same gates as `headrace release promote`.
    """
    project = open_project(folder)
    release, share = _arm(canary) if canary is not None else ("", None)
    found = project.set_route(
        canary=None if canary is None else release if share is None else (release, share),
        shadows=_shadows(shadows),
        ramp=None if ramp is None else _shares(ramp),
        bake=bake,
        guardrails=guardrails or None,
        again=again,
        reason=reason,
        route=route,
    )
    _tell(found, as_json)


@route.command(epilog="Example: headrace route pause")
@in_project
@in_route
@with_json
def pause(folder: str, route: str, as_json: bool) -> None:
    """Let a canary's ramp stand still. Its guardrails hold."""
    _tell(open_project(folder).pause_route(route=route), as_json)


@route.command(epilog="Example: headrace route resume")
@in_project
@in_route
@with_json
def resume(folder: str, route: str, as_json: bool) -> None:
    """Let a paused ramp go on. Its share is held for a whole bake again."""
    _tell(open_project(folder).resume_route(route=route), as_json)


@route.command(epilog="Example: headrace route rollback --reason 'customers complain'")
@in_project
@in_route
@click.option("--release", metavar="NAME", help="Take this one off (default: the canary).")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@with_json
def rollback(folder: str, route: str, release: str | None, reason: str, as_json: bool) -> None:
    """Take a release off the route at once: its share goes back to the champion."""
    _tell(open_project(folder).roll_back_route(release, reason=reason, route=route), as_json)


@route.command(epilog="Example: headrace route history")
@in_project
@click.option("--route", metavar="NAME", help="Only this route.")
@with_json
def history(folder: str, route: str | None, as_json: bool) -> None:
    """Show what became of routes, and why."""
    events = open_project(folder).route_history(route)
    if as_json:
        print_json([to_plain(e) for e in events])
        return
    rows = [[e.time[:19], e.subject, e.kind.partition(".")[2], e.actor, _said(e)] for e in events]
    click.echo(table(["time", "route", "", "by", "what"], rows) if rows else "no route was ever set")


def _arm(text: str) -> tuple[str, float | None]:
    release, colon, share = text.partition(":")
    if not release or (colon and not share):
        raise UserError(f"{text!r} names no release and share", fix="write RELEASE, or RELEASE:5%")
    return release, _share(share) if colon else None


def _share(text: str) -> float:
    """`5%`, or `0.05`."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise UserError(f"{text!r} is no share", fix="write 5%, or 0.05") from None


def _shares(text: str) -> tuple[float, ...]:
    """`5,25,50,100`, in percent."""
    if text == "none":
        return ()
    return tuple(_share(t.strip().removesuffix("%") + "%") for t in text.split(","))


def _shadows(texts: tuple[str, ...]) -> Mapping[str, float] | None:
    if not texts:
        return None
    named = [_arm(t) for t in texts if t != "none"]
    return {n: 1.0 if s is None else s for n, s in named}


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def _told(found: Route) -> str:
    ramp: Any = found.ramp.get("shares", ())
    if found.canary is None:
        return "the champion answers" + (", others beside it" if found.arms else "")
    way = " → ".join(_percent(s) for s in ramp) if ramp else "no ramp"
    return f"canary at {_percent(found.canary.share)} ({way}){', paused' if found.paused else ''}"


def _said(e: Event) -> str:
    p = e.payload
    if e.kind == "route.set":
        arms = ", ".join(f"{a['role']} {a['release']} {_percent(a['share'])}" for a in p["arms"])
        return f"{arms or 'the champion alone'}{': ' + p['reason'] if p.get('reason') else ''}"
    if e.kind == "route.judged":
        from headrace.policy.routing import shown

        value = shown(p["guardrail"], p["value"])
        return f"{p['guardrail']}: {p['outcome']}, {value} on {p['rows']} answers"
    if e.kind == "route.rolled_back":
        return f"{p['release']} at {_percent(p['share'])}{': ' + p['reason'] if p['reason'] else ''}"
    moved = ", ".join(f"{r} {_percent(s)}" for r, s in p.get("shares", {}).items())
    return moved or ("paused" if p.get("paused") else "resumed")


def _tell(found: Route, as_json: bool) -> None:
    if as_json:
        print_json(to_plain(found))
    else:
        click.echo(f"{found.name}: {_told(found)}")
