"""The model card of a release: what it is, what it is for, for whom it was measured, and what to beware of.

The sections are those of Mitchell et al. (2019), "Model Cards for Model Reporting", FAT* '19. Everything is
read from the manifest of the release and from the run that made it; what was not declared or not measured is
said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from headrace.checks.lint.record import Severity
from headrace.core.evidence import Outcome
from headrace.core.told import RunTold
from headrace.core.views import ReleaseView
from headrace.release.manifest import Manifest
from headrace.report.card_figures import by_slice, fairness_of, metrics_of, robustness_of, test_of
from headrace.report.document.blocks import (
    Block,
    Code,
    Document,
    Heading,
    Items,
    Para,
    Part,
    Table,
    Words,
    said,
)
from headrace.report.document.html import to_html
from headrace.report.document.markdown import to_markdown
from headrace.report.made import Report
from headrace.report.page import number
from headrace.report.parts.common import moment, plural, share, spelled
from headrace.report.records import Records, read_records

T = TypeVar("T")
_MOST_INPUTS = 60


def model_card(manifest: Manifest, release: ReleaseView, told: RunTold) -> Report:
    """The card of a release. A pure function of its manifest, its state and the run that made it."""
    records = read_records(told)
    problem: Mapping[str, Any] = told.spec.get("problem", {})
    document = Document(
        f"Model card: {manifest.project} {release.release}",
        f"Release {release.release} ({release.state.value}), made {moment(manifest.made)} in {manifest.run}.",
        (
            _details(manifest, release, told),
            _intended(manifest, problem),
            _factors(told, records),
            _metrics(manifest, problem),
            _evaluation_data(manifest, told),
            _training_data(manifest, told, records),
            _analyses(told, records),
            _ethics(manifest, records),
            _caveats(manifest, records),
        ),
    )
    return Report(document.title, to_html(document), to_markdown(document))


def facts(pairs: list[tuple[str, Words]]) -> Table:
    """Terms and what is said of them; empty ones are left out."""
    return Table(("", ""), tuple((k, v) for k, v in pairs if v != ""))


def _details(manifest: Manifest, release: ReleaseView, told: RunTold) -> Part:
    serving, learned = manifest.serving, told.facts("learn")
    recipe = [
        f"{m['name']} ({m['use']}, weight {m['weight']:.3g})"
        if m["weight"] != 1
        else f"{m['name']} ({m['use']})"
        for m in learned.get("recipe", ())
    ]
    line = next((s for s in manifest.leaderboard if s.model == manifest.model), None)
    owners = told.spec.get("problem", {}).get("owners", {})
    by = ", ".join(release.approved_by)
    rows: list[tuple[str, Words]] = [
        ("Made by", manifest.author),
        ("Answers for it", ", ".join(dict.fromkeys(owners.values()))),
        ("Approved by", by + (" (its own author)" if by and release.self_approved else "")),
        ("Model", manifest.model),
        ("Made of", "; ".join(recipe)),
        ("Parameters", spelled(line.params) if line and line.params else ""),
        ("Task", f"{serving.task.kind.value}: {', '.join(map(str, serving.task.classes))}".rstrip(": ")),
        ("Predicts", Code(manifest.target)),
        ("Decides positive from", number(serving.threshold) if serving.threshold is not None else ""),
        ("Calibrated", serving.calibration),
        ("Sureness", _sureness(manifest)),
        ("Graph (SHA-256)", Code(serving.graph)),
        ("Spec (SHA-256)", Code(manifest.spec)),
        ("Commit", (Code(manifest.commit), " with changes not committed" if manifest.dirty else "")
         if manifest.commit else ""),
        ("Seed", str(manifest.seed)),
        ("Libraries", spelled(manifest.libraries)),
    ]  # fmt: skip
    return Part("Model details", (facts(rows),))


def _sureness(manifest: Manifest) -> str:
    sure = manifest.serving.sureness
    if sure is None:
        return ""
    what = "intervals" if not manifest.serving.task.classes else "sets of classes"
    abstains = "; it abstains where it is not sure" if sure.abstain else ""
    return f"answers carry {what} that are to hold {sure.level:.0%} of the truths{abstains}"


def _intended(manifest: Manifest, problem: Mapping[str, Any]) -> Part:
    serving = manifest.serving
    rows: list[tuple[str, Words]] = [
        ("Objective", said(problem.get("objective"), "problem.objective")),
        ("Decision", said(problem.get("decision"), "problem.decision")),
        ("How it is used", said(problem.get("use"), "problem.use")),
    ]
    if serving.lead_us:
        before = f"{serving.lead_us / 60e6:g} minutes before the time of the event ({serving.time})"
        rows.append(("When", before))
    go = problem.get("go")
    outside: list[Words] = [
        "Any other decision, and rows of another population than the training rows: nothing was measured "
        "there.",
        "Inputs beyond what the training rows held (listed below).",
    ]
    if go:
        outside.append(f"Any use after {go['expires']}, when the go decision ends.")
    outside += [(f"While this does not hold: {a['text']}.",) for a in problem.get("assumptions", ())]
    blocks: list[Block] = [facts(rows), Heading("Out of scope"), Items(tuple(outside)), Heading("Inputs")]
    inputs: tuple[tuple[Words, ...], ...] = tuple(
        (
            Code(f.name),
            f.description or "",
            f.type.value,
            "caller" if f.source == "event" else f.source,
            _held(f),
        )
        for f in serving.fields[:_MOST_INPUTS]
    )
    headers: tuple[str, ...] = ("column", "meaning", "type", "given by", "training rows held")
    if not any(row[1] for row in inputs):
        headers, inputs = _without(headers, 1), tuple(_without(row, 1) for row in inputs)
    blocks.append(Table(headers, inputs))
    if len(serving.fields) > _MOST_INPUTS:
        blocks.append(Para(f"{len(serving.fields) - _MOST_INPUTS} more are in the manifest."))
    return Part("Intended use", tuple(blocks))


def _without(cells: tuple[T, ...], at: int) -> tuple[T, ...]:
    return cells[:at] + cells[at + 1 :]


def _held(field: Any) -> str:
    null = f", {share(field.null_share)} null" if field.null_share else ""
    if field.type.value == "time":
        return f"times{null}"
    if field.low is not None and field.high is not None:
        return f"{number(field.low)} to {number(field.high)}{null}"
    if field.categories:
        named = ", ".join(c if len(c) <= 30 else c[:29] + "…" for c in field.categories[:6])
        more = len(field.categories) - 6
        return f"{named}{f' and {more} more' if more > 0 else ''}{null}"
    return null.removeprefix(", ")


def _factors(told: RunTold, records: Records) -> Part:
    evaluate = told.spec.get("evaluate", {})
    slices = list(evaluate.get("slices", ()))
    groups = list((evaluate.get("fairness") or {}).get("columns", ()))
    population = told.spec.get("data", {}).get("population", {})
    blocks: list[Block] = []
    for label, key, names in (
        ("Groups of people or things that have to be treated alike", "evaluate.fairness", groups),
        ("Slices in which the metric is looked at", "evaluate.slices", slices),
    ):
        blocks.append(Para(f"{label}:"))
        blocks.append(Items(tuple(Code(n) for n in names)) if names else Para(said("", key)))
    search = records.slices.search if records.slices else None
    if search is not None and not search.why_none:
        blocks.append(
            Para(f"Beside them {search.looked_at:,} slices were searched for places where it is worse.")
        )
    elif search is not None:
        blocks.append(Para(f"No other slices were searched: {search.why_none}."))
    for column, one in population.items():
        shares = ", ".join(f"{g} {share(s)}" for g, s in one.get("shares", {}).items())
        blocks.append(Para((Code(column), f" should be as in the population: {shares}.")))
    return Part("Factors", tuple(blocks))


def _metrics(manifest: Manifest, problem: Mapping[str, Any]) -> Part:
    today = problem.get("today") or {}
    bar = problem.get("ship_at")
    value = problem.get("value")
    bars = [f"{k} {v}" for k, v in bar.items()] if isinstance(bar, Mapping) else [f"{manifest.metric} {bar}"]
    rows: list[tuple[str, Words]] = [
        ("Chosen by", Code(manifest.metric)),
        ("Threshold chosen for", Code(problem["goal"]) if problem.get("goal") else ""),
        ("Ships at", f"{', '.join(bars)}, at the safe end of the interval" if bar is not None else
         said("", "problem.ship_at")),
        ("Today's solution", Code(today["rule"]) if today.get("rule") else number(today.get("value")) if today
         else said("", "problem.today")),
        ("An outcome is worth", spelled(value) if value else ""),
    ]  # fmt: skip
    notes = (
        "Every metric has a 95% interval that resamples whole independent units (days, groups), and is "
        "measured on the packaged graph, the one that serves."
    )
    return Part("Metrics", (facts(rows), Para(notes)))


def _evaluation_data(manifest: Manifest, told: RunTold) -> Part:
    counts = told.facts("split").get("counts", {})
    split = told.spec.get("split", {})
    rows: list[tuple[str, Words]] = [
        ("Validation", plural(counts["validation"], "row") if "validation" in counts else ""),
        ("Sealed test", plural(counts["test"], "row") if "test" in counts else ""),
        ("Split", spelled(split) if split else ""),
    ]
    if manifest.test is not None:
        rows.append(("Openings of the seal", str(manifest.test.opening)))
    why = "Nothing was fitted or chosen on the test rows: they are read through a seal that counts openings."
    return Part("Evaluation data", (facts(rows), Para(why)))


def _training_data(manifest: Manifest, told: RunTold, records: Records) -> Part:
    counts = told.facts("split").get("counts", {})
    tables = tuple(
        (n, s.source, f"{s.rows:,}", moment(s.newest), moment(s.taken), Code(s.artifact[:12]))
        for n, s in manifest.snapshots.items()
    )
    blocks: list[Block] = []
    if "train" in counts:
        blocks.append(Para(f"{plural(counts['train'], 'training row')} of the tables below."))
    blocks.append(Table(("table", "source", "rows", "newest row", "taken", "snapshot"), tables))
    features = tuple((Code(n), Code(e)) for n, e in manifest.features.items())
    blocks += [Heading("Features"), Table(("feature", "expression"), features)]
    cleaning = records.cleaning
    if cleaning is not None and (cleaning.cells or cleaning.rows):
        done = [(c.column, c.step, f"{c.train:,} cells") for c in cleaning.cells]
        done += [("training rows", f"left out: {why}", f"{n:,} rows") for why, n in cleaning.rows.items()]
        blocks += [Heading("Cleaning"), Table(("what", "step", "in train"), tuple(done))]
    return Part("Training data", tuple(blocks))


def _analyses(told: RunTold, records: Records) -> Part:
    blocks: list[Block] = [Heading("Sealed test"), *test_of(told), Heading("Validation"), *metrics_of(told)]
    blocks += [Heading("By slice"), *by_slice(records)]
    return Part("Quantitative analyses", tuple(blocks))


def _ethics(manifest: Manifest, records: Records) -> Part:
    privacy = manifest.privacy
    blocks: list[Block] = [
        Heading("Personal data"),
        Para(f"{plural(privacy.columns, 'column')} were scanned before anything was kept."),
    ]
    done = {**privacy.treatments, **{c: f"kept: {why}" for c, why in privacy.kept.items()}}
    if done:
        blocks.append(Table(("column", "what was done"), tuple((Code(c), how) for c, how in done.items())))
    else:
        blocks.append(Para("No column was declared or found to be personal."))
    blocks += [Heading("Fairness"), *fairness_of(records)]
    return Part("Ethical considerations", tuple(blocks))


def _caveats(manifest: Manifest, records: Records) -> Part:
    items: list[Words] = []
    for v in manifest.verdicts:
        if v.waiver is not None:
            items.append(
                f"Gate {v.gate} did not pass ({v.reason}) and was waived by {v.waiver.by} until "
                f"{v.waiver.until}: {v.waiver.reason}"
            )
        elif v.outcome is Outcome.UNKNOWN:
            items.append(f"Gate {v.gate} is unknown: {v.reason}")
    for f in records.findings.findings if records.findings else ():
        about = f" ({f.subject})" if f.subject else ""
        if f.accepted:
            items.append(f"Accepted finding {f.kind}{about}: {f.what}. Reason: {f.accepted}")
        elif f.severity is Severity.WARNS:
            items.append(f"Finding {f.kind}{about}: {f.what}. What to do: {f.remedy}")
    curve = records.learning_curve
    if curve is not None:
        items.append(f"More data or a richer model: {curve.statement}. {curve.because}")
    blocks: list[Block] = [Items(tuple(items)) if items else Para("No waiver, no open finding.")]
    blocks += [Heading("When inputs go wrong"), *robustness_of(records)]
    return Part("Caveats and recommendations", tuple(blocks))
