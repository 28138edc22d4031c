"""`headrace release list|show|approve|refuse|promote|rollback|history`."""

from __future__ import annotations

from collections.abc import Iterable

import click

from headrace.cli.common import in_project, number, open_project, print_json, span, table, with_json
from headrace.cli.hints import Hinting
from headrace.cli.run import gates_table
from headrace.core.codec import to_plain
from headrace.core.evidence import Outcome, Verdict
from headrace.core.views import ReleaseView
from headrace.engine.result import gate_line


@click.group(cls=Hinting, epilog="Example: headrace release list -C flights")
def release() -> None:
    """Releases: what there is, what is live, and who decided.

    Names on one machine are claims: headrace records who said they approved, it can't prove it.
    """


@release.command("list", epilog="Example: headrace release list")
@in_project
@with_json
def list_(folder: str, as_json: bool) -> None:
    """List releases with their states."""
    state = open_project(folder).releases()
    if as_json:
        print_json([to_plain(r) for r in state.releases.values()])
        return
    if not state.releases:
        click.echo("no releases yet; `headrace run` makes one when its gates pass")
        return
    rows = [
        [r.release, r.state.value, r.run, r.made[:19], r.author, ", ".join(r.approved_by) or "–"]
        for r in state.releases.values()
    ]
    click.echo(table(["release", "state", "run", "made", "author", "approved by"], rows))


@release.command(epilog="Example: headrace release show champion")
@in_project
@click.argument("name", required=False)
@with_json
def show(folder: str, name: str | None, as_json: bool) -> None:
    """Show a release (default: the champion): its lineage, verdicts, waivers and test estimate."""
    view, manifest = open_project(folder).release(name)
    if as_json:
        print_json({"release": to_plain(view), "manifest": to_plain(manifest)})
        return
    dirty = " (uncommitted changes)" if manifest.dirty else ""
    click.echo(f"{view.release}: {view.state.value}, {manifest.model} for {manifest.target!r}")
    click.echo(f"made {manifest.made[:19]} by {manifest.author} in {manifest.run} ({manifest.name})")
    approvals = ", ".join(view.approved_by) or "nobody"
    click.echo(f"approved by {approvals}{' (by its author)' if view.self_approved else ''}")
    click.echo(f"commit {manifest.commit[:12] or 'outside git'}{dirty}, spec {manifest.spec_digest[:12]}")
    test = manifest.test
    if test and test.value is not None:
        click.echo(f"test: {test.metric} {number(test.value)} {span(test.interval)} on {test.n} rows")
    elif test:
        click.echo(f"test: opening {test.opening} of these rows: the verdict alone is shown")
    tables = [[n, s.rows, s.content[:12], s.artifact[:12]] for n, s in manifest.snapshots.items()]
    click.echo("\n" + table(["table", "rows", "content", "artifact"], tables, right=(1,)))
    click.echo("\n" + gates_table([dict(gate_line(v)) for v in manifest.verdicts]))
    said = _against(manifest.verdicts)
    if said:
        click.echo("\n" + said)
    for v in manifest.verdicts:
        if v.waiver:
            w = v.waiver
            click.echo(f"\nwaived: {v.gate} by {w.by} until {w.until}: {w.reason}")


@release.command(epilog="Example: headrace release approve 3f2a --by colleague@example.com")
@in_project
@click.argument("name")
@click.option("--by", metavar="NAME", help="Who approves (default: you).")
@with_json
def approve(folder: str, name: str, by: str | None, as_json: bool) -> None:
    """Approve a challenger. Unless the spec says `approval: self`, its author can't."""
    view = open_project(folder).approve(name, by=by)
    _tell(view, as_json)
    if not as_json and view.state.value == "challenger":
        click.echo(
            f"approved by {', '.join(view.approved_by)}; next: headrace release promote {view.release}"
        )


@release.command(epilog="Example: headrace release refuse 3f2a --reason 'worse for small airports'")
@in_project
@click.argument("name")
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@click.option("--by", metavar="NAME", help="Who refuses (default: you).")
@with_json
def refuse(folder: str, name: str, reason: str, by: str | None, as_json: bool) -> None:
    """Refuse a release: it retires, and approvals that were given before count no more."""
    _tell(open_project(folder).refuse(name, reason=reason, by=by), as_json)


@release.command(epilog="Example: headrace release promote 3f2a")
@in_project
@click.argument("name")
@with_json
def promote(folder: str, name: str, as_json: bool) -> None:
    """Make an approved challenger, or a former champion, the champion."""
    _tell(open_project(folder).promote(name), as_json)


@release.command(epilog="Example: headrace release rollback --reason 'too many false alarms'")
@in_project
@click.option("--reason", default="", help="Why; kept in the ledger.")
@with_json
def rollback(folder: str, reason: str, as_json: bool) -> None:
    """Bring the previous champion back at once."""
    _tell(open_project(folder).rollback(reason=reason), as_json)


@release.command(epilog="Example: headrace release history --at 2026-11-21T12:00:00Z")
@in_project
@click.option("--at", metavar="MOMENT", help="Only what was live at this moment (ISO 8601).")
@with_json
def history(folder: str, at: str | None, as_json: bool) -> None:
    """Show what was live when."""
    state = open_project(folder).releases()
    if at is not None:
        live = state.live_at(_moment(at))
        if as_json:
            print_json({"at": at, "release": live or None})
        else:
            click.echo(live or "nothing was live then")
        return
    if as_json:
        print_json([to_plain(r) for r in state.reigns])
        return
    rows = [[r.release, r.since[:19], r.until[:19] or "now", r.how, r.by] for r in state.reigns]
    click.echo(
        table(["release", "since", "until", "by way of", "by"], rows) if rows else "nothing was live yet"
    )


def _moment(text: str) -> str:
    from datetime import UTC, datetime

    from headrace.core.clock import iso
    from headrace.core.errors import UserError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{text!r} is no moment", fix="write it as 2026-11-21T12:00:00Z") from None
    return iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _against(verdicts: Iterable[Verdict]) -> str:
    """What may be said of a release against the champion of its time; empty where there was none."""
    found = next((v for v in verdicts if v.gate == "champion" and v.evidence.value is not None), None)
    if found is None:
        return ""
    e = found.evidence
    says = {"better": "better than", "worse": "worse than"}.get(str(e.details.get("says")), "not worse than")
    if found.outcome != Outcome.PASS and says == "not worse than":
        says = "not shown to be as good as"
    between = f" [{e.interval.low:+.1%}, {e.interval.high:+.1%}]" if e.interval else ""
    return f"{says} champion {e.details.get('against', '')}: {e.value:+.1%}{between}, {e.unit}"


def _tell(view: ReleaseView, as_json: bool) -> None:
    if as_json:
        print_json(to_plain(view))
    else:
        click.echo(f"{view.release}: {view.state.value}")
