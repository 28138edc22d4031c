"""The operational runbook: steps with the very commands, this project's folder, releases and owners."""

from __future__ import annotations

import shlex

from headrace.core.document import Design
from headrace.core.views import ReleaseView, State
from headrace.report.document.blocks import Block, Code, Commands, Heading, Items, Lack, Para, Part, Words
from headrace.report.document.serving import fallback_words


def runbook(design: Design) -> Part:
    """The section."""
    folder = design.folder
    return Part(
        "Operational runbook",
        (
            Para(("Commands are given in the folder that holds ", Code(folder), ".")),
            Heading("Deploy"),
            *_deploy(design),
            Heading("Roll back"),
            *_rollback(design),
            Heading("Retrain"),
            *_retrain(design),
            Heading("Incident"),
            *_incident(design),
        ),
    )


def _c(design: Design) -> str:
    return f"-C {shlex.quote(design.folder)}"


def _owner(design: Design, stage: str) -> Words:
    owner = design.spec.owner(stage)
    return ("Who: ", owner, ".") if owner.strip() else ("Who: ", Lack("problem.owners.default"))


def _of_state(design: Design, state: State) -> ReleaseView | None:
    found = [r for r in design.releases.releases.values() if r.state is state]
    return found[-1] if found else None


def _deploy(design: Design) -> list[Block]:
    here, challenger = _c(design), _of_state(design, State.CHALLENGER)
    champion = design.releases.champion
    told: list[Block] = [Para(_owner(design, "promote"))]
    if challenger is not None:
        by = f" --by {shlex.quote(_approver(design))}" if _approver(design) else ""
        told += [
            Para(("The challenger ", Code(challenger.release), " awaits its promotion:")),
            Commands(
                (
                    f"headrace release show {challenger.release} {here}",
                    f"headrace release approve {challenger.release}{by} {here}",
                    f"headrace release promote {challenger.release} {here}",
                )
            ),
        ]
        if design.spec.problem.approval == "other":
            told.append(Para(f"Its author, {challenger.author}, may not approve it."))
    elif champion is not None:
        told.append(Para(("The champion is ", Code(champion.release), f", since {champion.promoted[:10]}.")))
    else:
        told += [
            Para("There is no release to deploy yet. A run whose gates all pass makes one:"),
            Commands((f"headrace check {here}", f"headrace run {here}", f"headrace release list {here}")),
        ]
    told.append(
        Para("Answer with the champion. A server keeps the release that it began with: start it again after.")
    )
    told.append(Commands(_answer(design)))
    return told


def _approver(design: Design) -> str:
    """Who may approve by the spec; names in it are claims like any other."""
    return design.spec.owner("promote") if design.spec.problem.approval == "self" else ""


def _answer(design: Design) -> tuple[str, ...]:
    here = _c(design)
    serve = f"headrace serve {here} --port 8000"
    predict = f"headrace predict new.csv -o scored.csv {here}"
    mode = design.spec.serve.mode if design.spec.serve else "rest"
    return (predict,) if mode == "batch" else (serve,)


def _rollback(design: Design) -> list[Block]:
    here, before = _c(design), design.before
    told: list[Block] = [Para(_owner(design, "promote"))]
    if before:
        told.append(
            Para(("Brings back ", Code(before), " at once; nothing is asked, so that it always works:"))
        )
    else:
        told.append(Para("Nothing to roll back to yet: fewer than two releases have been champion. Later:"))
    told.append(Commands((f"headrace release rollback --reason 'what went wrong' {here}", *_answer(design))))
    plan = design.spec.serve
    if not before:
        words: Words = fallback_words(plan) if plan and plan.fallback else Lack("serve.fallback")
        told.append(
            Para(
                (
                    "Until then, stop the server and fall back: ",
                    *(words if isinstance(words, tuple) else (words,)),
                )
            )
        )
    told.append(Commands((f"headrace release history {here}",)))
    return told


def _retrain(design: Design) -> list[Block]:
    here, measured = _c(design), design.measured
    tables = [t.read for t in design.spec.data.tables.values()]
    lines = [f"headrace check {here}", f"headrace run --to evaluate {here}", f"headrace run {here}"]
    lines.append(f"headrace show {here}")
    told: list[Block] = [
        Para(_owner(design, "learn")),
        Para(("Bring the tables up to date (", *_codes(tables), "), then:")),
        Commands(tuple(lines)),
        Para("The first run stops before the sealed test, which is opened for a frozen candidate alone."),
    ]
    if measured is not None:
        told += [
            Para("What has changed since, in the data and in the results:"),
            Commands(
                (
                    f"headrace data list {here}",
                    f"headrace compare {measured.run} run-{len(design.runs) + 1} {here}",
                )
            ),
        ]
    told.append(Para("Write the document again:"))
    told.append(Commands((f"headrace doc -o design.md {here}",)))
    return told


def _codes(names: list[str]) -> list[Code | str]:
    found: list[Code | str] = []
    for i, name in enumerate(names):
        found += ([", "] if i else []) + [Code(name)]
    return found


def _incident(design: Design) -> list[Block]:
    here, champion = _c(design), design.releases.champion
    name = f" {champion.release}" if champion else ""
    steps: list[Words] = [
        ("Is it the service? ", Code("GET /health"), " of the server; its log names what it refused."),
        "Is it the release? Roll back first (above), look for the cause afterwards.",
        "Is it the data? Look at expectations, personal data and ages, and compare snapshots.",
        "Is it the ledger or an artifact? The audit names the first thing that is broken.",
        "Write down what was found at the run that it concerns, and make it an expectation or assumption.",
    ]
    run = design.measured or design.newest
    lines = [f"headrace release history {here}"]
    lines += [f"headrace release show{name} {here}"] if champion else []
    lines += [f"headrace run --to ingest {here}", f"headrace data list {here}", f"headrace audit {here}"]
    if run is not None:
        lines.append(f"headrace note {run.run} 'what was found' --tag incident=yes {here}")
        lines.append(f"headrace reproduce {run.run} {here}")
    return [Para(_owner(design, "default")), Items(tuple(steps), numbered=True), Commands(tuple(lines))]
