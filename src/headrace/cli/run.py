"""`headrace run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from headrace.cli.cleaning import cleaning_text
from headrace.cli.common import (
    Ticker,
    in_project,
    number,
    open_project,
    print_json,
    span,
    table,
    told_warnings,
    with_json,
)
from headrace.cli.features import lock_summary
from headrace.cli.verdict import advice_text, leaderboard_text, worth_text
from headrace.core.gates import STAGES
from headrace.core.spec import LOCK_NAME
from headrace.engine.result import RunResult


@click.command(
    epilog="Example: headrace run -C flights\n\n"
    "Example: headrace run --waive latency --reason 'demo machine' --by me@example.com --until 2026-12-31"
)
@in_project
@click.option("--to", type=click.Choice([s for s in STAGES if s != "promote"]), help="The last stage to run.")
@click.option("--snapshots", default="", metavar="RUN", help="Use the tables as RUN saw them.")
@click.option("--model", default="", metavar="RUN", help="Take the model that the script's run RUN gave.")
@click.option("--waive", "gate", multiple=True, metavar="GATE", help="Waive a gate openly; may be repeated.")
@click.option("--reason", default="", help="With --waive: why this is right.")
@click.option("--by", default="", metavar="NAME", help="With --waive: who answers for it.")
@click.option("--until", default="", metavar="DATE", help="With --waive: the last day on which it holds.")
@click.option(
    "--tracking", metavar="mlflow:URI", help="Mirror the run to an MLflow server ($HEADRACE_TRACKING)."
)
@click.option("--because", default="", metavar="ALERT", help="The run mends this alert; its name says so.")
@with_json
def run(
    folder: str,
    because: str,
    tracking: str | None,
    to: str | None,
    snapshots: str,
    model: str,
    gate: tuple[str, ...],
    reason: str,
    by: str,
    until: str,
    as_json: bool,
) -> None:
    """Run the spine: frame, ingest, split, features, learn, package, evaluate, test, promote.

    Where the spec has `features: auto` and there is no features.lock.yaml, it is made behind the split.
    Stages whose inputs have not changed are not run again. Every gate is judged anew. With `--to evaluate`
    the sealed test stays closed. Exit codes: 0 released, or stopped where you asked; 3 a gate blocked
    (`no-go`: today's solution is as good, within noise), 4 awaiting an approval, 2 a
    mistake in spec, data or arguments.
    """
    waive = [{"gate": g, "reason": reason, "by": by, "until": until} for g in gate]
    project = open_project(folder)
    locked = (project.root / LOCK_NAME).exists()
    with told_warnings():
        result = project.run(
            waive=waive,
            to=to or "",
            snapshots=snapshots,
            model=model,
            tracking=tracking,
            caused=project.because(because) if because else None,
            progress=Ticker(),
            raises=not as_json,
        )
    if as_json:
        print_json(result.plain())
    else:
        lock = None if locked else project.lock()
        if lock is not None:
            click.echo(lock_summary(lock) + "\n")
        click.echo(render(result))
    for problem in result.problems:
        click.echo(f"{result.status}: {problem}", err=True)
    raise SystemExit(result.exit_code)


def render(result: RunResult) -> str:
    """A run's result as text: leaderboard, gates, test, release."""
    plain = result.plain()
    parts = [f"{plain['run']}: {plain['name']} — {plain['status']} in {plain['seconds']:.1f} s"]
    if not result.worked and result.stages:
        parts[0] += " (nothing was new: no stage had to run)"
    parts.append(cleaning_text(plain))
    parts.append(leaderboard_text(plain))
    parts.append(tables_table(plain["tables"]))
    parts.append(gates_table(plain["gates"]))
    parts.append(findings_text(plain["findings"]))
    test = plain["test"]
    if test:
        if test["value"] is None:
            parts.append(f"test: opening {test['opening']} of these rows: the verdict alone is shown")
        else:
            parts.append(
                f"test: {test['metric']} {number(test['value'])} {span(test['interval'])} "
                f"on {test['n']} rows, opening {test['opening']}"
            )
    parts += [worth_text(plain), advice_text(plain)]
    if plain["status"] == "stopped":
        parts.append("next: headrace show, headrace report run; headrace run opens the sealed test")
    if plain["release"]:
        parts.append(f"release: {plain['release']} ({plain['status']})")
    return "\n\n".join(p for p in parts if p)


def findings_text(findings: Sequence[Mapping[str, object]]) -> str:
    """What the linter found and does not stop the run for: a warning, or accepted with a reason."""
    told = [f for f in findings if f["severity"] != "blocks"]
    lines = []
    for f in told:
        head, tail = ("accepted", "because") if f["severity"] == "accepted" else ("warning", "fix")
        about = f" of {f['feature']}" if f["feature"] else ""
        lines.append(f"{head}: {f['kind']}{about} — {f['what']}\n  {tail}: {f['remedy']}")
    return "\n".join(lines)


def tables_table(tables: dict[str, dict[str, object]]) -> str:
    """Which snapshot of each table was used, and how old it was."""
    rows = [
        [
            name,
            str(t["artifact"])[:12],
            t["rows"],
            str(t["newest"])[:19] or "–",
            str(t["taken"])[:19],
            t["age_days"],
        ]
        for name, t in tables.items()
    ]
    headers = ["table", "snapshot", "rows", "newest row", "taken", "age in days"]
    return table(headers, rows, right=(2, 5)) if rows else ""


MOST_PASSING = 12
"""So many expectations that pass are listed one by one; more are one line."""


def gates_table(gates: list[dict[str, object]]) -> str:
    """Verdicts as a table; where one is not applicable, with why."""
    if not gates:
        return ""
    passing = [g for g in gates if g["verdict"] == "pass" and str(g["name"]).startswith("expectation:")]
    folded = passing if len(passing) > MOST_PASSING else []
    rows = []
    for g in gates:
        if folded and g is folded[0]:
            rows.append([g["stage"], f"{len(folded)} expectations", "pass", "–", "", "", "each is in --json"])
        if g in folded:
            continue
        verdict = str(g["verdict"]) + (" (waived)" if g["waiver"] else "")
        value = number(g["value"]) if isinstance(g["value"], float | int) else "–"
        unit = g["reason"] if g["verdict"] in ("not applicable", "unknown") else g["unit"]
        rows.append([g["stage"], g["name"], verdict, value, span(g["interval"]), g["rule"], unit])
    return table(["stage", "gate", "verdict", "value", "interval", "rule", "unit"], rows, right=(3,))
