"""Problem definition: what is decided, by what prediction, against what, and how good it has to be."""

from __future__ import annotations

from headrace.core.document import Design
from headrace.report.document.blocks import Block, Code, Heading, Inline, Lack, Para, Part, Table, Words, said
from headrace.report.document.tell import figure, listed, verdict
from headrace.report.page import number

_TYPES = {
    "binary": "binary classification",
    "multiclass": "classification with several classes",
    "regression": "regression",
}


def problem_definition(design: Design) -> Part:
    """The section."""
    problem = design.spec.problem
    return Part(
        "Problem definition",
        (
            Para(("Objective: ", said(problem.objective, "problem.objective"))),
            Heading("Problem type"),
            Para(_type(design)),
            Heading("Target"),
            Para(_target(design)),
            Heading("Business metric"),
            Para(_business(design)),
            Heading("Evaluation metric"),
            *_metric(design),
            Heading("Baseline performance"),
            *_baseline(design),
            Heading("Success threshold"),
            *_threshold(design),
            Heading("Decision and use"),
            Para(("Decision: ", said(problem.decision, "problem.decision"))),
            Para(("Use: ", said(problem.use, "problem.use"))),
            Heading("Supervision"),
            Para(said(problem.supervision, "problem.supervision")),
            Heading("Value"),
            *_value(design),
            Heading("Assumptions"),
            *_assumptions(design),
            Heading("Go or no-go"),
            *_go(design),
            Heading("Owners"),
            *_owners(design),
        ),
    )


def _type(design: Design) -> Words:
    told = _TYPES[design.spec.problem.task]
    if not design.classes:
        return f"{told[0].upper()}{told[1:]}."
    if set(design.classes) == {"False", "True"}:
        return (f"{told[0].upper()}{told[1:]}: whether ", Code(design.spec.problem.target), ".")
    return f"{told[0].upper()}{told[1:]}: {listed([repr(c) for c in design.classes])}."


def _target(design: Design) -> tuple[Inline, ...]:
    problem = design.spec.problem
    words: list[Inline] = [
        Code(problem.target),
        f", one prediction a row of the table {design.spec.data.events}",
    ]
    if problem.task == "binary" and problem.positive is not None:
        words.append(f"; positive is {problem.positive!r}")
    data = design.spec.data
    if data.time is not None:
        when = f"{data.lead} before" if data.lead else "at"
        words += [f". The prediction is made {when} ", Code(data.time)]
    meaning = problem.columns.get(problem.target)
    words.append(f". {meaning}" if meaning else ".")
    return tuple(words)


def _business(design: Design) -> tuple[Inline, ...]:
    problem = design.spec.problem
    words: list[Inline] = [said(problem.business_metric, "problem.business_metric")]
    if problem.value is not None and problem.value.unit:
        words.append(f"; decisions are valued in {problem.value.unit} (see Value)")
    return tuple(words)


def _metric(design: Design) -> list[Block]:
    problem = design.spec.problem
    better = "more" if design.higher else "less"
    meaning = f" {design.meaning.rstrip('.')};" if design.meaning else ""
    told: list[Block] = [
        Para((Code(problem.metric), f":{meaning} {better} is better. It chooses the candidate."))
    ]
    if problem.goal is not None:
        told.append(Para(("The decision threshold is chosen by the goal ", Code(problem.goal), ".")))
    return told


def _baseline(design: Design) -> list[Block]:
    problem = design.spec.problem
    told: list[Block] = []
    if problem.today is None:
        told.append(Para(("Today's solution: ", Lack("problem.today"))))
    elif problem.today.rule is not None:
        source = f" ({problem.today.source})" if problem.today.source else ""
        told.append(Para((f"Today's solution{source}: ", Code(problem.today.rule))))
    else:
        told.append(
            Para(("Today's solution reaches ", number(problem.today.value), _source(problem.today.source)))
        )
    rows = _standings(design)
    if rows:
        told.append(Table(("", design.metric, "measured on"), rows))
    else:
        told.append(Para(("Not measured yet: ", Code("headrace run"), " scores both beside the candidates.")))
    return told


def _standings(design: Design) -> tuple[tuple[Words, ...], ...]:
    """The baselines, and what the chosen model reached on the same rows."""
    run = design.measured
    if run is None:
        return ()
    chosen = str((run.summary.get("learning") or {}).get("model") or "")
    named = {"naive": "naive baseline", "today": "today's solution"}
    if chosen not in named:
        named[chosen] = f"model ({chosen})"
    lines = [(name, line) for model, name in named.items() if (line := design.standing(model))]
    return tuple(
        (
            name,
            _spread(line["mean"], line["std"]),
            f"{'validation' if line['std'] is None else 'folds of the training rows'}, {run.run}",
        )
        for name, line in lines
    )


def _source(source: str) -> Inline:
    return f" ({source})." if source else "."


def _spread(mean: float | None, std: float | None) -> str:
    return number(mean) if std is None else f"{number(mean)} ± {number(std)}"


def _threshold(design: Design) -> list[Block]:
    if not design.bars:
        told: list[Block] = [Para(("A bar on the sealed test: ", Lack("problem.ship_at")))]
    else:
        rows = tuple(
            (Code(b.metric), Code(b.rule), verdict(design.gate(b.gate)) or "not judged yet")
            for b in design.bars
        )
        told = [
            Para(
                "Held to the unfavourable end of the interval on the sealed test, whose openings are counted."
            ),
            Table(("metric", "bar", "said by the test"), rows),
        ]
    test = design.measured.summary.get("test") if design.measured else None
    if test and test.get("value") is not None:
        estimate = figure(test["value"], test.get("interval"))
        told.append(Para(f"Estimate on the sealed test: {test['metric']} {estimate}, {test['n']:,} rows."))
    against = [
        (Code(name), verdict(design.gate(name)) or "not judged yet")
        for name in ("beats-naive", "beats-today")
    ]
    told.append(
        Para("Besides, the model has to be better beyond noise than the naive baseline and today's solution.")
    )
    told.append(Table(("gate", "verdict"), tuple(against)))
    return told


def _value(design: Design) -> list[Block]:
    problem = design.spec.problem
    if problem.task != "binary":
        return [
            Para(
                "Outcomes of single decisions have a worth in binary tasks alone; this one is "
                f"{problem.task}."
            )
        ]
    if problem.value is None:
        return [Para(Lack("problem.value"))]
    worths = problem.value.model_dump(exclude={"unit"})
    unit = problem.value.unit
    rows = tuple((n.replace("_", " "), f"{w:g} {unit}".strip()) for n, w in worths.items())
    told: list[Block] = [Table(("outcome", "worth"), rows)]
    if not unit:
        told.append(Para(("Unit: ", Lack("problem.value.unit"))))
    worth = design.measured.summary.get("worth") if design.measured else None
    if worth and worth.get("value") is not None:
        told.append(
            Para(f"On the sealed test: {figure(worth['value'], worth.get('interval'), worth['unit'])}.")
        )
    return told


def _assumptions(design: Design) -> list[Block]:
    assumptions = design.spec.problem.assumptions
    if not assumptions:
        return [Para(Lack("problem.assumptions"))]
    rows = tuple(
        (
            a.text,
            Code(a.check) if a.check else Lack(f"problem.assumptions[{i}].check"),
            (verdict(design.gate(f"assumption: {a.check}")) or "not measured yet")
            if a.check
            else "not measured",
        )
        for i, a in enumerate(assumptions)
    )
    return [Table(("assumption", "check", "measured"), rows)]


def _go(design: Design) -> list[Block]:
    go = design.spec.problem.go
    if go is None:
        return [Para(Lack("problem.go"))]
    # Whether it still holds depends on the day of reading: a run says, a document can't.
    return [
        Para(
            f"Go, decided by {go.decided_by} on {go.on}; it holds until {go.expires}, and blocks runs "
            "afterwards."
        )
    ]


def _owners(design: Design) -> list[Block]:
    problem = design.spec.problem
    if not problem.owners:
        return [Para(Lack("problem.owners"))]
    rows = tuple(
        (stage, owner)
        for stage, owner in sorted(problem.owners.items(), key=lambda o: (o[0] != "default", o))
    )
    approval = (
        "somebody other than its author"
        if problem.approval == "other"
        else "its own author (a project of one)"
    )
    return [
        Table(("stage", "owner"), rows),
        Para(f"A release is approved by {approval}."),
    ]
