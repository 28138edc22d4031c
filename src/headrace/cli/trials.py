"""`headrace trials`."""

from __future__ import annotations

from typing import Any

import click

from headrace.cli.common import in_project, number, open_project, print_json, table, with_json
from headrace.core.codec import to_plain
from headrace.learn.search.record import CandidateSearch, SearchRecord, Trial


@click.command(epilog="Example: headrace trials run-3 --model boosting -n 5")
@in_project
@click.argument("run", required=False)
@click.option("--model", default="", metavar="NAME", help="Show the trials of this model only.")
@click.option(
    "-n",
    "most",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Show at most this many trials a model, best first.",
)
@with_json
def trials(folder: str, run: str | None, model: str, most: int, as_json: bool) -> None:
    """Show every trial of a run's search (default: the newest run): parameters, folds, how it ended.

    Trial 0 is the model with its default parameters. The best trial was chosen by the very folds that it is
    shown with, which flatters it: "honest" is the mean where each fold's trial was chosen by the others.
    """
    record, seconds = open_project(folder).trials(run)
    shown = [c for c in record.candidates if not model or c.model == model]
    if model and not shown:
        known = ", ".join(c.model for c in record.candidates)
        raise click.BadParameter(f"{model!r} was not searched; these were: {known}", param_hint="--model")
    if as_json:
        print_json({**to_plain(record), "candidates": [to_plain(c) for c in shown], "seconds": seconds})
        return
    click.echo(_head(record))
    for one in shown:
        click.echo("\n" + _candidate(record, one, seconds.get(one.model, ()), most))


def _head(record: SearchRecord) -> str:
    budgets = [
        f"{record.trials} trials" if record.trials else "",
        f"{record.seconds:g} s" if record.seconds else "",
    ]
    text = f"{record.method} search for {record.metric}, "
    text += " and ".join(b for b in budgets if b) or "the whole grid"
    if record.clock:
        text += "\nwhat was tried depended on the clock: another run may find something else"
    return text


def _candidate(record: SearchRecord, one: CandidateSearch, seconds: Any, most: int) -> str:
    states = [t.state.value for t in one.trials[1:]]
    counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    lines = [f"{one.model}: {len(states)} trials ({counts or 'none'}); {one.stopped}"]
    if one.note:
        lines.append(one.note)
    best = f"best: trial {one.best} with {number(one.best_mean)} on the folds that chose it"
    lines.append(f"{best}; honest {number(one.honest_mean)}; defaults {number(one.defaults_mean)}")
    sign = -1.0 if record.higher_is_better else 1.0

    def order(trial: Trial) -> tuple[bool, float, int]:
        return trial.mean is None, sign * (trial.mean or 0.0), trial.number

    names = list(one.space)
    rows = [
        [
            t.number,
            t.state.value,
            t.mean,
            " ".join(number(v) for v in t.folds),
            seconds[t.number] if t.number < len(seconds) else None,
            *(t.params.get(n) for n in names),
        ]
        for t in sorted(one.trials, key=order)[:most]
    ]
    headers = ["trial", "state", "mean", "folds", "seconds", *names]
    lines.append(table(headers, rows, right=(0, 2, 4, *range(5, len(headers)))))
    errors = [f"trial {t.number}: {t.error}" for t in one.trials if t.error][:3]
    return "\n".join(lines + errors)
