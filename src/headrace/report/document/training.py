"""Experiment tracking, and the training pipeline."""

from __future__ import annotations

from collections import Counter

from headrace.core.document import Design
from headrace.core.gates import GATES
from headrace.core.spec import Spec
from headrace.core.views import State
from headrace.report.document.blocks import Block, Code, Diagram, Heading, Items, Para, Part, Table, Words
from headrace.report.document.tell import counted, day, listed, verdict
from headrace.report.page import number


def experiment_tracking(design: Design) -> Part:
    """The section."""
    return Part(
        "Experiment tracking",
        (
            Heading("Tool"),
            Para(
                (
                    "headrace's own ledger: an append-only chain of events in ",
                    Code(".headrace/ledger.db"),
                    ", and artifacts under their SHA-256 beside it. ",
                    Code("headrace audit"),
                    " recomputes both.",
                )
            ),
            Heading("What is tracked"),
            Items(
                (
                    "of every run: spec, parent and what changed since, commit, environment, seed, "
                    "snapshot of every "
                    "table, the key of every stage, every gate with its evidence, leaderboard, metrics with "
                    "intervals, artifacts",
                    "of a search: every trial with its parameters and scores",
                    (
                        "of scripts of your own (",
                        Code("project.track"),
                        "): params, metrics by step, tables, plots, files, models",
                    ),
                )
            ),
            Heading("Organisation"),
            *_organisation(design),
            Heading("Mirror"),
            Para(
                (
                    "A mirror is chosen where runs are started, and is no part of spec or ledger: ",
                    Code("headrace run --tracking mlflow:URI"),
                    ", or the variable ",
                    Code("HEADRACE_TRACKING"),
                    ". The ledger stays the truth.",
                )
            ),
        ),
    )


def _organisation(design: Design) -> list[Block]:
    runs = design.runs
    if not runs:
        return [Para("No runs yet. Runs are found by group, tags and results.")]
    spine = [r for r in runs if not r.script]
    groups = Counter(r.group for r in runs if r.group)
    tags = Counter(f"{k}={v}" for r in runs for k, v in sorted(r.tags.items()))
    states = Counter(r.status for r in spine)
    ended = ", ".join(f"{s} {n}" for s, n in sorted(states.items()))
    scripts = len(runs) - len(spine)
    told = [f"{counted(len(spine), 'run')} of the pipeline ({ended})" if spine else "no run of the pipeline"]
    told.append(f"{counted(scripts, 'run')} of scripts" if scripts else "none of scripts")
    newest = runs[-1]
    items: list[Words] = [
        f"{' and '.join(told)}, from {day(runs[0].started)} to {day(newest.started)}",
        f"groups: {_counts(groups)}" if groups else "groups: none used yet",
        f"tags: {_counts(tags)}" if tags else "tags: none used yet",
        f"the newest is {newest.run} ({newest.name}): {newest.status}",
    ]
    return [Items(tuple(items))]


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{n} ({counted(c, 'run')})" for n, c in sorted(counter.items()))


def training_pipeline(design: Design) -> Part:
    """The section."""
    return Part(
        "Training pipeline",
        (
            Diagram("the pipeline", _steps(design)),
            Para(
                "A stage runs again when its code, its part of the spec, its libraries or its inputs have "
                "changed."
            ),
            Heading("Split"),
            *_split(design),
            Heading("Training"),
            *_training(design),
            Heading("Tuning"),
            Para(_tuning(design.spec)),
            Heading("Validation"),
            *_validation(design),
            Heading("Registry"),
            *_registry(design),
        ),
    )


def _steps(design: Design) -> tuple[tuple[str, str], ...]:
    spec = design.spec
    tables = listed(list(spec.data.tables))
    models = listed(list(spec.model_specs()))
    release = design.releases.champion
    return (
        ("data", f"{tables}: snapshot, checks, split"),
        ("features", f"{counted(len(spec.feature_specs()), 'feature')} in one graph, fitted on train"),
        ("train", f"{models}; one ONNX graph is packaged"),
        ("evaluate", f"{spec.problem.metric} on validation, then the sealed test"),
        ("register", f"champion {release.release}" if release else "challenger, then champion"),
    )


_SPLITS = {
    "time": "In the order of time: the newest rows are the test, those before them validation.",
    "random": "At random.",
    "stratified": "At random within strata.",
    "group": "By whole groups: rows of one group are in one part.",
    "column": "As a column says.",
}


def _split(design: Design) -> list[Block]:
    split = design.spec.split
    told: list[Words] = [_SPLITS[split.by]]
    if split.by != "column":
        told.append(f"validation {_amount(split.validation)}, sealed test {_amount(split.test)}")
    if split.by == "time":
        told.append(
            f"intervals and comparisons resample blocks of {split.block}: rows of one depend on each other"
        )
    if split.gap:
        told.append(f"rows closer than {split.gap} before a later part are left out")
    if split.group:
        told.append(("rows with the same ", Code(split.group), " depend on each other"))
    if split.by == "stratified":
        told.append(("strata: ", Code(split.on or design.spec.problem.target)))
    if design.parts and design.measured:
        parts = ", ".join(f"{n} {c:,}" for n, c in design.parts.items())
        told.append(f"rows in {design.measured.run}: {parts}")
    told.append("test rows are read once a candidate is frozen, and every opening is in the ledger")
    return [Items(tuple(told))]


def _amount(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.0%}"


def _training(design: Design) -> list[Block]:
    spec = design.spec
    how = (
        "fitted once and compared on validation"
        if spec.cv.holdout
        else f"compared by cross-validation with {spec.cv.folds} folds that match the split"
    )
    told: list[Words] = [
        f"candidates: {listed(list(spec.model_specs()))}, beside a naive baseline and today's solution; "
        f"{how}",
        f"seed {spec.seed}; at most {counted(spec.limits.threads, 'thread')} and {spec.limits.memory} of "
        "memory",
        "ensemble: " + {"off": "none", "blend": "weighted blend", "stack": "stacked"}[spec.ensemble],
        "calibration: " + ("none" if spec.calibrate == "off" else spec.calibrate),
    ]
    if spec.uncertainty:
        told.append(f"conformal answers at level {spec.uncertainty.level:g}")
    lines = design.measured.summary.get("leaderboard", ()) if design.measured else ()
    blocks: list[Block] = [Items(tuple(told))]
    if lines and design.measured:
        rows = tuple(
            (m["model"], number(m["mean"]), number(m["std"]), m.get("error") or m.get("note") or "")
            for m in lines
        )
        blocks += [
            Para(
                f"Leaderboard of {design.measured.run}: {design.metric}, its mean and spread over the folds "
                "(no spread: one fit, on validation)."
            ),
            _without_empty(Table(("model", "mean", "std", ""), rows)),
        ]
    return blocks


def _without_empty(board: Table) -> Table:
    """Without the last column where nothing stands in it."""
    if any(row[-1] for row in board.rows):
        return board
    return Table(board.headers[:-1], tuple(row[:-1] for row in board.rows))


def _tuning(spec: Spec) -> Words:
    if spec.tune is None:
        return "None: candidates run with their defaults or with the parameters that the spec gives."
    tune = spec.tune
    budget = [b for b in (tune.budget, counted(tune.trials, "trial") if tune.trials else None) if b]
    within = f" within {listed(budget)}" if budget else ""
    chosen = (
        "the best mean" if tune.choose == "best" else "the simplest within one standard error of the best"
    )
    how = f"{tune.method.capitalize()} search of the best {tune.shortlist} candidates"
    return f"{how}{within}; {chosen} is taken."


def _validation(design: Design) -> list[Block]:
    run = design.measured or design.newest
    if run is None:
        return [Para("No run yet. Every stage ends in gates; a gate that fails or is unknown stops the run.")]
    rows = tuple(
        (g["stage"], Code(g["name"]), Code(g["rule"]), verdict(g)) for g in run.summary.get("gates", ())
    )
    told: list[Block] = [
        Para(
            f"Gates as {run.run} met them; one that fails or is unknown stops a run, unless it is waived "
            "openly."
        ),
        Table(("stage", "gate", "rule", "verdict"), rows),
    ]
    values = run.summary.get("validation") or {}
    value = values.get(design.metric)
    if value and value.get("value") is not None:
        inner = value.get("interval")
        span = f" [{number(inner['low'])}, {number(inner['high'])}]" if inner else ""
        told.append(Para(f"On validation: {design.metric} {number(value['value'])}{span}, by whole units."))
    return told


def _registry(design: Design) -> list[Block]:
    spec, state = design.spec, design.releases
    asked = tuple(f"{g.name}: {g.asks}" for g in GATES.values() if g.stage == "promote")
    rules: list[Block] = [
        Para(
            "The ledger is the registry. A release is a candidate, a challenger once every gate is passed, "
            "and "
            f"champion once it is approved. It may lose at most {spec.promote.margin:g} of the metric "
            "against the "
            f"champion, at the safe end, and {spec.promote.slice_margin:g} in a declared slice. Before that:"
        ),
        Items(asked),
    ]
    if not state.releases:
        return [*rules, Para("No release yet.")]
    rows = tuple(
        (Code(r.release), r.state.value, r.run, day(r.made), ", ".join(r.approved_by) or "nobody")
        for r in state.releases.values()
    )
    champion = next((r for r in state.releases.values() if r.state is State.CHAMPION), None)
    live: Words = ("Champion: ", Code(champion.release), ".") if champion else "No release is champion."
    return [*rules, Table(("release", "state", "run", "made", "approved by"), rows), Para(live)]
